"""Re-annotators: whose labels are doubted, who judges them, and what is put in their place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from example_builders import ROUND, StillRound
from label_worlds import LABELS, encoder_folder, label_task, runtime_of
from sharpen.examples import Demonstration
from sharpen.feedback.label_votes import kernel_weights, label_votes
from sharpen.methods.reannotators import reannotators
from sharpen.prompts.folds import held_out_shares, labelled, without_fold
from sharpen.rounds import improve
from sharpen.sample.options import all_options
from sharpen.select.soft_labels import credibility, repaired_labels, soft_labels
from sharpen.types import Group, Prompt, user


@dataclasses.dataclass
class Table:
    """A policy that knows vectors and shares by text."""

    vectors: dict[str, tuple[float, ...]]
    table: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    def embed(self, prompts):  # type: ignore[no-untyped-def]
        return [self.vectors[prompt.text] for prompt in prompts]

    def options(self, prompts):  # type: ignore[no-untyped-def]
        return [tuple(math.log(share) for share in self.table[prompt.text]) for prompt in prompts]


def round_with(policy: Table):  # type: ignore[no-untyped-def]
    class Round(StillRound):
        def policy(self, role: str) -> Table:  # type: ignore[override]
            return policy

    return Round()


def text(name: str, target: str) -> Prompt:
    return user(name, options=("a", "b"), target=target)


def voted(prompts: Sequence[Prompt], vectors: dict[str, tuple[float, ...]], count: int, **how: float) -> Sequence[Group]:
    return label_votes(count, **how)(all_options()(prompts, ROUND), round_with(Table(vectors)))


def own_credibility(group: Group) -> float | None:
    votes = {one.text: share or 0.0 for one, share in zip(group.completions, group.score("votes"), strict=True)}
    return credibility(group.prompt.target or "", votes)


def test_votes_are_shares_of_a_gaussian_kernel() -> None:
    """Three texts at 0, 60 and 90 degrees: squared distances 1 (0-1), 2 (0-2), and 2 - sqrt(3) (1-2)."""
    vectors = {"x": (1.0, 0.0), "y": (0.5, math.sqrt(3) / 2), "z": (0.0, 2.0)}
    first, second, _ = voted([text("x", "a"), text("y", "a"), text("z", "b")], vectors, 2, bandwidth=1.0)
    near, far, close = math.exp(-0.5), math.exp(-1.0), math.exp(-(2 - math.sqrt(3)) / 2)
    assert first.score("votes") == pytest.approx((near / (near + far), far / (near + far)))
    assert first.score("density") == pytest.approx(((1 + near) / (1 + near + far), far / (1 + near + far)))
    assert second.score("votes") == pytest.approx((near / (near + close), close / (near + close)))
    assert own_credibility(second) == pytest.approx(near / (near + close))
    table = np.array(list(vectors.values()))
    weights = kernel_weights(table, np.array([[1, 2], [2, 0], [1, 0]]))
    assert weights[0, 1] == pytest.approx(math.exp(-0.5)), (
        "the median distance to the last neighbour is sqrt(2), that of x and z"
    )


def blobs(num: int, flipped: int) -> tuple[list[Prompt], dict[str, tuple[float, ...]], set[str]]:
    """Texts in two noisy directions, and the names of those whose labels are wrong."""
    rng = np.random.Generator(np.random.Philox(key=7))
    prompts, vectors, wrong = [], {}, set()
    for number in range(num):
        side, name = number % 2, f"t{number}"
        vectors[name] = tuple(np.eye(4)[side] + 0.2 * rng.standard_normal(4))
        turned = number < flipped
        prompts.append(text(name, "ab"[side != turned]))
        wrong |= {name} if turned else set()
    return prompts, vectors, wrong


def test_flipped_labels_are_the_least_credible() -> None:
    """A tenth of the labels of two blobs are wrong: a right one is more credible than a wrong one in more than 95 of 100 pairs."""
    prompts, vectors, wrong = blobs(100, 10)
    found = {group.prompt.text: own_credibility(group) or 0.0 for group in voted(prompts, vectors, 10)}
    bad, good = [found[name] for name in wrong], [value for name, value in found.items() if name not in wrong]
    won = [float(right > low) + 0.5 * (right == low) for low in bad for right in good]
    assert sum(won) / len(won) > 0.95
    assert max(bad) < 0.5


def test_a_pair_of_the_same_text_with_two_labels_is_suspect_on_both_sides() -> None:
    prompts, vectors, _ = blobs(40, 0)
    pair = [text("p", "a"), text("q", "b")]
    vectors |= {"p": (0.0, 0.0, -1.0, -1.0), "q": (0.0, 0.0, -1.0, -1.0)}
    found = {group.prompt.text: own_credibility(group) for group in voted([*prompts, *pair], vectors, 5, bandwidth=0.2)}
    assert found["p"] is not None
    assert found["q"] is not None
    assert found["p"] < 0.01
    assert found["q"] < 0.01


def test_a_label_without_any_votes_around_it_is_not_judged() -> None:
    assert credibility("a", {"a": 0.0, "b": 0.0}) is None
    assert credibility("a", {"b": 1.0}) is None, "its own votes abstained"
    assert credibility("a", {"a": 0.3}) == 1.0


def judged(name: str, own: str, votes: Sequence[float | None], held_out: Sequence[float | None]) -> Group:
    (group,) = all_options()([text(name, own)], ROUND)
    return group.with_scores(votes=votes, held_out=held_out)


def answers(groups: Sequence[Group]) -> list[str]:
    return [example.row.completion.text for example in repaired_labels()(groups, ROUND)]


def test_a_label_is_replaced_where_it_is_suspect_and_the_classifier_is_sure() -> None:
    groups = [
        judged("both", "a", (0.3, 0.7), (0.2, 0.8)),
        judged("credible", "a", (0.6, 0.4), (0.2, 0.8)),
        judged("unsure", "a", (0.3, 0.7), (0.4, 0.6)),
        judged("seconded", "a", (0.3, 0.7), (0.8, 0.2)),
        judged("silent", "a", (None, None), (0.2, 0.8)),
        judged("unheard", "a", (0.3, 0.7), (None, None)),
        judged("even", "a", (0.5, 0.5), (0.2, 0.8)),
        judged("at the bound", "a", (0.3, 0.7), (0.3, 0.7)),
    ]
    assert answers(groups) == ["b", *"aaaaaaa"]
    assert [example.weight for example in repaired_labels()(groups, ROUND)] == [1.0] * 8


def test_soft_labels_weigh_each_option_by_its_share() -> None:
    (group,) = voted([text("x", "a"), text("y", "b")], {"x": (1.0, 0.0), "y": (0.6, 0.8)}, 1, bandwidth=1.0)[:1]
    found = soft_labels("density")([group, group.with_scores(density=[None, 0.0])], ROUND)
    share = 1 / (1 + math.exp(-0.4))
    assert [(one.row.completion.text, one.weight) for one in found] == [
        ("a", pytest.approx(share)),
        ("b", pytest.approx(1 - share)),
    ]


def test_every_text_is_judged_by_the_classifier_that_did_not_see_it() -> None:
    prompts = [text(f"t{number}", "a") for number in range(7)]
    kept = [{one.text for one in without_fold(fold, 3)(prompts, ROUND)} for fold in range(3)]
    assert kept == [{one.text for one in without_fold(fold, 3)(prompts[::-1], ROUND)} for fold in range(3)]
    names = {one.text for one in prompts}
    held = [names - one for one in kept]
    assert set.union(*held) == names
    assert sum(map(len, held)) == 7
    groups: Sequence[Group] = all_options()(prompts, ROUND)
    for fold, found in enumerate(held):
        table = dict.fromkeys(found, (0.1 * (fold + 1), 1 - 0.1 * (fold + 1)))
        groups = held_out_shares(fold, 3, role="r")(groups, round_with(Table({}, table)))
    for group in groups:
        (fold,) = (number for number, found in enumerate(held) if group.prompt.text in found)
        assert group.score("held_out")[0] == pytest.approx(0.1 * (fold + 1))


def test_what_has_no_label_or_no_options_is_left_out() -> None:
    found = labelled()([text("x", "a"), user("y", target="a"), user("z", options=("a", "b"))], ROUND)
    assert [one.text for one in found] == ["x"]


@pytest.mark.parametrize("folds", [(0, 1), (3, 3), (-1, 2)])
def test_a_fold_that_is_none_is_refused(folds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="give at least 2 folds"):
        without_fold(*folds)


def test_repaired_labels_are_fewer_wrong_ones(tmp_path: Path) -> None:
    """A fifth of the labels of a real classifier's task are those of the next class."""
    task = label_task()
    truth = {prompt.id: prompt.target for prompt in task.train}
    wrong = {name for place, name in enumerate(sorted(truth)) if place % 5 == 0}
    turned = {label: LABELS[(place + 1) % 3] for place, label in enumerate(LABELS)}
    train = tuple(dataclasses.replace(one, target=turned[str(one.target)]) if one.id in wrong else one for one in task.train)
    recipe = reannotators(num_neighbors=15, min_confidence=0.5, learning_rate=0.1, epochs=20)
    model = runtime_of(encoder_folder(tmp_path / "encoder"))
    run = improve(recipe, model=model, task=task.replace(train=train), out=tmp_path / "run", controls=False)
    lessons = [one for one in run.examples(0) if isinstance(one, Demonstration)][-len(train) :]
    assert {one.row.prompt.id for one in lessons} == set(truth)
    changed = [one for one in lessons if one.row.completion.text != one.row.prompt.target]
    after = sum(one.row.completion.text != truth[one.row.prompt.id] for one in lessons)
    assert changed
    assert after < len(wrong)
