"""A run's monitors for people: what each figure means, how it went over the rounds, and what should worry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from sharpen.monitors import Alarm, alarms
from sharpen.report.charts import sparkline
from sharpen.report.figures import estimate
from sharpen.report.text import amount
from sharpen.run import Round

__all__ = ["Family", "Panel", "Worry", "families", "history", "round_name", "worries"]

Unit = Literal["share", "number", "nats", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A monitor's title, unit and meaning."""

    title: str
    unit: Unit
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One small chart.

    Attributes:
        values: by round, as text; empty where the round has none.
        last: the latest value.
        low, high: ends of the scale.
    """

    name: str
    figure: Figure
    values: tuple[str, ...]
    last: str
    low: str
    high: str
    chart: Markup


@dataclass(frozen=True, kw_only=True)
class Family:
    """Small charts that are read together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Worry:
    """An alarm and the round that raised it."""

    round: str
    alarm: Alarm


def _figures(rows: Iterable[tuple[str, str, Unit, str]]) -> dict[str, Figure]:
    return {name: Figure(title=title, unit=unit, meaning=meaning) for name, title, unit, meaning in rows}


FAMILIES: Mapping[str, Mapping[str, Figure]] = {
    "Correctness and reward": _figures(
        [
            ("held_out", "accuracy at the gate", "share", "the candidate's, on held-out prompts"),
            ("pass@k", "pass@k", "share", "chance that one of k samples is right"),
            ("majority_accuracy", "majority accuracy", "share", "of the most frequent answer"),
            ("reward_mean", "mean reward", "number", "over all samples with a verdict"),
            ("reward_spread", "reward spread", "number", "mean distance from the group's mean"),
            ("effective_group_rate", "groups that teach", "share", "groups whose rewards differ"),
            ("abstain_rate", "abstentions", "share", "samples without a verdict"),
            ("reward_auroc", "reward AUROC", "share", "chance that a right answer outscores a wrong one"),
            ("reward_best_of_n", "best by reward", "share", "accuracy of the highest-scored answer"),
            ("reward_accuracy", "reward accuracy", "share", "samples on which reward and truth agree"),
            ("judge_accuracy", "accuracy of the judge", "share", "of a trained judge, on pairs that were set aside"),
            ("judge_chance", "chance of that accuracy", "share", "how likely a coin does as well"),
            ("judge_pairs", "pairs set aside", "number", "that the judge's accuracy is read from"),
            ("reward_gap", "reward gap", "number", "mean reward of right answers less that of wrong ones"),
        ]
    ),
    "Variety": _figures(
        [
            ("distinct_answers", "distinct answers", "number", "a prompt, mean over groups"),
            ("distinct_correct", "distinct among right", "share", "distinct right answers of all right ones"),
            ("answer_entropy", "answer entropy", "nats", "of a group's answers"),
            ("token_entropy", "token entropy", "nats", "of the candidate's next token"),
            ("majority_share", "majority share", "share", "samples that agree with the most frequent answer"),
            ("coverage", "coverage", "number", "mean of 1 / majority share"),
            ("pair_distance", "pair distance", "share", "1 less the overlap of two samples"),
            ("novelty", "novelty", "share", "kept answers not seen in earlier rounds"),
        ]
    ),
    "Length and endings": _figures(
        [
            ("mean_length", "length", "tokens", "mean of all samples"),
            ("mean_length_correct", "length of right answers", "tokens", "mean"),
            ("mean_length_wrong", "length of wrong answers", "tokens", "mean"),
            ("stop_rate", "stop rate", "share", "samples that end by themselves"),
            ("truncation_rate", "cut at the limit", "share", "samples"),
        ]
    ),
    "Selection": _figures(
        [
            ("yield", "yield", "share", "samples kept for training"),
            ("barren_prompts", "barren prompts", "share", "prompts with nothing kept"),
            ("kept_gini", "inequality of kept", "share", "Gini over prompts; 0 is equal"),
            ("overlap_gate", "gate prompts trained on", "share", "found in what was trained on, whole or in pieces"),
            ("overlap_final", "final prompts trained on", "share", "found in what was trained on, whole or in pieces"),
            ("overlap_second", "second task's trained on", "share", "found in what was trained on, whole or in pieces"),
        ]
    ),
    "Drift of the candidate": _figures(
        [
            ("kl_base/k3", "KL to base", "nats", "a token, k3 estimate"),
            ("kl_base/k1", "KL to base, k1", "nats", "a token, unbiased estimate"),
            ("kl_incumbent/k3", "KL to incumbent", "nats", "a token, k3 estimate"),
            ("kl_incumbent/k1", "KL to incumbent, k1", "nats", "a token, unbiased estimate"),
            ("sampler_error/max", "sampler error, largest", "nats", "sampler's log-probability against the scorer's"),
            ("sampler_error/mean", "sampler error, mean", "nats", "sampler's log-probability against the scorer's"),
        ]
    ),
    "Training": _figures(
        [
            ("gradient_norm", "gradient norm", "number", "before clipping, mean over steps"),
            ("displaced", "displaced", "share", "chosen answers that became less likely than under the reference"),
            ("idle_rows", "idle rows", "number", "of a step that could teach nothing, and did not run"),
            ("memory_splits", "splits", "number", "of a step, where a pass did not fit in memory"),
            ("mismatch/mean", "mismatch, mean", "nats", "sampler's log-probability against the trainer's"),
            ("mismatch/max", "mismatch, largest", "nats", "sampler's log-probability against the trainer's"),
            ("mismatch/probability", "mismatch of probability", "share", "mean; training stops above max_mismatch"),
            ("mismatch/ratio", "ratio before training", "number", "mean over sampled tokens; 1 is right within chance"),
            ("mismatch/ratio_spread", "spread of that ratio", "number", "over sampled tokens; 0 is right"),
        ]
    ),
}


def history(rounds: Sequence[Round]) -> Sequence[Mapping[str, float]]:
    """By round, everything that was watched: monitors, training metrics, and accuracy at the gate."""
    found = []
    for one in rounds:
        gate = estimate(one.gate[0]) if one.gate is not None else None
        found.append({**one.monitors, **one.trained, **({"held_out": gate.mean} if gate is not None else {})})
    return found


def families(rounds: Sequence[Round]) -> tuple[Family, ...]:
    """Every monitor that the run has, those we know by family, then the others under their own names."""
    watched = history(rounds)
    waiting = dict.fromkeys(name for row in watched for name in row)
    found: list[Family] = []
    for title, known in FAMILIES.items():
        names = [name for key in known for name in _expanded(key, waiting)]
        panels = tuple(_panel(name, _known(name, known), watched, rounds) for name in names)
        found += [Family(title=title, panels=panels)] if panels else []
        for name in names:
            del waiting[name]
    plain = [_panel(name, Figure(title=name, unit="number", meaning="mean over steps"), watched, rounds) for name in waiting]
    if plain and found and found[-1].title == "Training":
        return (*found[:-1], Family(title="Training", panels=(*found[-1].panels, *plain)))
    return (*found, Family(title="Other", panels=tuple(plain))) if plain else tuple(found)


def worries(rounds: Sequence[Round]) -> tuple[Worry, ...]:
    """Every alarm with the round that raised it."""
    watched = history(rounds)
    return tuple(
        Worry(round=round_name(one.index), alarm=alarm)
        for place, one in enumerate(rounds)
        for alarm in alarms(watched[: place + 1])
    )


def round_name(index: int) -> str:
    """A round as people count them, from 1.

    >>> round_name(0), round_name(-1)
    ('Round 1', 'Setup')
    """
    return f"Round {index + 1}" if index >= 0 else "Setup"


def _expanded(key: str, waiting: Mapping[str, None]) -> list[str]:
    if key != "pass@k":
        return [key] if key in waiting else []
    sizes = [name for name in waiting if name.startswith("pass@") and name.removeprefix("pass@").isdigit()]
    return sorted(sizes, key=lambda name: int(name.removeprefix("pass@")))


def _known(name: str, known: Mapping[str, Figure]) -> Figure:
    if name in known:
        return known[name]
    size = name.removeprefix("pass@")
    meaning = "chance that a sample is right" if size == "1" else f"chance that one of {size} samples is right"
    return Figure(title=name, unit="share", meaning=meaning)


def _panel(name: str, figure: Figure, watched: Sequence[Mapping[str, float]], rounds: Sequence[Round]) -> Panel:
    values = [row.get(name) for row in watched]
    known = [value for value in values if value is not None]
    low, high = (0.0, 1.0) if figure.unit == "share" else (min(0.0, *known), max(0.0, *known))
    words = tuple("" if value is None else _value(value, figure.unit) for value in values)
    told = [f"{round_name(one.index)}: {word}" for one, word in zip(rounds, words, strict=True) if word]
    return Panel(
        name=name,
        figure=figure,
        values=words,
        last=_value(known[-1], figure.unit),
        low=f"{100 * low:.0f} %" if figure.unit == "share" else amount(low),
        high=f"{100 * high:.0f} %" if figure.unit == "share" else amount(high),
        chart=sparkline(values, low=low, high=high, label=f"{figure.title}. {'; '.join(told)}"),
    )


def _value(value: float, unit: Unit) -> str:
    return f"{100 * value:.1f} %" if unit == "share" else amount(value)
