"""What the conformance suite puts a method through: a small world that its card asks for, small parameters, and what is compared."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schooled import louder, schooled_folder

from sharpen.cards import Card
from sharpen.digest import digest
from sharpen.events import Event, silent
from sharpen.examples import Preference, Row
from sharpen.identity import function_key
from sharpen.ledger import Ledger
from sharpen.methods import find_method
from sharpen.parts import Part, Recipe, Step, chain, part
from sharpen.prompts import batch
from sharpen.prompts.contexts import ContextTree
from sharpen.protocols import Gate, Round, Verifier
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_prompts
from sharpen.runtime.torch_runtime import TorchRuntime
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.framed import Marked
from sharpen.sample.long_texts import Sound
from sharpen.select.cleaned import AnswerFilter
from sharpen.select.contrasts import Contrast
from sharpen.tasks import Task
from sharpen.types import Completion, Decision, Group, Prompt, Report, Score
from sharpen.verifiers import exact


def halves(text: str) -> Contrast | None:
    """The first half of a text as a right answer, the second as a wrong one."""
    half = len(text) // 2
    return Contrast(right=text[:half], wrong=text[half:]) if half and text[:half] != text[half:] else None


SMALL = {
    "num_prompts": 6,
    "num_samples": 4,
    "num_votes": 6,
    "num_refinements": 3,
    "min_mark": 0.0,
    "finished_only": False,
    "num_trained": 4,
    "num_steps": 2,
    "num_pinning_steps": 1,
    "num_updates": 2,
    "num_seed": 6,
    "num_examples": 8,
    "num_instructions": 12,
    "num_iterations": 3,
    "more_iterations": 2,
    "num_sets": 3,
    "min_visits": 2,
    "num_contexts": 3,
    "num_passes": 2,
    "num_revisions": 2,
    "num_pairs": 16,
    "aside": 0.5,
    "max_chance": 1.0,
    "max_turns": 3,
    "num_probed": 2,
    "labels_per_class": 2,
    "look_ahead": 1,
    "min_confidence": 0.4,
    "batch_size": 4,
    "epochs": 1,
    "instructions": batch(6),
    "answers": AnswerFilter(),
    "verbose_answers": AnswerFilter(),
    "answer_tokens": 8,
    "judge_temperature": 1.0,
    "read": halves,
    "max_sigmas": None,
    "num_items": 6,
    "tree": ContextTree(min_length=0, per_question=1, min_question=1),
    "num_tries": 2,
    "min_growth": 0.0,
    "sound": Sound(ends=""),
    "min_accepted": 0.0,
    "min_recovery": 0.0,
    "max_copied": 1.0,
    "num_asks": 4,
    "with_tests": Marked(line="!"),
}
"""Any method's parameters of these names, so that a round takes a fraction of a second."""


@dataclass(frozen=True, kw_only=True)
class Capitals(exact):
    """The share of capital letters, or of small ones; no target is read. It is an `exact` by kind so as to run in this process."""

    small: bool = False

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        right = str.islower if self.small else str.isupper
        return sum(map(right, completion.text)) / max(1, len(completion.text))


@dataclass(frozen=True, kw_only=True)
class Echo(exact):
    """Whether the answer is the word that was asked."""

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        return float(completion.text == prompt.text)


@dataclass(frozen=True, kw_only=True)
class Silence(exact):
    """A verifier that never knows."""

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        return None


VERIFIER, TURNED, GATED = Capitals(), Capitals(small=True), Echo()
"""What a method is told by, the opposite, and what it is gated by: tiny mostly echoes, so that most changes are for the worse."""


def world(card: Card) -> Task:
    """The task that a card asks for: 16 train prompts, 8 to gate and 8 final ones."""
    prompts = tiny_prompts(32, seed=5)
    tags = [{"skill": "ab"[place % 2], "bag": place // 4, "share": 0.5} for place in range(16)]
    train = [dataclasses.replace(one, tags=known) for one, known in zip(prompts[:16], tags, strict=True)]
    if "options" in card.needs:
        labels = ("A", "b")
        train = [dataclasses.replace(one, options=labels, target=labels[place % 2]) for place, one in enumerate(train)]
        if card.answers:  # with one of the options
            prompts = [dataclasses.replace(one, options=labels) for one in prompts]
    return Task(
        name="conformance",
        train=tuple(train),
        gate=tuple(prompts[16:24]),
        final=tuple(prompts[24:]),
        verifier=GATED,
        max_new_tokens=6,
        examples=preferences(train[:8]) if "examples" in card.needs else (),
    )


def preferences(prompts: Sequence[Prompt], *, turned: bool = False) -> tuple[Preference, ...]:
    """Capitals over small letters, or the other way round."""
    pairs = [[given_answer(one, text).row for text in (one.text.upper(), one.text)] for one in prompts]
    return tuple(Preference(chosen=one[turned], rejected=one[not turned]) for one in pairs)


def with_targets(task: Task, change: Callable[[str], str | None]) -> Task:
    """The task with other targets on its train prompts."""
    return task.replace(train=tuple(dataclasses.replace(one, target=change(one.target or "")) for one in task.train))


def built(name: str, verifier: Verifier = VERIFIER, **parameters: object) -> Recipe:
    """The method's recipe with small parameters, or those given."""
    function = find_method(name).function
    known = inspect.signature(function).parameters
    wanted = {**SMALL, "view": louder, "verifier": verifier, **parameters}
    made = function(**{key: value for key, value in wanted.items() if key in known})
    assert isinstance(made, Recipe)
    return made


def promote_all(candidate: Report, incumbent: Report, looks: int) -> Decision:
    """A gate that says yes, so that every role moves."""
    return Decision(promote=True, test="none asked", reason="promoted to see what follows")


def runtime() -> TorchRuntime:
    """The schooled tiny model in float32 on one thread, nothing of it in memory yet."""
    return TorchRuntime(schooled_folder(), base="tiny", device="cpu", dtype="float32", threads=1)


def lived(
    recipe: Recipe,
    task: Task,
    out: Path,
    *,
    model: TorchRuntime | None = None,
    rounds: int = 2,
    gate: Gate = promote_all,
    observe: Callable[[Event], None] = silent,
) -> Ended:
    """How a run of the recipe ends."""
    run = improve(
        recipe, model=model or runtime(), task=task, out=out, rounds=rounds, gate=gate, controls=False, observe=observe
    )
    try:
        return Ended.of(run)
    finally:
        run.close()


@dataclass(frozen=True, kw_only=True)
class Life:
    """One round of a run as it ended.

    Attributes:
        lessons: what was trained on, in plain values: targets and ids of weights are not in it.
        seen: by prompt, the texts sampled with what they were sampled under, and their scores.
        gate: mean outcomes of candidate and incumbent on the gate split, or None where nothing was tested.
    """

    index: int
    candidate: str
    incumbent: str
    decision: Decision
    lessons: tuple[object, ...]
    seen: tuple[object, ...]
    loss: float | None
    gate: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """All that two runs of one recipe must have in common."""

    best: str
    files: tuple[tuple[str, str], ...]
    rounds: tuple[Life, ...]
    answers: dict[str, dict[str, str]]

    @classmethod
    def of(cls, run: Run) -> Ended:
        """Read it from a finished run."""
        folder = run.best.uri
        files = sorted(Path(folder).rglob("*")) if folder else []
        return cls(
            best=run.best_id,
            files=tuple((one.name, hashlib.sha256(one.read_bytes()).hexdigest()) for one in files if one.is_file()),
            rounds=tuple(_life(run, place) for place in range(len(run.rounds))),
            answers={
                one.name: dict(zip(one.report.prompt_ids, [made.text for made in one.report.completions], strict=True))
                for one in run.results
            },
        )


def _life(run: Run, place: int) -> Life:
    one = run.rounds[place]
    losses = [value for name, value in one.trained.items() if name.startswith("loss")]
    return Life(
        index=one.index,
        candidate=one.candidate,
        incumbent=one.incumbent,
        decision=one.decision,
        lessons=tuple(_plain(example) for example in run.examples(one.index)),
        seen=tuple(
            (group.prompt.id, tuple((made.prompt_id, made.text) for made in group.completions), dict(group.scores))
            for group in run.groups(one.index)
        ),
        loss=losses[0] if losses else None,
        gate=tuple(map(_mean, one.gate)) if one.gate else None,  # type: ignore[arg-type]  # two of them
    )


def _mean(report: Report) -> float:
    known = [score for score in report.outcomes["accuracy"] if score is not None]
    return sum(known) / len(known)


def _plain(value: object) -> object:
    """An example without what no training reads: rows of no weight, and what is known of a prompt beside what is asked."""
    if isinstance(value, Row):
        if value.completion.segments and not any(value.token_weights):
            return None
        return (
            value.prompt.id,
            value.completion.token_ids,
            value.completion.text,
            value.token_weights,
            value.advantages,
        )
    if dataclasses.is_dataclass(value):
        return (type(value).__name__, *(_plain(getattr(value, one.name)) for one in dataclasses.fields(value)))
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def alike(one: object, other: object) -> bool:
    """Whether two values of `Life` are the same but for the last bits of numbers: rows scored beside others differ in them."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-5)
    return one == other


def first_lessons(ended: Ended) -> tuple[object, ...]:
    """What was trained on in the set-up and the first round."""
    return tuple(one.lessons for one in ended.rounds if one.index < 1)


def asked_by_part(out: Path) -> dict[str, set[str]]:
    """By name of a part, the calls that it made of a policy."""
    with Ledger(out) as ledger:
        found: dict[str, set[str]] = {}
        for entry in ledger.entries("block"):
            found.setdefault(entry.value["stage"], set()).add(entry.value["call"])
    return found


def asked(out: Path) -> set[str]:
    """Keys of all that was asked of any policy."""
    with Ledger(out) as ledger:
        return {entry.key for entry in ledger.entries("block")}


def steps_of(recipe: Recipe) -> tuple[Step, ...]:  # type: ignore[type-arg]  # of any examples
    return (*recipe.setup, *recipe.steps)


def changed_steps(recipe: Recipe, change: Callable[[Step], Step]) -> Recipe:  # type: ignore[type-arg]  # as above
    return dataclasses.replace(recipe, setup=tuple(map(change, recipe.setup)), steps=tuple(map(change, recipe.steps)))


def ruinous(step: Step) -> Step:  # type: ignore[type-arg]  # as above
    """The step with a learning rate that no weights survive."""
    return dataclasses.replace(step, training=dataclasses.replace(step.training, learning_rate=0.3, max_mismatch=float("inf")))


def _mute(prompt: Prompt, completion: Completion) -> bool:
    """A third of all finished completions."""
    key = digest("mute", prompt.id, completion.text, completion.index)
    return completion.finish != "partial" and int(key[:8], 16) % 3 == 0


@part()
def muted() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups of which a third of all scores abstain."""

    return lambda groups, round: list(map(_muted, groups))


@part()
def removed() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups without the completions that `muted` lets abstain, as if they had never been sampled."""
    return lambda groups, round: list(_left(groups))


@part()
def negated() -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Groups whose scores are turned round: what does not change then reads none."""

    def turned(group: Group) -> Group:
        columns = {name: [None if one is None else -one for one in column] for name, column in group.scores.items()}
        return group.with_scores(**columns)

    return lambda groups, round: list(map(turned, groups))


def _muted(group: Group) -> Group:
    return group.with_scores(**{name: _without(group, column) for name, column in group.scores.items()})


def _without(group: Group, column: Sequence[Score]) -> list[Score]:
    return [None if _mute(group.prompt, one) else score for one, score in zip(group.completions, column, strict=True)]


def _left(groups: Sequence[Group]) -> Iterator[Group]:
    """A group in which all else abstained stays as `muted` leaves it."""
    for group in groups:
        kept = [place for place, one in enumerate(group.completions) if not _mute(group.prompt, one)]
        if all(column[place] is None for column in group.scores.values() for place in kept):
            yield _muted(group)
        else:
            yield dataclasses.replace(
                group,
                completions=tuple(group.completions[place] for place in kept),
                scores={name: tuple(column[place] for place in kept) for name, column in group.scores.items()},
                token_scores={name: tuple(column[place] for place in kept) for name, column in group.token_scores.items()},
            )


Groups = Part[Sequence[Group], Sequence[Group]]


def abstaining(recipe: Recipe, how: Groups) -> Recipe | None:
    """The recipe with `how` behind what writes its scores: behind each part that asks the verifier, else before selection.

    None where nothing in it writes a score: then nothing can abstain.
    """
    applied = []

    def change(step: Step) -> Step:  # type: ignore[type-arg]  # as above
        parts = _opened(step.feedback)
        places = [place for place, one in enumerate(parts) if _asks(one)]
        writes = any(one.writes for one in (*_opened(step.sample), *parts))
        if not writes:
            return step
        applied.append(step.name)
        for place in reversed(places or [len(parts) - 1]):
            parts.insert(place + 1, how)
        return dataclasses.replace(step, feedback=chain(*parts))

    made = changed_steps(recipe, change)
    answer = _opened(recipe.answer)
    if any(one.writes for one in answer[:-1]):
        applied.append("answer")
        made = dataclasses.replace(made, answer=chain(*answer[:-1], how, answer[-1]))
    return made if applied else None


def _opened(stage: Part | None) -> list[Part]:  # type: ignore[type-arg]  # of any types
    return list(stage.stages or (stage,)) if stage is not None else []


def _asks(stage: Part) -> bool:  # type: ignore[type-arg]  # as above
    return any(callable(value) and function_key(value) == function_key(VERIFIER) for value in stage.arguments.values())
