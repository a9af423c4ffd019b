"""A round's memory hardly grows with its samples: what is held of each is a few numbers, the rest is on file."""

from __future__ import annotations

import tracemalloc

import pytest
from benchmarks.growth import Growth

from sharpen.ledger import codec, pieces


@pytest.mark.slow
def test_a_round_holds_few_bytes_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_PIECE", 1 << 14)  # so that few samples are more than what may stay in memory
    monkeypatch.setattr(pieces, "_KEPT", 1 << 16)
    growth = Growth(1)
    growth.run(5, 4)
    held = []
    for num_prompts in (60, 240):
        tracemalloc.start()
        growth.run(num_prompts, 4)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (held[1] - held[0]) / (180 * 4) < 1500  # holding groups and completions costs several thousand
