"""Log-probabilities of given tokens: the one forward pass that scoring and training share.

Rows are right-padded, so that under causal attention no mask and no position can go wrong: padding comes after every token
that is read. The head runs only where a token is scored, in chunks that bound memory.

Shapes: R rows, S tokens of prompt and completion, T completion tokens, N scored tokens of all rows, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from sharpen.errors import DataError
from sharpen.runtime.rendering import Renderer
from sharpen.types import Row

__all__ = ["Encoded", "Scored", "encode_rows", "forward_rows", "micro_batches"]

_HEAD_CHUNK = 512  # tokens whose logits are held at once: 512 x 49,152 float32 values are 100 MB


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A row as ids: P prompt tokens, then T completion tokens, and the temperature of its log-probabilities."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    temperature: float

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Log-probabilities [R, T] float32 (nats), 0 past a row's end, and entropies likewise or None."""

    logps: torch.Tensor
    entropies: torch.Tensor | None


def encode_rows(rows: Sequence[Row], renderer: Renderer, *, at_sampling_temperature: bool) -> list[Encoded]:
    """The rows as ids; each distinct prompt is rendered once.

    Raises:
        DataError: a row is longer than the model's context, or has no tokens.
    """
    rendered: dict[str, tuple[int, ...]] = {}
    encoded = []
    for row in rows:
        if row.prompt.id not in rendered:
            rendered[row.prompt.id] = tuple(renderer.prompt_ids(row.prompt))
        completion = renderer.enter(row.prompt, row.completion)
        temperature = completion.temperature if at_sampling_temperature and completion.temperature > 0 else 1.0
        one = Encoded(prompt_ids=rendered[row.prompt.id], completion_ids=completion.token_ids, temperature=temperature)
        if not one.completion_ids:
            raise DataError(f"a completion of prompt {row.prompt.text[:60]!r} has no tokens; leave it out")
        if len(one) > renderer.max_length:
            raise DataError(f"a row has {len(one)} tokens and the model reads {renderer.max_length}; shorten or leave it out")
        encoded.append(one)
    return encoded


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Places grouped so that padded tokens stay within the budget: longest first, each group of similar lengths.

    >>> micro_batches([2, 9, 3], 6)
    [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    groups: list[list[int]] = []
    for place in order:
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= token_budget:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def forward_rows(
    model: Any,  # a transformers causal LM has no useful static type
    rows: Sequence[Encoded],
    *,
    entropies: bool,
    split_head: bool,
    head_chunk: int = _HEAD_CHUNK,
) -> Scored:
    """Log-probabilities of each row's completion tokens, with gradient where the context has it.

    Args:
        model: what is run.
        rows: R rows.
        entropies: also the entropy of each next-token distribution (nats).
        split_head: True where the model's logits are exactly its head applied to its last hidden state.
        head_chunk: tokens whose logits are held at once; it changes memory and no number.
    """
    device = next(model.parameters()).device
    width = max(len(row) for row in rows)
    longest = max(len(row.completion_ids) for row in rows)
    tokens_RS = torch.zeros((len(rows), width), dtype=torch.long)
    place_N, row_N, column_N, target_N, temperature_N = [], [], [], [], []
    for number, row in enumerate(rows):
        tokens_RS[number, : len(row)] = torch.tensor((*row.prompt_ids, *row.completion_ids))
        start = len(row.prompt_ids) - 1
        for column, target in enumerate(row.completion_ids):
            place_N.append(start + column)
            row_N.append(number)
            column_N.append(column)
            target_N.append(target)
            temperature_N.append(row.temperature)
    rows_N, places_N = torch.tensor(row_N, device=device), torch.tensor(place_N, device=device)
    targets_N = torch.tensor(target_N, device=device)
    temperatures_N1 = torch.tensor(temperature_N, device=device)[:, None]
    tokens_RS = tokens_RS.to(device)
    if split_head:
        hidden = model.base_model(input_ids=tokens_RS, use_cache=False).last_hidden_state
        picked, head = hidden[rows_N, places_N], model.get_output_embeddings()
    else:
        picked, head = model(input_ids=tokens_RS, use_cache=False).logits[rows_N, places_N], torch.nn.Identity()
    logps_N, entropies_N = _chunked(picked, head, targets_N, temperatures_N1, entropies=entropies, size=head_chunk)
    index = (rows_N, torch.tensor(column_N, device=device))
    empty_RT = torch.zeros((len(rows), longest), dtype=torch.float32, device=device)
    return Scored(
        logps=empty_RT.index_put(index, logps_N),
        entropies=empty_RT.index_put(index, entropies_N) if entropies_N is not None else None,
    )


def _chunked(
    picked: torch.Tensor,
    head: torch.nn.Module,
    targets_N: torch.Tensor,
    temperatures_N1: torch.Tensor,
    *,
    entropies: bool,
    size: int,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Head, softmax and pick in chunks; the logits of a chunk are made again in the backward pass, never kept."""

    def one(hidden: torch.Tensor, targets: torch.Tensor, temperatures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = head(hidden).float() / temperatures
        norm = logits.logsumexp(-1)
        logps = logits.gather(-1, targets[:, None]).squeeze(-1) - norm
        if not entropies:
            return logps, torch.zeros_like(norm)
        return logps, norm - (logits.softmax(-1) * logits).sum(-1)

    chunks = [slice(start, start + size) for start in range(0, len(targets_N), size)]
    pieces: list[tuple[torch.Tensor, torch.Tensor]] = []
    for chunk in chunks:
        arguments = (picked[chunk], targets_N[chunk], temperatures_N1[chunk])
        if len(chunks) > 1 and torch.is_grad_enabled():
            pieces.append(checkpoint(one, *arguments, use_reentrant=False))
        else:
            pieces.append(one(*arguments))
    logps = torch.cat([piece[0] for piece in pieces])
    return logps, torch.cat([piece[1] for piece in pieces]) if entropies else None
