"""What a round is made of: prompts of exact length, completions of forced lengths, rewards. The same for every side."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DECODE", "SHAPES", "Batch", "Shape", "Work", "advantages_of", "exact_prompts", "length_plan", "rewards_for"]

_EPSILON = 1e-4  # TRL adds it to the standard deviation of a group's rewards; here every side gets the same advantages
_MIN_LENGTH = 2  # a token, then the one that ends the answer


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Tokens of a round: `prompt` each, `mean` and `longest` of the completions, `samples` completions a prompt."""

    prompt: int
    mean: int
    longest: int
    samples: int
    num_prompts: int

    @property
    def name(self) -> str:
        """Prompt/mean/longest/samples, as on the command line."""
        return f"{self.prompt}/{self.mean}/{self.longest}/{self.samples}"

    @property
    def num_rows(self) -> int:
        """Completions of a round."""
        return self.num_prompts * self.samples

    @classmethod
    def parse(cls, text: str, num_prompts: int) -> Shape:
        """The shape of a text such as `45/25/64/8`.

        Raises:
            ValueError: it is not four positive numbers, or no lengths could have that mean and longest.

        >>> Shape.parse("45/25/64/8", 8).num_rows
        64
        """
        parts = text.split("/")
        if len(parts) != 4 or not all(part.isdigit() and int(part) for part in parts):
            raise ValueError(f"shape {text!r} is not PROMPT/MEAN/LONGEST/SAMPLES in tokens, such as 45/25/64/8")
        prompt, mean, longest, samples = map(int, parts)
        rows = num_prompts * samples
        if not (_MIN_LENGTH * (rows - 1) + longest <= mean * rows <= longest * rows) or samples < 2:
            raise ValueError(
                f"shape {text!r} with {num_prompts} prompts cannot be: {rows} rows of {_MIN_LENGTH} to {longest} tokens, one of "
                f"them {longest}, have no mean of {mean}, or a group has less than two samples"
            )
        return cls(prompt=prompt, mean=mean, longest=longest, samples=samples, num_prompts=num_prompts)


SHAPES = (
    Shape.parse("45/25/64/8", 8),
    Shape.parse("100/60/256/8", 8),
    Shape.parse("200/50/128/8", 8),
    Shape.parse("60/200/512/16", 4),
)
"""The four shapes of a whole run; the last has half the prompts, so that it has as many rows as the others."""

DECODE = Shape.parse("45/64/64/8", 8)
"""64 rows of one length: what `decode_share` is measured with."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One round to be done, the same for every side. Rows are prompt by prompt.

    Attributes:
        texts: G user messages.
        prompt_ids: what they are as tokens once the chat template is applied; every side checks that it sees the same.
        samples: completions a prompt.
        max_new_tokens: tokens of an answer at most.
        lengths: tokens of each of the G x samples rows, exactly; None lets the model end its answers.
        rewards: one a row.
    """

    texts: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    samples: int
    max_new_tokens: int
    lengths: tuple[int, ...] | None
    rewards: tuple[float, ...]

    @property
    def num_rows(self) -> int:
        """Completions of the round."""
        return len(self.texts) * self.samples

    @property
    def advantages(self) -> tuple[float, ...]:
        """One a row, as TRL computes them."""
        return advantages_of(self.rewards, self.samples)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sampled rows, so that every side can score and train the very same.

    Attributes:
        completions: token ids of each row of `work`.
        logprobs: their log-probabilities (nats) under the sampler.
    """

    work: Work
    completions: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]


def length_plan(shape: Shape, seed: int) -> tuple[int, ...]:
    """Lengths of a round's rows: skewed as natural ones are, their mean and longest exactly the shape's.

    >>> plan = length_plan(Shape.parse("45/25/64/8", 8), seed=0)
    >>> max(plan), sum(plan) / len(plan)
    (64, 25.0)
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.gamma(2.0, shape.mean / 2.0, shape.num_rows)
    lengths = np.clip(np.rint(drawn), _MIN_LENGTH, shape.longest).astype(int)
    first = int(rng.integers(shape.num_rows))
    lengths[first] = shape.longest
    while missing := shape.mean * shape.num_rows - int(lengths.sum()):
        row = int(rng.integers(shape.num_rows))
        step = 1 if missing > 0 else -1
        if row != first and _MIN_LENGTH <= lengths[row] + step <= shape.longest:
            lengths[row] += step
    return tuple(lengths.tolist())


def rewards_for(shape: Shape, seed: int) -> tuple[float, ...]:
    """Right and wrong answers at random, with one of each in every group: no side can leave a group out."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    rewards = rng.integers(0, 2, (shape.num_prompts, shape.samples)).astype(float)
    rewards[:, 0], rewards[:, 1] = 1.0, 0.0
    return tuple(rewards.ravel().tolist())


def advantages_of(rewards: Sequence[float], samples: int) -> tuple[float, ...]:
    """(r - mean) / (standard deviation + 1e-4) within each group of `samples` rewards."""
    rewards_GN = np.array(rewards, dtype=np.float64).reshape(-1, samples)
    spread_G1 = rewards_GN.std(1, ddof=1, keepdims=True) + _EPSILON
    return tuple(((rewards_GN - rewards_GN.mean(1, keepdims=True)) / spread_G1).ravel().tolist())


_SENTENCES = (
    "{name} has {a} apples and buys {b} more.",
    "A box holds {a} pens, and {name} has {b} boxes.",
    "{name} walks {a} miles in the morning and {b} miles at night.",
    "There are {a} birds in a tree; {b} of them fly away.",
    "{name} reads {a} pages a day for {b} days.",
)
_NAMES = ("Tom", "Anna", "Ben", "Mary", "Paul", "Rosa", "Sam", "Lucy")
_QUESTION = " How many are there in all?"
_FILLERS = (*(f" {word}" for word in ("please", "now", "then", "so", "and", "well", "today", "the", "a")), ".", "!",
            *string.ascii_lowercase)  # fmt: skip


def exact_prompts(count: int, num_tokens: int, seed: int, measure: Callable[[str], int]) -> tuple[str, ...]:
    """`count` different user messages of exactly `num_tokens` tokens by `measure`, template included.

    Raises:
        ValueError: the template alone is longer, or no filler fits.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    found: dict[str, None] = {}
    while len(found) < count:
        found[_exact_prompt(num_tokens, rng, measure)] = None
    return tuple(found)


def _exact_prompt(num_tokens: int, rng: np.random.Generator, measure: Callable[[str], int]) -> str:
    text = ""
    while True:
        a, b = (str(number) for number in rng.integers(2, 99, 2).tolist())
        sentence = str(rng.choice(_SENTENCES)).format(name=rng.choice(_NAMES), a=a, b=b)
        longer = f"{text} {sentence}".strip()
        if measure(longer + _QUESTION) > num_tokens:
            break
        text = longer
    text = text + _QUESTION if text else a  # a number of its own where there is no room for a sentence
    while (length := measure(text)) < num_tokens:
        steps = [text + str(filler) for filler in rng.permutation(_FILLERS) if measure(text + str(filler)) == length + 1]
        if not steps:
            raise ValueError(f"no filler makes {text!r} one token longer; take another prompt length than {num_tokens}")
        text = steps[0]
    if length > num_tokens:
        raise ValueError(f"a prompt of {num_tokens} tokens is too short for this model's template: {text!r} has {length}")
    return text
