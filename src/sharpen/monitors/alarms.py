"""Patterns in a run's monitors that mean trouble, each with its likely cause and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Alarm", "alarms"]

WINDOW = 3  # rounds that a trend is read over, the last included: one round is noise, a whole run hides a late fall
STEP = 0.02  # a share moves where it changes by two points ...
RELATIVE = 0.05  # ... or any figure by a twentieth of itself, whichever is more
CHANCE = 0.05  # a judge is told of where chance explains its accuracy with more than this
FOOLED = 0.2  # share of planted answers that win over all real ones, above which the judge is told of
DRIFT = 0.25  # answers a quarter longer, and no better, are a drift


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A pattern that was found.

    Attributes:
        name: one word per pattern.
        pattern: what was seen, with numbers.
        cause: what most likely lies behind it.
        action: what to do, in one sentence.
    """

    name: str
    pattern: str
    cause: str
    action: str


@dataclass(frozen=True, kw_only=True)
class _Trend:
    """One figure at both ends of the window."""

    name: str
    before: float
    now: float

    @property
    def step(self) -> float:
        return max(STEP, RELATIVE * abs(self.before))

    @property
    def rises(self) -> bool:
        return self.now - self.before > self.step

    @property
    def falls(self) -> bool:
        return self.before - self.now > self.step

    def __str__(self) -> str:
        return f"{self.name} {self.before:.3g} -> {self.now:.3g}"


def alarms(history: Sequence[Mapping[str, float]]) -> tuple[Alarm, ...]:
    """The alarm patterns that the last rounds show; a pattern whose figures are missing is skipped.

    Trends compare the last round with the one two rounds before it (or the first); figures move where they change by more than
    0.02 and a twentieth. It reads the names that `round_monitors` writes, and from others `held_out` (accuracy at the gate),
    `unchanged_rate` (share of corrections that change nothing), `label_accuracy` (of pseudo-labels against held-back targets),
    `judge_accuracy` and `judge_chance` (of a trained judge on pairs set aside), `judge_fooled` (share of planted answers that won),
    `gradient_norm`, `displaced`, `reward_auroc`, and `overlap_gate`, `overlap_final`, `overlap_second` (share of these prompts that stand
    in what was trained on).

    Args:
        history: one mapping of monitors a round, oldest first.

    >>> alarms([{"effective_group_rate": 0.1}])[0].name
    'idle_groups'
    """
    if not history:
        return ()
    before, now = history[max(0, len(history) - WINDOW)], history[-1]
    return (*_trend_alarms(before, now), *_level_alarms(now))


def _trend_alarms(before: Mapping[str, float], now: Mapping[str, float]) -> list[Alarm]:
    def trend(name: str) -> _Trend | None:
        return _Trend(name=name, before=before[name], now=now[name]) if name in before and name in now else None

    reward, held_out = trend("reward_mean"), trend("held_out")
    one, many = trend("pass@1"), trend(_largest_pass(before, now))
    distinct = trend("distinct_correct")
    majority, labels = trend("majority_share"), trend("label_accuracy")
    length = trend("mean_length")
    found = []
    if reward and held_out and reward.rises and not held_out.rises:
        found.append(
            Alarm(
                name="reward_hacking",
                pattern=f"{reward} while {held_out}",
                cause="the reward is hacked, or pseudo-labels lock in",
                action="Roll back, and read the wrong answers with the highest reward.",
            )
        )
    if one and many and distinct and many.name != "pass@1" and one.rises and many.falls and distinct.falls:
        found.append(
            Alarm(
                name="over_sharpening",
                pattern=f"{one} while {many} and {distinct}",
                cause="the policy sharpens onto few answers and loses coverage",
                action="Raise the temperature, cap examples a prompt, or restart from base.",
            )
        )
    if majority and labels and majority.rises and not labels.rises:
        found.append(
            Alarm(
                name="false_consensus",
                pattern=f"{majority} while {labels}",
                cause="samples agree on wrong answers",
                action="Label from another view of the prompt, or stop.",
            )
        )
    if length and held_out and length.falls and held_out.falls and now.get("truncation_rate") == 0.0:
        found.append(
            Alarm(
                name="too_brief",
                pattern=f"{length} and {held_out}, with nothing truncated",
                cause="short answers are rewarded too strongly",
                action="Lower the weight of brevity, and reward it only in right answers.",
            )
        )
    if length and held_out and length.now > (1 + DRIFT) * length.before and not held_out.rises:
        found.append(
            Alarm(
                name="length_drift",
                pattern=f"{length} while {held_out}",
                cause="longer answers are rewarded, or long ones are the likelier to be kept",
                action="Take length out of the reward, or compare answers of like length.",
            )
        )
    return found


def _level_alarms(now: Mapping[str, float]) -> list[Alarm]:
    found = []
    if now.get("effective_group_rate", 1.0) < 0.2:
        found.append(
            Alarm(
                name="idle_groups",
                pattern=f"only {now['effective_group_rate']:.0%} of groups have differing rewards",
                cause="prompts are too easy or too hard",
                action="Skip groups of equal reward and sample others, or choose prompts that are solved about half the time.",
            )
        )
    if now.get("reward_auroc", 1.0) < 0.5:
        found.append(
            Alarm(
                name="misleading_reward",
                pattern=f"a right answer outscores a wrong one to the same prompt only {now['reward_auroc']:.0%} of the time",
                cause="the judge, the votes or the confidence favour wrong answers, and training confirms them",
                action="Do not train on this reward; audit it, or give it another view of the prompt.",
            )
        )
    if now.get("displaced", 0.0) > 0.5:
        found.append(
            Alarm(
                name="displacement",
                pattern=f"{now['displaced']:.0%} of the chosen answers became less likely",
                cause="chosen and rejected answers are much alike, and the loss moves likelihood to neither",
                action="Add a likelihood term on the chosen side, or pair answers that differ more.",
            )
        )
    if now.get("unchanged_rate", 0.0) >= 0.95:
        found.append(
            Alarm(
                name="correction_collapse",
                pattern=f"{now['unchanged_rate']:.0%} of corrections change nothing",
                cause="self-correction collapsed into repeating the first answer",
                action="Train the second turn alone first, with a bonus for progress.",
            )
        )
    if now.get("gradient_norm", 1.0) == 0.0 and now.get("reward_mean", 0.0) != 0.0:
        found.append(
            Alarm(
                name="no_gradient",
                pattern=f"the gradient is 0 though the mean reward is {now['reward_mean']:.3g}",
                cause="all rewards of a group are equal, or every token's weight is 0",
                action="Check token weights before tuning anything.",
            )
        )
    if now.get("judge_chance", 0.0) > CHANCE:
        found.append(
            Alarm(
                name="blind_judge",
                pattern=f"a coin does as well as the trained judge with probability {now['judge_chance']:.2g}: {_judged(now)}",
                cause="its pairs are too few or too noisy, or the model cannot tell their sides apart",
                action="Train the judge on more pairs, longer, or from a larger model; until then its values are abstentions.",
            )
        )
    met = {name: now.get(f"overlap_{name}", 0.0) for name in ("gate", "final", "second")}
    if any(met.values()):
        found.append(
            Alarm(
                name="overlap",
                pattern=", ".join(f"{share:.1%} of {name} prompts" for name, share in met.items() if share)
                + " stand in what was trained on",
                cause="train and held-out prompts have a common source, or a model wrote down what it had learned by heart",
                action="Take them out of one side; without its share of the gate a promotion must stand, the final figure may flatter.",
            )
        )
    if now.get("judge_fooled", 0.0) > FOOLED:
        found.append(
            Alarm(
                name="fooled_judge",
                pattern=f"{now['judge_fooled']:.0%} of the empty, boasting and commanding answers that were planted won",
                cause="the judge follows what an answer says of itself, or marks without reading",
                action="Do not train on its marks; ask another judge, or one question at a time, or use a verifier.",
            )
        )
    if now.get("abstain_rate", 0.0) > 0.1:
        found.append(
            Alarm(
                name="abstentions",
                pattern=f"{now['abstain_rate']:.0%} of scores abstain",
                cause="the verifier or judge cannot read these answers, hangs or crashes",
                action="Audit it on the answers that it abstained on.",
            )
        )
    return found


def _judged(now: Mapping[str, float]) -> str:
    if "judge_accuracy" not in now:
        return "no pair was set aside to test it on"
    return f"it is right on {now['judge_accuracy']:.0%} of {now.get('judge_pairs', 0):.0f} pairs that were set aside"


def _largest_pass(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    sizes = [int(name.removeprefix("pass@")) for name in now if name.startswith("pass@") and name in before]
    return f"pass@{max(sizes, default=1)}"
