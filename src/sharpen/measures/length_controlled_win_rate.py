"""The win rate that a model would have if its answers were as long as the baseline's.

Shapes: N prompts, D features (length, quality, difficulty).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpen.cards import MeasureCard
from sharpen.stats import Interval, bootstrap_interval
from sharpen.stats.logistic import Regression, fitted_logistic
from sharpen.types import Score

__all__ = ["CARD", "Duel", "LengthControlledWinRate", "length_controlled_win_rate"]

CARD = MeasureCard(
    title="Length-controlled win rate (AlpacaEval 2)",
    paper="Dubois et al., 2024",
    arxiv="2404.04475",
    claim="A win rate over a baseline from which what a judge gives for length alone is taken out by a regression.",
    takes=(
        "for each prompt, a judge's preference for the model's answer over the baseline's, in [0, 1]",
        "the lengths of both answers (characters)",
        "where known, the prompts' difficulties, and duels of copies of the baseline that were told to be long or short",
    ),
    from_run="what it ends with against what it started from, on the final split: the better verdict wins, equal ones tie",
    departs=(
        "difficulties are given or left out: the source ships those that it fitted for its own prompts",
        "copies of the baseline told to be long or short are optional; without them the L1 penalty alone holds the length term down",
        "the row's place says into which fold it falls; the source's library deals rows out in an order of its own",
        "prompts without a preference are left out of all; the source counts their lengths in the spread, and predicts them too",
        "of a run, the verifier stands for the judge",
        "the interval, from resampled prompts at the same penalty, is ours",
    ),
    shelf="faithful",
    oracle="tests/unit/test_length_controlled_win_rate.py::test_the_regression_is_that_of_the_reference",
)
_STRENGTHS = tuple(np.logspace(-4, 4, 10))  # the ten that the source's library tries
_FOLDS = 5  # "n_splits": 5
_GAMED = 0.2  # "regularize_to_baseline_lambda": 0.2, shared by the two copies


@dataclass(frozen=True, kw_only=True)
class Duel:
    """A copy of the baseline, told to be long or short, against the baseline: held to be as good by the regression.

    Attributes:
        preference: the judge's for the copy, in [0, 1].
        length, baseline_length: of the two answers (characters).
        difficulty: of the prompt; 0 where none are known.
        copy: which of the copies it is: lengths are compared with the spread within one.
    """

    preference: float
    length: int
    baseline_length: int
    difficulty: float = 0.0
    copy: str = ""


@dataclass(frozen=True, kw_only=True)
class LengthControlledWinRate:
    """Figures of N prompts.

    Attributes:
        win_rate: 100 times the mean preference, with its 95 % interval; None for fewer than two prompts.
        length_controlled: the win rate at equal length, in [0, 100].
        length_controlled_interval: 95 %, prompts resampled and the regression fitted again.
        quality, length, difficulty: the coefficients; `length` is what a longer answer brings, `difficulty` None where none are
            known.
        strength: of the cross-entropy beside the penalty, as cross-validation chose it.
        mean_length, baseline_mean_length: characters.
        num_prompts: N.
        num_left_out: prompts without a preference.
        extreme: whether the two win rates are so far apart that the source warns of a regression that failed.
    """

    win_rate: float
    win_rate_interval: Interval | None
    length_controlled: float
    length_controlled_interval: Interval | None
    quality: float
    length: float
    difficulty: float | None
    strength: float
    mean_length: float
    baseline_mean_length: float
    num_prompts: int
    num_left_out: int
    extreme: bool


def length_controlled_win_rate(
    preferences: Sequence[Score],
    lengths: Sequence[int],
    baseline_lengths: Sequence[int],
    *,
    difficulties: Sequence[float] | None = None,
    gamed: Sequence[Duel] = (),
    num_resamples: int = 499,
) -> LengthControlledWinRate:
    """How often a judge would prefer a model to a baseline if their answers were as long.

    P(model wins) = sigmoid(theta + phi tanh(d / std d) + psi gamma), d the model's length minus the baseline's, gamma the
    prompt's difficulty; fitted with an L1 penalty and no intercept, its strength by 5-fold cross-validation. The rate is 100
    mean sigmoid(theta + psi gamma) (Dubois et al. 2024, arXiv 2404.04475, section 3, and its code).

    Args:
        preferences: N, for the model, in [0, 1]; None where the judge abstained.
        lengths, baseline_lengths: N, of the two answers (characters).
        difficulties: N numbers, the harder the higher; None leaves the term out.
        gamed: duels of copies of the baseline against it, which hold the length term to what length alone brings.
        num_resamples: fits behind the interval.

    >>> even = length_controlled_win_rate([0.5, 0.5, 0.5], [10, 20, 30], [20, 20, 20], num_resamples=9)
    >>> even.win_rate, even.length_controlled
    (50.0, 50.0)

    Raises:
        ValueError: lengths differ, a preference lies outside [0, 1], or no prompt has one.
    """
    kept = _kept(preferences, lengths, baseline_lengths, difficulties)
    wins = np.array([preferences[place] for place in kept], dtype=np.float64)
    ours, theirs = (np.array([column[place] for place in kept], dtype=np.float64) for column in (lengths, baseline_lengths))
    hard = None if difficulties is None else np.array([difficulties[place] for place in kept], dtype=np.float64)
    data = _rows(wins, ours - theirs, np.ones(len(kept)), hard, 1.0)
    anchors = _anchors(gamed, with_difficulty=hard is not None)
    strength = _chosen_strength(data, anchors)
    found = fitted_logistic(_joined(data, anchors), strength=strength)
    raw, controlled = 100.0 * float(wins.mean()), _controlled(found, data)
    return LengthControlledWinRate(
        win_rate=raw,
        win_rate_interval=bootstrap_interval((100.0 * wins).tolist()) if len(kept) > 1 else None,
        length_controlled=controlled,
        length_controlled_interval=_interval(data, anchors, strength, found, num_resamples) if len(kept) > 1 else None,
        quality=float(found[1]),
        length=float(found[0]),
        difficulty=None if hard is None else float(found[2]),
        strength=strength,
        mean_length=float(ours.mean()),
        baseline_mean_length=float(theirs.mean()),
        num_prompts=len(kept),
        num_left_out=len(preferences) - len(kept),
        extreme=controlled < min(0.75 * raw, raw - 10) or controlled > max(raw + (100 - raw) / 4, raw + 10),
    )


def _kept(
    preferences: Sequence[Score],
    lengths: Sequence[int],
    baseline_lengths: Sequence[int],
    difficulties: Sequence[float] | None,
) -> list[int]:
    number = len(preferences)
    if not number == len(lengths) == len(baseline_lengths) == (number if difficulties is None else len(difficulties)):
        raise ValueError(
            f"there are {number} preferences, {len(lengths)} and {len(baseline_lengths)} lengths"
            f"{'' if difficulties is None else f', and {len(difficulties)} difficulties'}; give one a prompt"
        )
    for place, one in enumerate(preferences):
        if one is not None and not 0.0 <= one <= 1.0:
            raise ValueError(f"preference {place} is {one}; it lies in [0, 1]")
    kept = [place for place, one in enumerate(preferences) if one is not None]
    if not kept:
        raise ValueError(f"none of {number} prompts has a preference; there is nothing to measure")
    return kept


def _rows(
    wins: NDArray[np.float64],
    ahead: NDArray[np.float64],
    quality: NDArray[np.float64],
    hard: NDArray[np.float64] | None,
    weight: float,
) -> Regression:
    spread = float(ahead.std(ddof=1)) if len(ahead) > 1 else 0.0
    columns = [np.tanh(ahead / spread) if spread > 0 else np.zeros(len(ahead)), quality]
    features = np.stack(columns if hard is None else [*columns, hard], axis=1)
    return Regression(features=features, shares=wins, weights=np.full(len(wins), weight))


def _anchors(gamed: Sequence[Duel], *, with_difficulty: bool) -> Regression | None:
    copies = list(dict.fromkeys(duel.copy for duel in gamed))
    found = None
    for place, duel in enumerate(gamed):
        if not 0.0 <= duel.preference <= 1.0:
            raise ValueError(f"the preference of duel {place} is {duel.preference}; it lies in [0, 1]")
    for copy in copies:
        duels = [duel for duel in gamed if duel.copy == copy]
        wins = np.array([duel.preference for duel in duels])
        ahead = np.array([float(duel.length - duel.baseline_length) for duel in duels])
        hard = np.array([duel.difficulty for duel in duels]) if with_difficulty else None
        rows = _rows(wins, ahead, np.zeros(len(duels)), hard, _GAMED / len(copies))
        found = rows if found is None else _joined(found, rows)
    return found


def _joined(data: Regression, more: Regression | None) -> Regression:
    if more is None:
        return data
    return Regression(
        features=np.concatenate((data.features, more.features)),
        shares=np.concatenate((data.shares, more.shares)),
        weights=np.concatenate((data.weights, more.weights)),
    )


def _chosen_strength(data: Regression, anchors: Regression | None) -> float:
    """The strength whose fits foretell the folds that they did not see best; the weakest of equals."""
    both = _joined(data, anchors)
    folds = np.arange(len(both.shares)) % _FOLDS
    losses = np.zeros(len(_STRENGTHS))
    for fold in range(min(_FOLDS, len(folds))):
        start, seen, unseen = None, both.rows(folds != fold), both.rows(folds == fold)
        for place, strength in enumerate(_STRENGTHS):
            start = fitted_logistic(seen, strength=strength, start=start)
            losses[place] += unseen.loss(start) / len(unseen.shares)
    return float(_STRENGTHS[int(np.argmin(losses))])


def _controlled(found: NDArray[np.float64], data: Regression) -> float:
    """The mean win rate of these prompts with the length term at 0."""
    logits = data.features[:, 1:] @ found[1:]
    return float(100.0 * (1.0 / (1.0 + np.exp(-logits))).mean())


def _interval(
    data: Regression, anchors: Regression | None, strength: float, start: NDArray[np.float64], num_resamples: int
) -> Interval:
    rng = np.random.default_rng(0)
    means = []
    for _ in range(num_resamples):
        drawn = data.rows(rng.integers(0, len(data.shares), size=len(data.shares)))
        means.append(_controlled(fitted_logistic(_joined(drawn, anchors), strength=strength, start=start), drawn))
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(low=float(low), high=float(high))
