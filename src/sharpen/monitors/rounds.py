"""What a round's samples look like: exploration, reward, and what was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean

from sharpen.monitors.answers import answer_entropy, answer_text, num_tokens, stop_rate
from sharpen.stats import pass_at_k
from sharpen.types import Completion, Group

__all__ = ["known_answers", "round_monitors"]

Key = Callable[[Completion], str]
EQUAL = 1e-6  # rewards that differ by float noise alone teach nothing
CORRECT = 0.5  # a score in [0, 1] from here on counts as right
MAX_PAIRS = 28  # of a group, for the mean distance: all pairs of 8 samples


def round_monitors(
    groups: Sequence[Group],
    *,
    reward: str | None = "reward",
    key: Key | None = None,
    seen: Collection[str] = frozenset(),
    kept: Collection[str] | None = None,
) -> Mapping[str, float]:
    """The figures of one round by name; one that is not defined for these groups is left out, never 0.

    Abstained scores are counted in `abstain_rate` and left out of everything else.

    Answers: `distinct_answers` (mean number a group), `answer_entropy` (nats, mean over groups), `majority_share`, `coverage`
    (mean of 1 / majority share), `pair_distance` (mean over pairs of 1 - overlap of token bigrams, in [0, 1], a cheap stand-in
    for edit distance), `mean_length` (tokens), `stop_rate`, `truncation_rate`.
    Reward: `reward_mean`, `reward_spread` (mean |reward - group mean|), `effective_group_rate` (share of groups whose rewards
    differ, so that they teach), `abstain_rate`.
    Where all rewards lie in [0, 1], a reward of at least 0.5 being correct: `pass@k` for powers of two (unbiased, over groups
    with at least k verdicts), `majority_accuracy`, `distinct_correct` (distinct correct / correct), `mean_length_correct`,
    `mean_length_wrong`.
    Kept (or correct, where `kept` is None): `yield` (kept / sampled), `barren_prompts` (share of prompts with nothing kept),
    `kept_gini` (inequality of kept answers over prompts, 0 is equal), `novelty` (share of distinct kept answers not in `seen`).

    Args:
        reward: name of the score that selection reads; None where there is none.
        key: what makes two answers the same; by default their text.
        seen: what `known_answers` gave for earlier rounds.
        kept: ids of the completions that selection kept.

    Raises:
        ValueError: a group lacks that score.
    """
    groups = [group for group in groups if group.completions]
    if not groups:
        return {}
    key = key or answer_text
    found = dict(_answers(groups, key))
    right = None
    if reward is not None:
        found |= _rewards(groups, reward)
        right = _correct(groups, reward)
        if right is not None:
            found |= _correctness(groups, right, key)
    chosen = right if kept is None else [[completion.id in kept for completion in group.completions] for group in groups]
    if chosen is not None:
        found |= _selection(groups, chosen, key, seen)
    return found


def known_answers(
    groups: Sequence[Group], *, reward: str = "reward", key: Key | None = None, kept: Collection[str] | None = None
) -> frozenset[str]:
    """The kept (or correct) answers of these groups, each with its prompt; add them to `seen` for the rounds that follow."""
    right = _correct(groups, reward) if kept is None else None
    return frozenset(
        _answer_key(group, completion, key or answer_text)
        for i, group in enumerate(groups)
        for j, completion in enumerate(group.completions)
        if (completion.id in kept if kept is not None else right is not None and right[i][j])
    )


def _answer_key(group: Group, completion: Completion, key: Key) -> str:
    return f"{group.prompt.id} {key(completion)}"


def _answers(groups: Sequence[Group], key: Key) -> Iterator[tuple[str, float]]:
    completions = [completion for group in groups for completion in group.completions]
    answers = [[key(completion) for completion in group.completions] for group in groups]
    shares = [max(Counter(row).values()) / len(row) for row in answers]
    yield "distinct_answers", fmean(len(set(row)) for row in answers)
    yield "answer_entropy", fmean(answer_entropy(row) for row in answers)
    yield "majority_share", fmean(shares)
    yield "coverage", fmean(1 / share for share in shares)
    distances = [fmean(_distances(group)) for group in groups if len(group.completions) > 1]
    if distances:
        yield "pair_distance", fmean(distances)
    yield "mean_length", num_tokens(completions) / len(completions)
    yield "stop_rate", stop_rate(completions)
    yield "truncation_rate", sum(completion.finish == "length" for completion in completions) / len(completions)


def _distances(group: Group) -> Iterator[float]:
    bags = [Counter(zip((-1, *c.token_ids), (*c.token_ids, -1), strict=True)) for c in group.completions]
    for n, (a, b) in enumerate(combinations(bags, 2)):
        if n == MAX_PAIRS:
            return
        yield 1 - 2 * (a & b).total() / (a.total() + b.total())


def _rewards(groups: Sequence[Group], reward: str) -> Mapping[str, float]:
    rows = [[score for score in group.score(reward) if score is not None] for group in groups]
    num_scores, num_known = sum(len(group.completions) for group in groups), sum(map(len, rows))
    found = {"abstain_rate": 1 - num_known / num_scores}
    if num_known:
        found["reward_mean"] = fmean(score for row in rows for score in row)
        found["reward_spread"] = fmean(abs(score - fmean(row)) for row in rows if row for score in row)
    rows = [row for row in rows if len(row) > 1]
    if rows:
        found["effective_group_rate"] = fmean(max(row) - min(row) > EQUAL for row in rows)
    return found


def _correct(groups: Sequence[Group], reward: str) -> list[list[bool | None]] | None:
    rows = [group.score(reward) for group in groups]
    if not all(score is None or 0.0 <= score <= 1.0 for row in rows for score in row):
        return None
    return [[None if score is None else score >= CORRECT for score in row] for row in rows]


def _correctness(groups: Sequence[Group], right: Sequence[Sequence[bool | None]], key: Key) -> Mapping[str, float]:
    found: dict[str, float] = {}
    counts = [(sum(verdict is not None for verdict in row), sum(verdict is True for verdict in row)) for row in right]
    k = 1
    while rows := [pass_at_k(n, c, k) for n, c in counts if n >= k]:
        found[f"pass@{k}"] = fmean(rows)
        k *= 2
    majority, distinct, correct = [], 0, 0
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for group, row in zip(groups, right, strict=True):
        known = [(key(c), verdict) for c, verdict in zip(group.completions, row, strict=True) if verdict is not None]
        if known:
            winner = Counter(answer for answer, _ in known).most_common(1)[0][0]
            majority.append(fmean(verdict for answer, verdict in known if answer == winner))
        distinct += len({answer for answer, verdict in known if verdict})
        correct += sum(verdict for _, verdict in known)
        for completion, verdict in zip(group.completions, row, strict=True):
            if verdict is not None:
                lengths[verdict].append(len(completion.token_ids))
    found |= {"majority_accuracy": fmean(majority)} if majority else {}
    found |= {"distinct_correct": distinct / correct} if correct else {}
    found |= {"mean_length_correct": fmean(lengths[True])} if lengths[True] else {}
    found |= {"mean_length_wrong": fmean(lengths[False])} if lengths[False] else {}
    return found


def _selection(
    groups: Sequence[Group], chosen: Sequence[Sequence[bool | None]], key: Key, seen: Collection[str]
) -> Mapping[str, float]:
    numbers = sorted(sum(flag is True for flag in row) for row in chosen)
    total, count = sum(numbers), len(numbers)
    found = {
        "yield": total / sum(len(group.completions) for group in groups),
        "barren_prompts": sum(number == 0 for number in numbers) / count,
    }
    if total:
        ranks = range(1 - count, count, 2)  # Gini = sum of (2 i - n - 1) x_i / (n sum x), i from 1, x sorted
        found["kept_gini"] = sum(rank * number for rank, number in zip(ranks, numbers, strict=True)) / (count * total)
        answers = {
            _answer_key(group, completion, key)
            for group, row in zip(groups, chosen, strict=True)
            for completion, flag in zip(group.completions, row, strict=True)
            if flag
        }
        found["novelty"] = sum(answer not in seen for answer in answers) / len(answers)
    return found
