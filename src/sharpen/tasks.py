"""A task: what is asked, how answers are checked, and which prompts are held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.protocols import Verifier
from sharpen.types import Demonstration, Example, Prompt

__all__ = ["Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Prompts in disjoint splits, a verifier, and what a recipe fills its parameters from.

    Attributes:
        name: for people.
        train: prompts to learn on.
        gate: held-out prompts, read once a round.
        final: held-out prompts, read for the headline; every read is recorded.
        dev: prompts for a recipe that steers by labels and for the plan's probe; cut from train.
        verifier: how an answer is checked, or None (then only methods that need none can run).
        examples: given examples (demonstrations, preferences) for methods that train on data.
        demonstrations: worked examples to show in prompts (few-shot); where empty, train prompts with targets serve.
        max_new_tokens: tokens that an answer may take.
        second: another task, on which general ability must not fall; or None.
        source: where the prompts came from, as flags or settings would say it.
        licence: licence of the prompts, or None where unknown.
        dropped: by reason, how many rows were left out while reading. Nothing is dropped silently.
    """

    name: str
    train: tuple[Prompt, ...]
    gate: tuple[Prompt, ...] = ()
    final: tuple[Prompt, ...] = ()
    dev: tuple[Prompt, ...] = ()
    verifier: Verifier | None = None
    examples: tuple[Example, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    max_new_tokens: int = 256
    second: Task | None = None
    source: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    licence: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it is at least 1")
        seen: dict[str, str] = {}
        for split in ("train", "dev", "gate", "final"):
            for prompt in getattr(self, split):
                for key in (prompt.id, *prompt.parents):
                    if seen.setdefault(key, split) != split:
                        raise DataError(
                            f"task {self.name!r}: prompt {prompt.text[:60]!r} of {split}, or one that it was made from, is also in "
                            f"{seen[key]}; splits are disjoint by content and by parents: move it"
                        )
        for demonstration in self.demonstrations:
            if demonstration.row.prompt.id in self.held_out_ids:
                raise DataError(
                    f"task {self.name!r}: the demonstration {demonstration.row.prompt.text[:60]!r} is a held-out prompt; show another"
                )

    @property
    def held_out_ids(self) -> frozenset[str]:
        """Ids of the gate's and final prompts."""
        return frozenset(prompt.id for prompt in (*self.gate, *self.final))

    @property
    def digest(self) -> str:
        """Identifies the prompts, targets and splits; the verifier has its own key."""
        given = [
            [(row.prompt.id, row.completion.id) for row in example.rows] for example in (*self.examples, *self.demonstrations)
        ]
        splits = [[(p.id, p.target) for p in getattr(self, name)] for name in ("train", "gate", "final", "dev")]
        second = self.second.digest if self.second else None
        return digest("task", self.name, splits, given, self.max_new_tokens, second)

    @property
    def visible(self) -> Task:
        """The task without its held-out splits, as stages see it."""
        return self.replace(gate=(), final=(), second=None)

    def replace(self, **changes: object) -> Task:
        """The task with some fields changed; splits are checked again."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # fields of Task
