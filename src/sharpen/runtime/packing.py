"""Rows as one sequence without padding, in which what rows have in common is there once: P + sum C tokens, not n (P + C).

A *segment* is a run of tokens that sees itself from its start on. A segment may also see others whole: everything sees the *root*,
which all prompts begin with (a template's opening, an instruction), and a *branch* sees its *trunk*, the rest of its prompt. The
root comes first, then the trunks, then the branches in the order of their trunks, then rows that share no prompt.

Shapes: N tokens of the pack, M scored tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = [
    "LEAST_ROOT",
    "Encoded",
    "Pack",
    "Segment",
    "Span",
    "common_beginning",
    "num_packed",
    "pack_rows",
    "packs",
    "root_of",
]

LEAST_ROOT = 8
"""Tokens; a shorter common beginning is not worth a part of its own."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A row as ids: P prompt tokens, then T completion tokens, and the temperature of its log-probabilities."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    temperature: float

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` (not included) of a pack."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Segment:
    """A run of tokens that sees itself up to each token, and the spans before it whole."""

    own: Span
    before: tuple[Span, ...] = ()

    @property
    def num_before(self) -> int:
        """Tokens that it sees whole."""
        return sum(map(len, self.before))


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Rows as one sequence.

    Attributes:
        tokens_N: ids.
        positions_N: each token's position in its own row.
        segments: together they cover the pack.
        read_M: for each scored token, row by row, the place whose hidden state predicts it.
    """

    tokens_N: torch.Tensor
    positions_N: torch.Tensor
    segments: tuple[Segment, ...]
    read_M: torch.Tensor


def common_beginning(contexts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest beginning of all contexts, shorter than each; nothing for one context alone.

    >>> common_beginning([(1, 2, 3), (1, 2, 4, 5)]), common_beginning([(1, 2), (1, 2, 3)]), common_beginning([(1, 2), (1, 2)])
    ((1, 2), (1,), ())
    """
    first, last = min(contexts), max(contexts)
    if first == last:
        return ()
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[: min(same, min(map(len, contexts)) - 1)]


def root_of(rows: Sequence[Encoded]) -> tuple[int, ...]:
    """What the rows' prompts begin with, where it is worth running once."""
    root = common_beginning([row.prompt_ids for row in rows])
    return root if len(root) >= LEAST_ROOT else ()


def pack_rows(rows: Sequence[Encoded], root: tuple[int, ...] = ()) -> Pack:
    """The rows as one pack, all of whose prompts begin with the root. A row's last token predicts nothing, and is left out."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for place, row in enumerate(rows):
        by_prompt.setdefault(row.prompt_ids, []).append(place)
    shared = {ids: places for ids, places in by_prompt.items() if len(places) > 1}
    tokens: list[int] = []
    positions: list[torch.Tensor] = []
    segments: list[Segment] = []
    reads: dict[int, torch.Tensor] = {}

    def add(ids: Sequence[int], position: int, *before: Span) -> Span:
        span = Span(len(tokens), len(tokens) + len(ids))
        tokens.extend(ids)
        positions.append(torch.arange(position, position + len(ids)))
        if ids:
            segments.append(Segment(span, tuple(seen for seen in before if len(seen))))
        return span

    root_span = add(root, 0)
    trunks = [add(ids[len(root) :], len(root), root_span) for ids in shared]
    for trunk, (ids, places) in zip(trunks, shared.items(), strict=True):
        for place in places:
            branch = add(rows[place].completion_ids[:-1], len(ids), root_span, trunk)
            reads[place] = torch.cat([torch.tensor([trunk.end - 1]), torch.arange(branch.start, branch.end)])
    for ids, places in by_prompt.items():
        if ids not in shared:
            whole = add((*ids[len(root) :], *rows[places[0]].completion_ids[:-1]), len(root), root_span)
            reads[places[0]] = torch.arange(whole.start + len(ids) - len(root) - 1, whole.end)
    return Pack(
        tokens_N=torch.tensor(tokens),
        positions_N=torch.cat(positions),
        segments=tuple(segments),
        read_M=torch.cat([reads[place] for place in range(len(rows))]),
    )


def packs(items: Sequence[Sequence[Encoded]], token_budget: int) -> list[list[int]]:
    """Places of items in groups whose packs stay within the budget, where one item alone does; items of one prompt together.

    >>> one, other = (Encoded(prompt_ids=(1, 2, ids), completion_ids=(5, 6), temperature=1.0) for ids in (3, 4))
    >>> packs([[one], [other], [one], [one]], token_budget=6)
    [[0, 2, 3], [1]]
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for place, rows in enumerate(items):
        by_prompt.setdefault(rows[0].prompt_ids, []).append(place)
    root = len(root_of([row for rows in items for row in rows])) if items else 0
    groups: list[list[int]] = []
    held: set[tuple[int, ...]] = set()
    size = 0
    for place in (place for places in by_prompt.values() for place in places):
        prompts = {row.prompt_ids for row in items[place]}
        own = sum(len(row.completion_ids) - 1 for row in items[place])
        new = own + sum(len(ids) - root for ids in prompts - held)
        if groups and size + new <= token_budget:
            groups[-1].append(place)
            held |= prompts
            size += new
        else:
            groups.append([place])
            held, size = prompts, root + own + sum(len(ids) - root for ids in prompts)
    return groups


def num_packed(rows: Sequence[Encoded]) -> int:
    """Tokens of the pack of these rows.

    >>> one, other = (Encoded(prompt_ids=(1, 2, ids), completion_ids=(5, 6), temperature=1.0) for ids in (3, 4))
    >>> num_packed([one, one, other])
    9
    """
    root, prompts = len(root_of(rows)), {row.prompt_ids for row in rows}
    return root + sum(len(ids) - root for ids in prompts) + sum(len(row.completion_ids) - 1 for row in rows)
