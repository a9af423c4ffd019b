"""A checkpoint's answers to held-out prompts, prompt by prompt, so that two checkpoints compare in pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.data.splits import families
from sharpen.digest import digest
from sharpen.events import Event
from sharpen.filed import Scope
from sharpen.identity import function_key
from sharpen.monitors.answers import TokensDrawn, answer_statistics, num_tokens
from sharpen.parts import Part
from sharpen.protocols import Request, Sampling, Verifier
from sharpen.session import Made, Session, View
from sharpen.tasks import Task
from sharpen.types import Completion, Group, Prompt, Report
from sharpen.verifiers import VerifierPool

__all__ = ["Question", "clusters_of", "evaluate", "report_on"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a checkpoint.

    Attributes:
        split: name of the held-out set.
        prompts: N held-out prompts; their targets judge the answers.
        asked: N prompts as put to the model (with demonstrations before them, say), or None for the prompts themselves.
        answer: how an answer is reached; None is one greedy completion.
        max_new_tokens: tokens of a greedy answer at most; None takes the task's limit.
    """

    split: str
    prompts: Sequence[Prompt]
    asked: Sequence[Prompt] | None = None
    answer: Part[Sequence[Prompt], Sequence[Group]] | None = None
    max_new_tokens: int | None = None


def evaluate(session: Session, checkpoint: str, question: Question, verifier: Verifier, place: View) -> Report:
    """The report of one checkpoint on one held-out set, filed.

    A round, a control and a headline that ask the same thing share one report. Reads of the final split are recorded.
    """
    asked = question.asked if question.asked is not None else question.prompts
    ids = [(prompt.key, shown.id) for prompt, shown in zip(question.prompts, asked, strict=True)]
    key = digest(
        "report",
        checkpoint,
        ids,
        function_key(verifier),
        (question.answer.key, _reads(session, question.answer)) if question.answer else None,
        question.max_new_tokens or session.task.max_new_tokens,
        session.runtime.identity,
    )
    if question.split == "final" and session.ledger.get("read", key) is None:
        session.ledger.put("read", key, {"split": "final", "checkpoint": checkpoint, "answer": repr(question.answer)})
    report = session.filed_value("report", key)
    if isinstance(report, Report):
        return report
    session.observe(Event(kind="stage", round=place.index, step=place.step_name, stage=f"evaluate on {question.split}"))
    completions, tokens = _answers(session, checkpoint, question, asked, place)
    report = report_on(question, completions, checkpoint, verifier)
    report = dataclasses.replace(report, statistics={**report.statistics, "answer_tokens": float(tokens)})
    session.ledger.put("report", key, {"checkpoint": checkpoint, "split": question.split, "round": place.index}, [report])
    return report


def report_on(question: Question, completions: Sequence[Completion], checkpoint: str, verifier: Verifier) -> Report:
    """The report of these N answers: each judged by the verifier; abstentions stay None."""
    with VerifierPool(verifier) as pool:
        verdicts = pool.verify(list(zip(question.prompts, completions, strict=True)))
    return Report(
        checkpoint=checkpoint,
        split=question.split,
        prompt_ids=tuple(prompt.id for prompt in question.prompts),
        outcomes={"accuracy": tuple(verdict.score for verdict in verdicts)},
        completions=tuple(completions),
        statistics=answer_statistics(completions, targets=[prompt.target for prompt in question.prompts]),
        clusters=clusters_of(question.prompts),
    )


def second_report(session: Session, checkpoint: str, task: Task, place: View) -> Report:
    """The report on the second task's gate split, which general ability is guarded by."""
    assert task.verifier is not None
    return evaluate(
        session,
        checkpoint,
        Question(split="second", prompts=task.gate, max_new_tokens=task.max_new_tokens),
        task.verifier,
        place,
    )


def clusters_of(prompts: Sequence[Prompt]) -> tuple[str, ...] | None:
    """What each prompt belongs to, where several were made from one: they rise and fall together."""
    if not any(prompt.parents for prompt in prompts):
        return None
    names = {prompt.id: family[0].id for family in families(prompts) for prompt in family}
    return tuple(names[prompt.id] for prompt in prompts)


def _reads(session: Session, answer: Part[Sequence[Prompt], Sequence[Group]]) -> object:
    """What a way to answer reads beside its prompts: the run's seed, and all roles but the checkpoint that is asked."""
    names = dict.fromkeys(name for part in answer.stages or (answer,) for name in part.reads if name != "current")
    return session.seed, {name: session.read_digest(name) for name in names}


def _answers(
    session: Session, checkpoint: str, question: Question, asked: Sequence[Prompt], place: View
) -> tuple[Sequence[Completion], int]:
    """The answers, and how many tokens were sampled for them: those of the samples that were not chosen too."""
    if question.answer is None:
        scope = Scope(round=place.index, step=place.step_name, stage=f"evaluate on {question.split}")
        sampling = Sampling(temperature=0, max_new_tokens=question.max_new_tokens or session.task.max_new_tokens)
        greedy = session.policy(checkpoint, scope).generate([Request(prompt=prompt) for prompt in asked], sampling)
        return greedy, num_tokens(greedy)
    view = session.view(index=place.index, step=place.step, step_name=f"{place.step_name} answer")
    blind = [dataclasses.replace(prompt, target=None) for prompt in asked]  # a method that answers must not read what is right
    value = Made(items=blind, digest=digest("prompts", [prompt.key for prompt in blind]))
    drawn = TokensDrawn()
    with session.acting(checkpoint):
        for stage in question.answer.stages or (question.answer,):
            value = session.stage(stage, value, view, f"answer {question.split}")
            for group in value.items:
                for one in group.completions if isinstance(group, Group) else ():
                    drawn.add(one)
    groups: Sequence[Group] = value.items
    for group in groups:
        if len(group.completions) != 1:
            raise ValueError(
                f"the answer stage {question.answer!r} left {len(group.completions)} completions of a prompt; end it with a part "
                "that chooses one"
            )
    return [group.completions[0] for group in groups], drawn.total
