"""What can forbid a promotion, and never makes one: held-out prompts in what a round trained on, samples, and planted answers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sharpen.digest import digest
from sharpen.evaluate import Question, report_on
from sharpen.events import Event
from sharpen.filed import Scope
from sharpen.gates.without import stands_without
from sharpen.identity import function_key
from sharpen.overlap import HeldOut, Met
from sharpen.protocols import Gate, Request, Sampling
from sharpen.session import Session, View
from sharpen.tasks import Task
from sharpen.types import Decision, Report, Score
from sharpen.verifiers.canaries import fooled

__all__ = ["PROMPTS", "SAMPLES", "held_out_of", "met_in_round", "samples_of", "scrutinised", "shares_met"]

SAMPLES = 4
"""Answers that both models draw for a prompt, at temperature 1."""

PROMPTS = 64
"""Gate prompts that are sampled at most: the first, which lie in the order of a hash."""


def held_out_of(task: Task) -> HeldOut:
    """An index of the task's held-out prompts, by the split that they are of."""
    second = task.second.gate if task.second else ()
    return HeldOut({"gate": task.gate, "final": task.final, "second": second})


def met_in_round(session: Session, held_out: HeldOut, view: View) -> Sequence[Met]:
    """The held-out prompts that stand in what this round's steps selected; told and noted, with an example."""
    entries = [session.ledger.get("stage", key) for key in session.used.get("select", [])]
    found = held_out.met_in(session.ledger.sequence([entry for entry in entries if entry is not None]))
    for split in dict.fromkeys(one.split for one in found):
        mine = [one for one in found if one.split == split]
        message = (
            f"{len(mine)} prompts of {split} stand in what round {view.index + 1} trained on, such as {mine[0].text[:80]!r}"
        )
        session.observe(Event(kind="note", round=view.index, message=message))
        session.note(message, view)
    return found


def shares_met(task: Task, met: Sequence[Met]) -> Mapping[str, float]:
    """Of each split the share in [0, 1] of its prompts that were met, as monitors; 0 says that it was searched."""
    sizes = {"gate": len(task.gate), "final": len(task.final), "second": len(task.second.gate) if task.second else 0}
    return {f"overlap_{split}": sum(one.split == split for one in met) / size for split, size in sizes.items() if size}


def scrutinised(
    session: Session,
    decision: Decision,
    reports: tuple[Report, Report],
    gate: Gate,
    looks: int,
    *,
    met: Collection[str],
    place: View,
) -> Decision:
    """The decision, a promotion only if it stands with both models' samples shown to the gate, and without prompts that tell nothing.

    Those are prompts that stand in what was trained on, and prompts on which the verifier takes a planted answer.

    Args:
        reports: the candidate's and the incumbent's on the gate split.
        looks: the number of this look; all of it is part of it.
        met: ids of gate prompts that stand in what was trained on.
    """
    if not decision.promote:
        return decision
    verifier = session.task.verifier
    assert verifier is not None
    sampled = samples_of(session, reports, place)
    if sampled != reports:
        reports = sampled
        decision = gate(*reports, looks)
    if met:
        decision = stands_without(decision, reports, gate, looks, met, guard="overlap", what="stand in what was trained on")
    if not decision.promote:
        return decision
    taken = fooled(verifier, session.task.gate, reports[0].completions, reports[0].outcomes["accuracy"])
    if not taken:
        return decision
    what = f"have {Counter(taken.values()).most_common(1)[0][0]} accepted by the verifier, or the like"
    return stands_without(decision, reports, gate, looks, {*met, *taken}, guard="lax_verifier", what=what)


def samples_of(session: Session, reports: tuple[Report, Report], place: View) -> tuple[Report, Report]:
    """Both reports with what samples of their models came to; as they are where nothing can be sampled."""
    if "generate" not in session.runtime.capabilities or any(prompt.options for prompt in session.task.gate):
        return reports
    first, second = reports
    return _with_samples(session, first, place), _with_samples(session, second, place)


def _with_samples(session: Session, report: Report, place: View) -> Report:
    """The report with outcomes `pass@1` and `pass@4` of samples at temperature 1, None for prompts that were not sampled."""
    prompts = session.task.gate[:PROMPTS]
    verifier = session.task.verifier
    assert verifier is not None
    asked_of = [prompt.key for prompt in prompts]
    drawn = (session.seed, session.task.max_new_tokens, session.runtime.identity)
    key = digest("samples", report.checkpoint, asked_of, function_key(verifier), drawn)
    filed = session.filed_value("report", key)
    if not isinstance(filed, Report):
        scope = Scope(round=place.index, step=place.step_name, stage="evaluate samples on gate")
        asked = [prompt for prompt in prompts for _ in range(SAMPLES)]
        requests = [Request(prompt=prompt, index=number % SAMPLES, seed=session.seed) for number, prompt in enumerate(asked)]
        sampling = Sampling(temperature=1.0, max_new_tokens=session.task.max_new_tokens)
        made = session.policy(report.checkpoint, scope).generate(requests, sampling)
        filed = report_on(Question(split="gate samples", prompts=asked), made, report.checkpoint, verifier)
        facts = {"checkpoint": report.checkpoint, "split": "gate samples", "round": place.index}
        session.ledger.put("report", key, facts, [filed])
    scores = filed.outcomes["accuracy"]
    groups = [scores[start : start + SAMPLES] for start in range(0, len(scores), SAMPLES)]
    rest = [None] * (len(report.prompt_ids) - len(groups))
    columns: dict[str, tuple[Score, ...]] = {
        "pass@1": (*map(_mean, groups), *rest),
        f"pass@{SAMPLES}": (*map(_solved, groups), *rest),
    }
    return dataclasses.replace(report, outcomes={**report.outcomes, **columns})


def _mean(scores: tuple[Score, ...]) -> Score:
    return None if None in scores else sum(score or 0.0 for score in scores) / len(scores)


def _solved(scores: tuple[Score, ...]) -> Score:
    """Whether one of them is right; None where none is known to be, and not all are known."""
    if any(score is not None and score >= 0.5 for score in scores):
        return 1.0
    return None if None in scores else 0.0
