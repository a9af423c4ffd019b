"""LTS: which cluster is drawn, what a win is, and what a failed round leaves behind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from example_builders import StillRound
from label_worlds import encoder_folder, label_task, runtime_of
from sharpen.examples import Demonstration
from sharpen.methods.lts import lts
from sharpen.prompts.cluster_bandit import Arm, arms, clusters, drawn_from_clusters, outcomes
from sharpen.rounds import improve
from sharpen.sample.predictions import predictions
from sharpen.select.asked_labels import asked_labels
from sharpen.types import Decision, Group, Prompt, Report, user

OPTIONS = ("yes", "no")


@dataclasses.dataclass
class Known:
    """A policy of that id that finds "yes" in texts with a plus."""

    checkpoint: str

    def embed(self, prompts):  # type: ignore[no-untyped-def]
        return [(1.0, 0.01 * len(prompt.text)) if "left" in prompt.text else (0.0, 1.0) for prompt in prompts]

    def options(self, prompts):  # type: ignore[no-untyped-def]
        shares = (0.8, 0.2)
        return [[math.log(one) for one in (shares if "+" in prompt.text else shares[::-1])] for prompt in prompts]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past(StillRound):
    """A round that knows what was, and whose incumbent has that id."""

    groups: tuple[Sequence[Group], ...] = ()
    examples: tuple[Sequence[Demonstration], ...] = ()
    incumbent: str = "base"

    def policy(self, role: str) -> Known:  # type: ignore[override]
        return Known(self.incumbent if role == "incumbent" else role)

    def past(self, step: str, slot: str) -> tuple[Sequence[object], ...]:  # type: ignore[override]
        return self.groups if slot == "groups" else self.examples


def text(name: str, target: str) -> Prompt:
    return user(name, options=OPTIONS, target=target)


def gathered(round: Past, *names: str) -> Sequence[Group]:
    """Predictions of texts, those with a plus being positive."""
    return predictions(role="incumbent")([text(name, "yes" if "+" in name else "no") for name in names], round)


def trained(round: Past, *names: str) -> Sequence[Demonstration]:
    return asked_labels(step="lts")(gathered(round, *names), round)


def said(examples: Sequence[Demonstration]) -> list[tuple[str, str, float]]:
    return [(one.row.prompt.text, one.row.completion.text, one.weight) for one in examples]


def test_wins_and_losses_of_all_arms_shrink_each_round() -> None:
    found = arms([(0, True), (1, False), (0, True)], 3, decay=0.9)
    assert [(one.wins, one.losses) for one in found] == [
        (pytest.approx(0.9**3 + 0.9), 0.0),
        (0.0, pytest.approx(0.9**2)),
        (0.0, 0.0),
    ]
    assert arms([(1, True)], 2)[1] == Arm(wins=0.99, losses=0.0)


def test_a_round_won_where_the_incumbent_is_another_afterwards() -> None:
    def made(incumbent: str) -> Sequence[Group]:
        return gathered(Past(incumbent=incumbent), "x")

    lesson = trained(Past(), "+")
    rounds = [made("base"), made("one"), made("one"), [], made("one"), made("two")]
    lessons = [lesson, lesson, [], [], lesson, lesson]
    assert outcomes(rounds, lessons, "two") == [True, False, None, None, True, False]
    assert outcomes(rounds[:1], lessons[:1], "base") == [False]
    assert outcomes([made("one"), []], [lesson, []], "one") == [False, None], "an empty round changes nothing"


def test_clusters_are_found_whatever_their_sizes() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    sides = [0] * 30 + [1] * 5 + [2] * 10
    vectors = np.stack([np.eye(3)[side] + 0.1 * rng.standard_normal(3) for side in sides])
    found = [clusters(vectors, 3, np.random.Generator(np.random.Philox(key=key))).tolist() for key in range(5)]
    assert all(len(set(zip(sides, one, strict=True))) == 3 == len(set(one)) for one in found)
    assert sorted(clusters(vectors[:2], 5, rng).tolist()) == [0, 1]
    assert clusters(np.zeros((3, 2)), 2, rng).tolist() == [0, 0, 0]
    pairs = np.array([[0.0], [1.0], [100.0], [101.0], [1e4], [1e4 + 1]])  # any two beginnings in one pair would join the others
    for key in range(10):
        found = clusters(pairs, 3, np.random.Generator(np.random.Philox(key=key))).tolist()
        assert (found[0::2], len(set(found))) == (found[1::2], 3)


def test_each_vector_is_in_the_cluster_of_the_nearest_mean() -> None:
    for key in range(5):
        rng = np.random.Generator(np.random.Philox(key=key))
        vectors = rng.random((60, 2))
        found = clusters(vectors, 3, rng)
        means = np.stack([vectors[found == number].mean(0) for number in range(3)])
        apart = np.linalg.norm(vectors[:, None] - means, axis=2)
        assert apart.argmin(1).tolist() == found.tolist()


def test_clusters_are_the_same_in_each_round() -> None:
    """Texts on a line, that could be cut anywhere: two rounds draw the same cluster or none of the same texts."""
    pool = [text("left" + "x" * number, "no") for number in range(40)]
    draw = drawn_from_clusters(99, step="lts", num_clusters=3)
    found = [frozenset(one.id for one in draw(pool, Past(index=index, seed=index))) for index in range(12)]
    assert len(set(found)) > 1
    assert all(one == other or one.isdisjoint(other) for one in found for other in found)


def test_the_arm_drawn_has_the_largest_value_from_its_beta() -> None:
    """After a round that the left cluster won: Beta(0.5 + 0.3, 0.5) for it, Beta(0.5, 0.5) for the other, from the same randomness."""
    pool = [text(f"{side} {number}", "no") for side in ("left", "right") for number in range(3)]
    past = (gathered(Past(), "left 0"),)
    draw = drawn_from_clusters(1, step="lts", num_clusters=2, decay=0.3)

    def side_of(round: Past, left: int) -> str:
        rng = round.rng("arm")
        values = [rng.beta(0.5 + 0.3 * (arm == left), 0.5) for arm in range(2)]
        return "left" if int(np.argmax(values)) == left else "right"

    rounds = [Past(seed=seed, groups=past, examples=(trained(Past(), "+"),), incumbent="new") for seed in range(60)]
    drawn = [draw(pool, round)[0].text.split()[0] for round in rounds]
    assert drawn in [[side_of(round, left) for round in rounds] for left in range(2)]


def test_the_cluster_that_helps_is_drawn_more_often() -> None:
    """Twenty runs of ten rounds; only texts of the left cluster ever make a better classifier."""
    pool = [text(f"{side} {mark}{number}", "yes" if mark == "+" else "no") for side in ("left", "right")
            for mark in "+-" for number in range(40)]  # fmt: skip
    draw, label = drawn_from_clusters(4, step="lts", num_clusters=2), asked_labels(step="lts")
    counts = {"left": 0, "right": 0}
    for seed in range(20):
        groups: tuple[Sequence[Group], ...] = ()
        examples: tuple[Sequence[Demonstration], ...] = ()
        incumbent = "base"
        for index in range(10):
            round = Past(index=index, seed=seed, groups=groups, examples=examples, incumbent=incumbent)
            drawn = draw(pool, round)
            (side,) = {one.text.split()[0] for one in drawn}
            assert {one.id for one in drawn}.isdisjoint({group.prompt.id for made in groups for group in made})
            counts[side] += 1
            groups = (*groups, predictions(role="incumbent")(drawn, round))
            examples = (*examples, label(groups[-1], round))
            incumbent = f"{seed}/{index}" if side == "left" and examples[-1] else incumbent
    assert counts["left"] > 2 * counts["right"]


def test_half_are_likely_positives_once_there_is_a_classifier() -> None:
    pool = [text(f"left {mark}{number}", "no") for mark in ("+", "-") for number in range(9)]
    rare = [*pool[:1], *pool[9:]]
    draw = drawn_from_clusters(6, step="lts", num_clusters=1)
    assert sum("+" in one.text for one in draw(pool, Past(incumbent="better"))) == 3
    few = draw(rare, Past(incumbent="better"))
    assert (sum("+" in one.text for one in few), len(few)) == (1, 6), "the others are plain ones, as many as are left to draw"
    assert len(draw(pool[9:], Past(incumbent="better"))) == 6, "where no cluster has any, plain texts are drawn"
    assert draw([], Past()) == []
    found = [sum("+" in one.text for one in draw(rare, Past(seed=seed))) for seed in range(20)]
    assert 0 in found, "before that they are drawn blindly"


def test_negatives_are_at_most_twice_the_positives_and_weigh_a_quarter_then() -> None:
    found = said(trained(Past(), "+1", "-1", "-2", "-3", "-4"))
    assert [weight for _, _, weight in found] == [0.8, 0.2, 0.2]
    assert found[0][:2] == ("+1", "yes")
    assert {label for _, label, _ in found[1:]} == {"no"}
    assert [weight for _, _, weight in said(trained(Past(), "+1", "+2", "-1", "-2", "-3"))] == [1.0] * 5
    assert trained(Past(), "-1", "-2") == [], "no positive label: nothing is trained"
    other = asked_labels(step="lts", positive="no")(gathered(Past(), "+1", "-1"), Past())
    assert said(other)[0][1] == "no"


def test_positives_of_failed_rounds_are_trained_on_again() -> None:
    one, two = trained(Past(), "+a", "-a"), trained(Past(), "+b", "-b")
    groups = (gathered(Past(), "+a", "-a"), gathered(Past(incumbent="new"), "+b", "-b"))
    failed = Past(groups=groups, examples=(one, two), incumbent="new")
    assert [name for name, _, _ in said(trained(failed, "+c", "-c"))] == ["+c", "+b", "-c"]
    idle = dataclasses.replace(failed, groups=(*groups, []), examples=(one, two, []))
    assert [name for name, _, _ in said(trained(idle, "+c", "-c"))] == ["+c", "+b", "-c"], "an empty round forgets nothing"
    won = dataclasses.replace(failed, incumbent="newer")
    assert [name for name, _, _ in said(trained(won, "+c", "-c"))] == ["+c", "-c"]


def every_other(candidate: Report, incumbent: Report, looks: int) -> Decision:
    return Decision(promote=looks % 2 == 1, test="the look's number", reason="odd or even")


def test_a_failed_round_leaves_the_incumbent_and_its_positives(tmp_path: Path) -> None:
    task = label_task(train=60, held_out=20)
    recipe = lts(num_prompts=12, num_clusters=2, positive="fruit", learning_rate=0.1)
    model = runtime_of(encoder_folder(tmp_path / "encoder"))
    run = improve(recipe, model=model, task=task, out=tmp_path / "run", rounds=3, gate=every_other, controls=False)
    first, second, third = run.rounds
    assert [one.decision.promote for one in run.rounds] == [True, False, True]
    assert second.incumbent == third.incumbent == first.candidate
    asked = [{group.prompt.id for group in run.groups(index)} for index in range(3)]
    assert sum(map(len, asked)) == len(set.union(*asked))
    lessons = [[one for one in run.examples(index) if isinstance(one, Demonstration)] for index in range(3)]
    positives = [{one.row.prompt.id for one in found if one.row.completion.text == "fruit"} for found in lessons]
    assert positives[1]
    assert positives[1] <= positives[2]
    assert positives[0].isdisjoint(positives[1])
