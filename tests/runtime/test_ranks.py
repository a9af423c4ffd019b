"""Two processes that train one model give the gradient that one process gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runtime_models import runtime
from training_cases import OBJECTIVES, batch_for, gradient_of, scored_for

SCRIPT = Path(__file__).parent / "two_ranks.py"


def test_pitfall_01_two_ranks_of_unequal_token_counts_equal_one(tmp_path, folder):
    command = [sys.executable, str(SCRIPT)]
    path = os.pathsep.join([str(SCRIPT.parent), *sys.path])
    started = [
        subprocess.Popen(
            [*command, str(rank), "2", str(tmp_path / "meeting"), str(folder), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, objective in OBJECTIVES.items():
        rt = runtime(folder)
        examples = batch_for(objective, idle=(1,), count=7)
        scored = scored_for(rt, objective, examples)
        wanted, done = gradient_of(rt, tmp_path / name, examples, objective, scored)
        size = torch.linalg.vector_norm(wanted)
        assert size > 1e-3
        for rank, found in enumerate(ranks):
            assert torch.linalg.vector_norm(found[name] - wanted) < 1e-6 * size
            told = json.loads((tmp_path / f"{name}-{rank}.json").read_text("utf-8"))
            assert told == pytest.approx({**done.metrics, "num_tokens": done.num_tokens}, rel=1e-4, abs=1e-5)
        assert torch.equal(ranks[0][name], ranks[1][name])
