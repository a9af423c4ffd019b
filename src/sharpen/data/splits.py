"""Which prompts are learned on and which are held out: by content, not by where they stand in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.types import Prompt

__all__ = ["Splits", "assigned", "families"]

DEFAULT_HELD_OUT = 200


@dataclass(frozen=True, kw_only=True)
class Splits:
    """How many prompts each split gets.

    Attributes:
        train: None takes all that the others leave.
        dev: prompts for steering by labels, cut from train.
        gate: None takes a quarter of the prompts, 200 at most; of a held-out file a half.
        final: as `gate`.
        seed: another seed shuffles and splits otherwise.
    """

    train: int | None = None
    dev: int = 0
    gate: int | None = None
    final: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "dev", "gate", "final"):
            size = getattr(self, name)
            if size is not None and size < 0:
                raise ValueError(f"split {name} is {size} prompts; it is at least 0")


def assigned(prompts: Sequence[Prompt], sizes: Mapping[str, int], seed: int, what: str) -> dict[str, tuple[Prompt, ...]]:
    """Prompts by split, each split filled to its size, and the rest under "rest".

    Families (see `families`) are put in the order of a hash of the seed and their prompts' content, and each goes whole to the first
    split that has room for it. So a prompt's split depends on what the prompts are and on the seed, and not on the order of rows;
    and among prompts without parents, a split's members are those of lowest hash.

    Raises:
        DataError: there are too few prompts, or families are too large to fill a split exactly.
    """
    if len(prompts) < sum(sizes.values()):
        asked = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(
            f"{what} has {len(prompts)} different prompts and {sum(sizes.values())} are asked for ({asked}); ask for fewer"
        )
    place = {prompt.id: digest("split", seed, prompt.id) for prompt in prompts}
    ordered = sorted(families(prompts), key=lambda family: min(place[prompt.id] for prompt in family))
    found: dict[str, list[Prompt]] = {name: [] for name in (*sizes, "rest")}
    for family in ordered:
        members = sorted(family, key=lambda prompt: place[prompt.id])
        room = (name for name, size in sizes.items() if len(found[name]) + len(members) <= size)
        found[next(room, "rest")] += members
    for name, size in sizes.items():
        if len(found[name]) < size:
            largest = max(map(len, ordered))
            raise DataError(
                f"split {name} of {what} gets {len(found[name])} prompts instead of {size}, as prompts with common parents stay "
                f"together (up to {largest}); change its size"
            )
    return {name: tuple(members) for name, members in found.items()}


def families(prompts: Iterable[Prompt]) -> list[list[Prompt]]:
    """Prompts grouped so that a prompt, its parents and all that share a parent are together: what one tells of another."""
    roots: dict[str, str] = {}

    def root(key: str) -> str:
        roots.setdefault(key, key)
        while roots[key] != key:
            roots[key] = roots[roots[key]]
            key = roots[key]
        return key

    prompts = tuple(prompts)
    for prompt in prompts:
        for parent in prompt.parents:
            roots[root(prompt.id)] = root(parent)
    found: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(root(prompt.id), []).append(prompt)
    return list(found.values())
