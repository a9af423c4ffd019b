"""Tasks that a program makes: reasoning-gym's generators, drawn until enough different prompts are there, or none are left."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.metadata
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sharpen.data.fields import DataRow
from sharpen.data.rows import Rows, Scalar
from sharpen.data.splits import DEFAULT_HELD_OUT, Splits
from sharpen.data.task import make_task
from sharpen.digest import canonical, digest
from sharpen.errors import DataError
from sharpen.protocols import Verifier
from sharpen.tasks import Task
from sharpen.types import Completion, Prompt, user

__all__ = ["DatasetScore", "procedural_rows", "procedural_task"]

PATIENCE = 1000
"""Draws in a row that bring no new prompt, after which a generator is taken to hold no more."""

UNSTABLE = frozenset(
    {"codeio", "isomorphic_strings", "knight_swap", "list_functions", "polynomial_multiplication", "ransom_note", "word_ladder"}
)
"""Generators of 0.1.25 whose prompts or answers differ from process to process under one seed (30 draws in each of 3 processes with
other hash seeds): a run on them could be neither resumed nor repeated."""

LAX = frozenset({"game_of_life_halting", "puzzle24", "spell_backward"})
"""Generators of 0.1.25 whose own scorer called planted wrong answers right: any text, another problem's answer, and the right answer
with a character too many (15 problems of each generator)."""

_BLOCK = 500  # a generator adds the index to its seed: blocks of one size under seeds that far apart share nothing
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)

Parameters = Mapping[str, Any]  # Any: each generator has its own


def procedural_task(
    name: str,
    parameters: Parameters | None = None,
    verifier: Verifier | None = None,
    *,
    splits: Splits | None = None,
    instruction: str | None = None,
    max_new_tokens: int = 256,
) -> Task:
    """A task of prompts that reasoning-gym's generator makes, all different, in disjoint splits.

    Held-out prompts are drawn first, so that gate and final stay the same when train grows.

    Args:
        name: `rg:chain_sum`, or the generator's name alone.
        parameters: the generator's own; those left out keep its defaults.
        verifier: None takes the generator's own scorer (`DatasetScore`).
        splits: sizes (train: 1000 where None; gate and final: 200) and the seed of drawing and splitting.
        instruction: text for a line of its own after each question.

    Raises:
        ValueError: the generator or a parameter is unknown, or its value is refused.
        DataError: the generator holds fewer different prompts than are asked for, or reasoning-gym is missing.
    """
    asked = splits or Splits()
    held = [DEFAULT_HELD_OUT if size is None else size for size in (asked.gate, asked.final)]
    sizes = dataclasses.replace(asked, train=1000 if asked.train is None else asked.train, gate=held[0], final=held[1])
    num = sum(held) + asked.dev + (sizes.train or 0)
    drawn = procedural_rows(name, parameters, num=num, seed=sizes.seed, instruction=instruction)
    tested = dataclasses.replace(drawn, rows=drawn.rows[: sum(held)], source={}, dropped={})
    trained = dataclasses.replace(drawn, rows=drawn.rows[sum(held) :])
    own = verifier or DatasetScore(name=_known(name), parameters=dict(parameters or {}), seed=sizes.seed)
    return make_task(trained, own, splits=sizes, held_out=tested, max_new_tokens=max_new_tokens)


def procedural_rows(
    name: str, parameters: Parameters | None = None, *, num: int, seed: int = 0, instruction: str | None = None
) -> Rows:
    """`num` rows with different prompts; the first rows stay the same when `num` grows.

    The prompt is the generator's question, then the instruction. The target is the generator's answer as text, None where it has
    none. Tags: `id` (generator and number of the draw) and `draw`.

    Raises:
        ValueError: the generator or a parameter is unknown, or its value is refused.
        DataError: a thousand draws in a row brought no new prompt before there were `num`; the message says how many there were.
    """
    plain = _known(name)
    chosen = _checked(plain, parameters or {})
    found: dict[str, DataRow] = {}
    num_draws = fruitless = 0
    for draw, entry in _entries(plain, chosen, seed):
        if len(found) == num:
            break
        num_draws, before = num_draws + 1, len(found)
        prompt = _prompt(plain, draw, entry, instruction)
        found.setdefault(prompt.id, DataRow(where=f"rg:{plain}, draw {draw}", prompt=prompt))
        fruitless = fruitless + 1 if len(found) == before else 0
        if fruitless == PATIENCE:
            raise DataError(
                f"rg:{plain} with {_shown(chosen)} holds about {len(found)} different prompts ({PATIENCE} further draws "
                f"brought no new one) and {num} are asked for; ask for fewer or widen its parameters"
            )
    source: dict[str, Scalar] = {f"parameter_{key}": _scalar(value) for key, value in (parameters or {}).items()}
    source |= {"generator": f"rg:{plain}", "reasoning_gym": _version(), "seed": seed}
    source |= {"instruction": instruction} if instruction is not None else {}
    return Rows(
        name=f"rg:{plain}",
        rows=tuple(found.values()),
        source={**source, "num_rows": num_draws},
        dropped={"repeated draw": num_draws - len(found)} if num_draws > len(found) else {},
        licence="Apache-2.0",
    )


@dataclass(frozen=True, kw_only=True)
class DatasetScore:
    """The generator's own scorer as a verifier, for prompts that `procedural_rows` drew under the same seed.

    What stands between the last `<answer>` tags is scored, else the whole answer. Some of these scorers give part of a point to any
    answer, so a score below 1 counts as 0 unless `graded`. Audit one before you trust it.

    Raises:
        ValueError: the generator is unknown, or its scorer is known to accept wrong answers.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # Any: each generator has its own
    seed: int = 0
    graded: bool = False

    def __post_init__(self) -> None:
        if self.name in LAX:
            raise ValueError(f"the scorer of rg:{self.name} accepts wrong answers; give another verifier")
        _checked(_known(self.name), self.parameters)

    @property
    def key(self) -> str:
        """Identifies the scorer by what decides its verdicts."""
        return digest("DatasetScore", self.name, self.parameters, self.seed, self.graded, _version())

    def __call__(self, prompt: Prompt, completion: Completion) -> float | None:
        """The score in [0, 1]; None for a prompt that this generator did not draw."""
        draw = prompt.tags.get("draw")
        if not isinstance(draw, int) or prompt.tags.get("id") != f"{self.name}-{draw}":
            return None
        dataset = _block(self.name, canonical(self.parameters), self.seed, draw // _BLOCK)
        entry = dataset[draw % _BLOCK]
        if not prompt.text.startswith(entry["question"]):
            return None
        tagged = _ANSWER.findall(completion.text)
        score = float(dataset.score_answer((tagged[-1] if tagged else completion.text).strip(), entry))
        return score if self.graded else float(score >= 1.0)


def _prompt(name: str, draw: int, entry: Mapping[str, Any], instruction: str | None) -> Prompt:
    text = entry["question"] if instruction is None else f"{entry['question']}\n{instruction}"
    answer = entry["answer"]
    return user(text, target=None if answer is None else str(answer), tags={"id": f"{name}-{draw}", "draw": draw})


def _entries(name: str, parameters: str, seed: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for draw in itertools.count():
        try:
            entry = _block(name, parameters, seed, draw // _BLOCK)[draw % _BLOCK]
        except Exception as error:  # the boundary to a hundred generators: each refuses its parameters in its own way
            said = str(error) or type(error).__name__
            raise ValueError(
                f"rg:{name} cannot make prompts with {_shown(parameters)}: {said}; change its parameters"
            ) from error
        yield draw, entry


@functools.lru_cache(maxsize=64)
def _block(name: str, parameters: str, seed: int, block: int) -> Any:  # Any: not typed there
    import reasoning_gym

    start = int(digest("rg", name, seed)[:7], 16)
    return reasoning_gym.create_dataset(name, seed=start + block * _BLOCK, size=_BLOCK, **json.loads(parameters))


def _checked(name: str, parameters: Parameters) -> str:
    """The parameters as canonical JSON, once the generator and each of their names is known."""
    fields = _generators()[name]
    for parameter in parameters:
        if parameter not in fields:
            near = difflib.get_close_matches(parameter, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"rg:{name} has no parameter {parameter!r}; it has {', '.join(sorted(fields))}{hint}")
    return canonical(parameters)


def _known(name: str) -> str:
    """The generator's own name.

    Raises:
        ValueError: there is none of that name, or its prompts differ from process to process.
    """
    plain = name.removeprefix("rg:")
    names = _generators()
    if plain not in names:
        near = difflib.get_close_matches(plain, names, n=1)
        hint = f"; did you mean rg:{near[0]}?" if near else "; its documentation lists them"
        raise ValueError(f"reasoning-gym has no generator {plain!r}{hint}")
    if plain in UNSTABLE:
        raise ValueError(
            f"rg:{plain} makes other prompts or answers in each process, so no run on it can be repeated; choose another"
        )
    return plain


@functools.cache
def _generators() -> Mapping[str, frozenset[str]]:
    """By generator, the names of its parameters."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise DataError("rg: tasks need the package reasoning-gym; install it with: pip install 'sharpen[tasks]'") from error
    ours = {"seed", "size"}
    return {
        name: frozenset(field.name for field in dataclasses.fields(config)) - ours for name, (_, config) in DATASETS.items()
    }


def _version() -> str:
    return importlib.metadata.version("reasoning-gym")


def _shown(parameters: str) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in json.loads(parameters).items()) or "its default parameters"


def _scalar(value: object) -> Scalar:
    return value if value is None or isinstance(value, (str, int, float, bool)) else canonical(value)
