"""A recipe's pass in small: its own stages on a few prompts, nothing trained, so that a plan counts instead of guessing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.digest import digest
from sharpen.examples import Example, Row
from sharpen.filed import Scope
from sharpen.parts import Step
from sharpen.protocols import Request, Runtime, Sampling
from sharpen.sample import shown_demonstrations, with_demonstrations
from sharpen.session import Made, Session, View
from sharpen.types import Completion, Group, Prompt
from sharpen.verifiers import VerifierPool

__all__ = ["Headroom", "Rehearsed", "Work", "forward_speed", "headroom_of", "rehearse", "row_tokens", "warm_up"]

_RIGHT = 0.5  # a score from here on counts as right, as in the monitors
_SHOWN = 4  # demonstrations in the prompt


@dataclass(frozen=True, kw_only=True)
class Work:
    """Tokens and seconds that a kind of work is expected to take over the whole run."""

    name: str
    tokens: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """What the base can do at best; self-training turns pass@n into pass@1, where there is a difference.

    Attributes:
        first: share right with one sample (pass@1), in [0, 1].
        many: share of prompts with a right one among `num_samples` (pass@n).
        mixed: share of prompts with right and wrong samples: only these teach by comparison.
        cut: share of answers that were cut at the limit of tokens.
        abstained: share of samples without a verdict.
        greedy: share right with the greedy answer.
        prompted: the same with four demonstrations in the prompt; None where there are too few targets, or no room.
        redrawn: share of prompts that turn from right to wrong from one sample to another, unbiased; None with one sample a prompt.
    """

    num_prompts: int
    num_samples: int
    first: float
    many: float
    mixed: float
    cut: float
    abstained: float
    greedy: float
    prompted: float | None
    redrawn: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What one pass of a step did to the probe's prompts.

    Attributes:
        times: how often the run does this pass.
        scale: prompts of a real pass for each of the probe's; 1 where the step samples nothing and all was counted.
        work: of the probe, by kind.
    """

    step: Step[Any]  # Any: any kind of example
    times: int
    scale: float
    groups: Sequence[Group]
    examples: Sequence[Example]
    work: tuple[Work, ...]

    @property
    def num_examples(self) -> float:
        """Examples that a real pass is expected to train on."""
        return self.scale * len(self.examples)

    def over_run(self) -> list[Work]:
        """The work of all passes of the run."""
        factor = self.scale * self.times
        return [Work(name=one.name, tokens=factor * one.tokens, seconds=factor * one.seconds) for one in self.work]

    def training(self, runtime: Runtime, tokens_a_second: float) -> Work:
        """The training of all passes: three forward passes' worth for each token, and one for each role that is compared with."""
        tokens: float = sum(row_tokens(runtime, row) for example in self.examples for row in example.rows)
        tokens *= self.scale * self.times
        columns = self.step.objective.columns if self.step.objective is not None else ()
        num_roles = sum(name not in ("sampler", "entropies") for name in columns)
        epochs = self.step.training.epochs
        return Work(name="training", tokens=tokens * epochs, seconds=(3 * epochs + num_roles) * tokens / tokens_a_second)


def rehearse(session: Session, step: Step[Any], times: int, probe: Sequence[Prompt]) -> Rehearsed:
    """The step's slots on the probe, in the session's ledger; what they sampled and scored is timed there."""
    before = len(session.ledger.entries("block"))
    num_prompts = len(session.task.train)
    if step.prompts is not None and "generate" not in step.prompts.needs:
        num_prompts = len(session.stage(step.prompts, _made(session.task.train), _view(session, step), "prompts").items)
    value = _made(probe)
    groups: Sequence[Group] = []
    if step.sample is not None:
        value = session.stage(step.sample, value, _view(session, step), "sample")
        groups = value.items
    if step.feedback is not None:
        value = session.stage(step.feedback, value, _view(session, step), "feedback")
        groups = value.items
    examples = session.stage(step.select, value, _view(session, step), "select").items if step.select is not None else []
    blocks = [entry.value for entry in session.ledger.entries("block")[before:]]
    kinds = {"generate": "sampling", "score": "scoring", "options": "scoring", "embed": "scoring"}
    return Rehearsed(
        step=step,
        times=times,
        scale=num_prompts / len(probe) if step.sample is not None else 1.0,
        groups=groups,
        examples=examples,
        work=tuple(Work(name=kinds[block["call"]], tokens=block["tokens"], seconds=block["seconds"]) for block in blocks),
    )


def headroom_of(session: Session, groups: Sequence[Group]) -> Headroom | None:
    """What the base can do on these groups' prompts, given its samples; None without a verifier."""
    verifier = session.task.verifier
    if verifier is None:
        return None
    prompts = [group.prompt for group in groups]
    longer = _demonstrated(session, prompts)
    with VerifierPool(verifier) as pool:
        pairs = [(group.prompt, one) for group in groups for one in group.completions]
        scores = iter([verdict.score for verdict in pool.verify(pairs)])
        rows = [[next(scores) for _ in group.completions] for group in groups]
        greedy = _share(pool, prompts, _greedy(session, prompts))
        prompted = _share(pool, prompts, _greedy(session, longer)) if longer else None
    every = [one for group in groups for one in group.completions]
    right = [[score is not None and score >= _RIGHT for score in row] for row in rows]
    return Headroom(
        num_prompts=len(groups),
        num_samples=len(groups[0].completions),
        first=sum(map(sum, right)) / len(every),
        many=sum(map(any, right)) / len(groups),
        mixed=sum(any(row) and not all(row) for row in right) / len(groups),
        cut=sum(one.finish == "length" for one in every) / len(every),
        abstained=sum(score is None for row in rows for score in row) / len(every),
        greedy=greedy,
        prompted=prompted,
        redrawn=_redrawn(right),
    )


def _redrawn(right: Sequence[Sequence[bool]]) -> float | None:
    """The mean of c (n - c) / (n (n - 1)), with c right of n samples: how likely a first is right and a second wrong."""
    rows = [(len(row), sum(row)) for row in right if len(row) > 1]
    return sum(c * (n - c) / (n * (n - 1)) for n, c in rows) / len(rows) if rows else None


def forward_speed(runtime: Runtime, rows: Sequence[Row]) -> float:
    """Tokens a second (prompt and answer) of a forward pass over these rows, measured now; what is done once for a row is not timed."""
    policy = runtime.load(runtime.base)
    policy.score(rows)
    began = time.perf_counter()
    policy.score(rows)
    return sum(row_tokens(runtime, row) for row in rows) / max(1e-6, time.perf_counter() - began)


def warm_up(runtime: Runtime, prompt: Prompt) -> None:
    """Read the weights, so that no clock counts it."""
    runtime.load(runtime.base).score(
        [Row(prompt=prompt, completion=runtime.encode(prompt, prompt.options[0] if prompt.options else "."))]
    )


def row_tokens(runtime: Runtime, row: Row) -> int:
    """Tokens of a training row; given text is tokenised for the count."""
    completion = row.completion if row.completion.segments else runtime.encode(row.prompt, row.completion.text)
    return runtime.prompt_length(row.prompt) + len(completion.token_ids)


def _demonstrated(session: Session, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts after four demonstrations; none where the task has too few, or they do not fit the model's context."""
    task, runtime = session.task, session.runtime
    known = task.demonstrations or [prompt for prompt in task.train if prompt.target is not None]
    if len(known) < _SHOWN:
        return []
    shown = shown_demonstrations(task, _SHOWN)
    longer = [with_demonstrations(prompt, shown) for prompt in prompts]
    room = runtime.max_length - task.max_new_tokens
    return longer if all(runtime.prompt_length(prompt) <= room for prompt in longer) else []


def _greedy(session: Session, prompts: Sequence[Prompt]) -> Sequence[Completion]:
    scope = Scope(round=0, step="plan", stage="greedy answers")
    sampling = Sampling(temperature=0, max_new_tokens=session.task.max_new_tokens)
    return session.policy(session.roles["base"], scope).generate([Request(prompt=prompt) for prompt in prompts], sampling)


def _share(pool: VerifierPool, prompts: Sequence[Prompt], answers: Sequence[Completion]) -> float:
    verdicts = pool.verify(list(zip(prompts, answers, strict=True)))
    return sum((verdict.score or 0.0) >= _RIGHT for verdict in verdicts) / len(prompts)


def _view(session: Session, step: Step[Any]) -> View:
    return session.view(index=0, step_name=step.name)


def _made(prompts: Sequence[Prompt]) -> Made:
    return Made(items=list(prompts), digest=digest("prompts", [prompt.key for prompt in prompts]))
