"""What both peers need: padded rows, prompts as the chat template writes them, and lengths forced on `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from benchmarks.shapes import Work

__all__ = ["PaddedRows", "eos_ids", "forced_lengths", "padded", "rendered"]


@dataclass(frozen=True, kw_only=True)
class PaddedRows:
    """R rows: prompts of equal length, then T columns of completions padded on the right."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    completions_RT: torch.Tensor
    mask_RT: torch.Tensor
    advantages_R1: torch.Tensor


def padded(work: Work, completions: Sequence[Sequence[int]], places: Sequence[int], device: str) -> PaddedRows:
    """These rows, padded to the longest of them."""
    width = max(len(completions[place]) for place in places)
    rows = [[*completions[place], *([0] * (width - len(completions[place])))] for place in places]
    prompts_RP = torch.tensor([work.prompt_ids[place // work.samples] for place in places], device=device)
    completions_RT = torch.tensor(rows, device=device)
    lengths_R1 = torch.tensor([[len(completions[place])] for place in places], device=device)
    mask_RT = (torch.arange(width, device=device)[None] < lengths_R1).float()
    return PaddedRows(
        input_ids=torch.cat([prompts_RP, completions_RT], dim=1),
        attention_mask=torch.cat([torch.ones_like(prompts_RP), mask_RT.long()], dim=1),
        completions_RT=completions_RT,
        mask_RT=mask_RT,
        advantages_R1=torch.tensor([[work.advantages[place]] for place in places], dtype=torch.float32, device=device),
    )


def rendered(tokenizer: Any, work: Work) -> tuple[tuple[int, ...], ...]:  # Any: tokenizers have no useful static type
    """The prompts as this tokenizer's chat template writes them.

    Raises:
        ValueError: they are other tokens than those that our side reads, so that timings could not be compared.
    """
    found = tuple(
        tuple(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"]
        )
        for text in work.texts
    )
    if found != work.prompt_ids:
        raise ValueError("the chat template gives other tokens here than on our side; the timing would compare different work")
    return found


def eos_ids(model: Any) -> tuple[int, ...]:  # Any: a transformers model has no useful static type
    """Tokens at which `generate` ends a row."""
    found = model.generation_config.eos_token_id
    return tuple(found) if isinstance(found, list) else (found,)


class _ForcedLengths(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Forbids the stop tokens before a row has its length, and everything else then."""

    def __init__(self, lengths: Sequence[int], prompt_length: int, stops: Sequence[int]) -> None:
        self.prompt_length, self.stops = prompt_length, list(stops)
        self.ends: dict[int, list[int]] = {}
        for row, length in enumerate(lengths):
            self.ends.setdefault(length - 1, []).append(row)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of the next tokens, edited in place: all but the rows that end now are touched at the stop tokens only."""
        scores[:, self.stops] = float("-inf")
        for row in self.ends.get(input_ids.shape[1] - self.prompt_length, []):
            scores[row] = float("-inf")
            scores[row, self.stops[0]] = 0.0
        return scores


def forced_lengths(work: Work, prompt_length: int, stops: Sequence[int]) -> Any:  # Any: as above
    """What `generate` takes to make rows of the work's lengths; nothing where they are natural."""
    if work.lengths is None:
        return LogitsProcessorList()
    return LogitsProcessorList([_ForcedLengths(work.lengths, prompt_length, stops)])
