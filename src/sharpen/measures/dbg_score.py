"""Self-preference of a judge: how much more it favours its own answers than gold judges do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.cards import MeasureCard
from sharpen.stats import Interval, bootstrap_interval
from sharpen.types import Score

__all__ = ["CARD", "DbgScore", "dbg_score"]

CARD = MeasureCard(
    title="DBG score: a judge's preference for its own answers",
    paper="Chen et al., 2025",
    arxiv="2506.02592",
    claim="The judge's win rate for its own answers minus the gold judges', so that better answers are not taken for bias.",
    takes=(
        "for each pair of answers, the judge's probability that its own is better, in each order asked",
        "for each pair, the votes of gold judges, in each order asked",
    ),
    departs=(
        "the 95 % interval, which the source does not give: pairs are resampled",
        "pairs on which the judge or all gold judges abstain are left out and counted",
    ),
    shelf="faithful",
    oracle="tests/unit/test_dbg_score.py::test_a_judge_that_calls_seven_of_ten_its_own_where_gold_calls_five_and_a_half",
)


@dataclass(frozen=True, kw_only=True)
class DbgScore:
    """Figures of N pairs, each of the judge's own answer and another's.

    Attributes:
        score: the judge's win rate for its own answers minus the gold one, in points; above 0 it prefers its own.
        interval: of the score, 95 %; None for fewer than two pairs (or clusters).
        own_win_rate, gold_win_rate: of the judge's answers, by itself and by the gold judges, in [0, 100].
        num_pairs: N.
        num_left_out: pairs without a judgement of either side.
        favoured, wronged: pairs on which the judge gives its own answer more, or less, than the gold judges do.
    """

    score: float
    interval: Interval | None
    own_win_rate: float
    gold_win_rate: float
    num_pairs: int
    num_left_out: int
    favoured: int
    wronged: int


def dbg_score(
    own: Sequence[Sequence[Score]], gold: Sequence[Sequence[Score]], *, clusters: Sequence[str] | None = None
) -> DbgScore:
    """How much a judge prefers its own answers beyond what they are worth.

    DBG = 100 (mean w_i - mean g_i). With p_i the mean of the judge's probabilities over the orders, w_i is 1, 1/2 or 0 as p_i
    is above, at or below 1/2. g_i is the same for all the gold judges' votes on the pair taken together (Chen et al. 2025,
    arXiv 2506.02592, and its code).

    Args:
        own: for each pair the judge's probability that its own answer is better, one for each order in which it was asked; None
            abstained.
        gold: for each pair one vote for each gold judge and order: 1 for the judge's answer, 0 for the other's, 1/2 for
            neither; None abstained.
        clusters: what each pair belongs to, where several pairs share a prompt; the interval resamples those.

    >>> found = dbg_score([[0.9, 0.7], [0.8, 0.4], [0.2, 0.1]], [[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> round(found.score, 1), round(found.own_win_rate, 1), round(found.gold_win_rate, 1)
    (33.3, 66.7, 33.3)

    Raises:
        ValueError: lengths differ, a value lies outside [0, 1], or no pair was judged by both.
    """
    if len(own) != len(gold):
        raise ValueError(f"there are judgements of {len(own)} pairs and gold votes on {len(gold)}; give both for each pair")
    if clusters is not None and len(clusters) != len(own):
        raise ValueError(f"{len(clusters)} clusters are given for {len(own)} pairs; name one each")
    wins = [_win(values, f"the judge's probability for pair {place}") for place, values in enumerate(own)]
    golden = [
        _win([None if vote is None else _counted(vote) for vote in votes], f"a gold vote on pair {place}")
        for place, votes in enumerate(gold)
    ]
    kept = [
        (win, true, place)
        for place, (win, true) in enumerate(zip(wins, golden, strict=True))
        if win is not None and true is not None
    ]
    if not kept:
        raise ValueError(f"none of {len(own)} pairs was judged by both the judge and a gold judge; there is nothing to compare")
    lead = [100.0 * (win - true) for win, true, _ in kept]
    names = None if clusters is None else [clusters[place] for _, _, place in kept]
    many = len(kept if names is None else set(names)) > 1
    return DbgScore(
        score=sum(lead) / len(kept),
        interval=bootstrap_interval(lead, clusters=names) if many else None,
        own_win_rate=100.0 * sum(win for win, _, _ in kept) / len(kept),
        gold_win_rate=100.0 * sum(true for _, true, _ in kept) / len(kept),
        num_pairs=len(kept),
        num_left_out=len(own) - len(kept),
        favoured=sum(one > 0 for one in lead),
        wronged=sum(one < 0 for one in lead),
    )


def _counted(vote: float) -> float:
    """A gold vote as 1, 0 or 1/2: whatever is no clear vote is for neither. Outside [0, 1] it is left for the check."""
    return vote if not 0.0 <= vote <= 1.0 else (vote > 0.5) + 0.5 * (vote == 0.5)


def _win(values: Sequence[Score], what: str) -> float | None:
    """1, 1/2 or 0 as the mean of what was said is above, at or below 1/2; None where nothing was."""
    known = [value for value in values if value is not None]
    for value in known:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{what} is {value}; it lies in [0, 1]")
    if not known:
        return None
    lead = sum(known) / len(known) - 0.5
    return 0.5 if abs(lead) < 1e-9 else float(lead > 0.0)
