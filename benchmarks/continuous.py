"""Transformers' continuous batching as TRL uses it: lengths of its requests from outside, and memory that fits a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

from transformers.generation.continuous_batching.continuous_api import ContinuousBatchingManager

from benchmarks.shapes import Work

__all__ = ["continuous_lengths", "memory_of_a_round"]

_PAGE = 32  # tokens of a page: short rows waste little
_BATCH_TOKENS = 512  # run at once: the rows of a decoding step, and prompts that are let in beside them


@contextlib.contextmanager
def continuous_lengths(lengths: Sequence[int]) -> Iterator[None]:
    """Give each request of continuous batching its own number of tokens; a stop token does not end it."""
    add = ContinuousBatchingManager.add_request

    def added(manager: Any, input_ids: list[int], request_id: str, **how: Any) -> Any:  # Any: untyped
        place = int(request_id.removeprefix("req_"))
        return add(manager, input_ids, request_id, **{**how, "max_new_tokens": lengths[place], "eos_token_id": -1})

    with mock.patch.object(ContinuousBatchingManager, "add_request", added):
        yield


def memory_of_a_round(works: Sequence[Work]) -> dict[str, int]:
    """Continuous batching's memory for all rows of a round at once; its own choice on a CPU is half of the machine's memory."""
    longest = max(len(ids) + work.max_new_tokens for work in works for ids in work.prompt_ids)
    blocks = works[0].num_rows * -(-longest // _PAGE)
    return {"page_size": _PAGE, "num_blocks": blocks, "max_batch_tokens": max(_BATCH_TOKENS, works[0].num_rows)}
