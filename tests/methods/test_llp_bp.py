"""LLP-BP: marginals against counting all labellings, and a classifier of texts from bags' shares alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from worlds import accuracy

from example_builders import ROUND, StillRound
from label_worlds import LABELS, encoder_folder, label_task, runtime_of
from sharpen.examples import Demonstration
from sharpen.feedback.bag_marginals import Bag, bag_marginals, marginals
from sharpen.methods.llp_bp import llp_bp
from sharpen.rounds import improve
from sharpen.sample.options import all_options
from sharpen.select.soft_labels import likely_labels
from sharpen.types import Group, Prompt, user

Edges = Mapping[tuple[int, int], float]


def counted(num: int, bags: Sequence[Bag], edges: Edges, b: float, s: float) -> np.ndarray:
    """Marginals by going through all labellings, from the distribution as the paper writes it."""
    weights, ones = 0.0, np.zeros(num)
    for labels in itertools.product((0, 1), repeat=num):
        apart = sum((sum(labels[item] for item in bag.items) - bag.count) ** 2 for bag in bags)
        unlike = sum(similarity for (one, other), similarity in edges.items() if labels[one] != labels[other])
        weight = math.exp(-b * apart - s * unlike)
        weights, ones = weights + weight, ones + weight * np.array(labels)
    found: np.ndarray = ones / weights
    return found


PAIRS = [Bag(items=(0, 1), count=2), Bag(items=(2, 3), count=1)]


def test_marginals_are_those_of_the_gibbs_distribution() -> None:
    """Worked out in the specification; then an edge within a bag, and ten trees of pairs with counts that need not be whole."""
    found = marginals(4, PAIRS, {(0, 2): 1.0}, bag_strength=2.0, edge_strength=1.0)
    assert found == pytest.approx([0.893, 0.893, 0.682, 0.362], abs=5e-4)
    within = [Bag(items=(0, 1), count=1.6)], {(0, 1): 0.7}
    found = marginals(2, *within, bag_strength=2.0, edge_strength=1.0)
    assert found == pytest.approx(counted(2, *within, 2.0, 1.0))
    rng = np.random.Generator(np.random.Philox(key=3))
    for _ in range(10):
        bags = [Bag(items=(2 * n, 2 * n + 1), count=float(rng.uniform(0, 2))) for n in range(4)]
        edges = {(2 * int(rng.integers(n)), 2 * n): float(rng.uniform(0, 1)) for n in range(1, 4)}
        b, s = rng.uniform(0.2, 3, size=2)
        found = marginals(8, bags, edges, bag_strength=b, edge_strength=s)
        assert found == pytest.approx(counted(8, bags, edges, b, s), abs=1e-9)


def test_items_that_nothing_tells_apart_tie() -> None:
    found = marginals(4, PAIRS, {}, bag_strength=2.0, edge_strength=1.0)
    assert found[2] == found[3] == pytest.approx(0.5)
    assert found == pytest.approx(counted(4, PAIRS, {}, 2.0, 1.0))


def test_on_a_graph_with_loops_the_likelier_labels_are_found() -> None:
    bags = [Bag(items=(0, 1, 2), count=1), Bag(items=(3, 4, 5), count=2)]
    edges = {(0, 3): 0.9, (0, 4): 0.8, (1, 5): 0.7, (2, 5): 0.6}
    found, exact = marginals(6, bags, edges, bag_strength=1.0, edge_strength=1.0), counted(6, bags, edges, 1.0, 1.0)
    assert ((found > 0.5) == (exact > 0.5)).all()
    assert np.abs(found - exact).max() < 0.1


def test_messages_are_damped_so_that_they_settle_in_a_bag_of_several() -> None:
    """Without damping these swing between two extremes, at which all five are likely positive or none is."""
    bags, edges = [Bag(items=(0, 1, 2, 3, 4), count=2)], {(0, 1): 0.7}
    found = marginals(5, bags, edges, bag_strength=1.0, edge_strength=1.0)
    assert found == pytest.approx(counted(5, bags, edges, 1.0, 1.0), abs=0.03)


@dataclasses.dataclass
class Placed:
    """A policy that embeds a text as its table says."""

    vectors: Mapping[str, tuple[float, ...]]

    def embed(self, prompts):  # type: ignore[no-untyped-def]
        return [self.vectors[prompt.text] for prompt in prompts]


def scored(prompts: Sequence[Prompt], vectors: Mapping[str, tuple[float, ...]], **how: object) -> dict[str, tuple[float, ...]]:
    return graded(bag_marginals(1, **how), prompts, vectors)  # type: ignore[arg-type]


def graded(part, prompts: Sequence[Prompt], vectors: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:  # type: ignore[no-untyped-def]
    class Round(StillRound):
        def policy(self, role: str) -> Placed:  # type: ignore[override]
            return Placed(vectors)

    found = part(all_options()(prompts, ROUND), Round())
    return {group.prompt.text: tuple(score or 0.0 for score in group.score("marginal")) for group in found}


def in_bag(name: str, bag: str | None, share: object) -> Prompt:
    known = {"bag": bag, "share": share} if bag is not None else {}
    return user(name, options=("yes", "no"), tags=known)


def test_shares_and_distances_make_the_graph() -> None:
    """0 and 2 are each other's neighbours, at length 1 (0.4, 0.8) apart. 1 and 3 point the other way, alike."""
    vectors = {"0": (1.0, 0.0), "2": (1.8, 2.4), "1": (-2.0, 0.0), "3": (-1.0, 0.0)}
    prompts = [in_bag("0", "a", 1.0), in_bag("1", "a", 1.0), in_bag("2", "b", 0.5), in_bag("3", "b", 0.5)]
    found = scored(prompts, vectors, bag_strength=2.0, edge_strength=1.0)
    bags = [Bag(items=(0, 1), count=2.0), Bag(items=(2, 3), count=1.0)]
    edges = {(0, 2): math.exp(-math.sqrt(0.8)), (1, 3): 1.0}
    known = marginals(4, bags, edges, bag_strength=2.0, edge_strength=1.0)
    for name, (yes, no) in found.items():
        assert yes == pytest.approx(known[int(name)])
        assert no == pytest.approx(1 - known[int(name)])
    turned = scored(prompts[::-1], vectors, bag_strength=2.0, edge_strength=1.0)
    assert turned == found, "to the bit, whatever the order"
    other = scored(prompts, vectors, bag_strength=2.0, edge_strength=1.0, positive="no")
    assert other["0"] == (pytest.approx(1 - known[0]), pytest.approx(known[0]))
    (step,) = llp_bp(num_neighbors=1, bag_strength=2.0, edge_strength=1.0).steps
    assert graded(step.feedback, prompts, vectors) == found, "the recipe's strengths are the part's"


def test_a_text_without_a_bag_follows_its_neighbours() -> None:
    vectors = {"0": (1.0, 0.0), "1": (0.0, 1.0), "x": (1.0, 0.1)}
    found = scored([in_bag("0", "a", 1.0), in_bag("1", "b", 0.0), in_bag("x", None, None)], vectors)
    assert found["x"][0] > 0.9
    as_text = [in_bag("0", "a", "1.0"), in_bag("1", "b", "0"), in_bag("x", "", "")]
    assert scored(as_text, vectors) == found, "as a CSV file says it"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([user("0", options=("a", "b"))], "none of 1 prompts has the tag 'bag'"),
        ([in_bag("0", "a", 1.5)], r"bag 'a' has \['1.5'\] as the tag 'share'"),
        ([in_bag("0", "a", 0.5), in_bag("1", "a", 0.25)], r"bag 'a' has \['0.25', '0.5'\]"),
        ([in_bag("0", "a", "half")], r"bag 'a' has \['half'\]"),
        ([in_bag("0", "a", None)], r"bag 'a' has \['None'\]"),
        ([dataclasses.replace(in_bag("0", "a", 0.5), options=("x", "y", "z"))], "has the options .* give two"),
    ],
)
def test_what_cannot_be_read_is_refused(prompts: Sequence[Prompt], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scored(prompts, {"0": (1.0, 0.0), "1": (0.0, 1.0)})


def test_the_likely_option_is_the_label() -> None:
    (group,) = all_options()([user("x", options=("yes", "no"))], ROUND)

    def labels(*scores: float | None) -> list[str]:
        groups: list[Group] = [group.with_scores(marginal=scores)]
        return [one.row.completion.text for one in likely_labels("marginal")(groups, ROUND)]

    assert labels(0.7, 0.3) == labels(0.5, 0.5) == ["yes"]
    assert labels(0.2, 0.8) == ["no"]
    assert labels(0.2, None) == []


def test_a_classifier_is_learned_from_shares_alone(tmp_path: Path) -> None:
    """Two classes in bags of five, no target in the train split: single texts are told apart."""
    task = label_task(train=300, held_out=120)
    two = {
        name: tuple(dataclasses.replace(one, options=LABELS[:2]) for one in getattr(task, name) if one.target in LABELS[:2])
        for name in ("train", "gate", "final")
    }
    bags = [two["train"][start : start + 5] for start in range(0, len(two["train"]), 5)]
    train = tuple(
        dataclasses.replace(
            one, target=None, tags={"bag": number, "share": sum(each.target == LABELS[0] for each in bag) / len(bag)}
        )
        for number, bag in enumerate(sorted(bags, key=lambda bag: bag[0].id))
        for one in bag
    )
    recipe = llp_bp(learning_rate=0.1, epochs=20)
    model = runtime_of(encoder_folder(tmp_path / "encoder"))
    run = improve(
        recipe, model=model, task=task.replace(**two | {"train": train}), out=tmp_path / "run", rounds=1, controls=False
    )
    truth = {one.id: one.target for one in two["train"]}
    lessons = [one for one in run.examples(0) if isinstance(one, Demonstration)]
    right = sum(truth[one.row.prompt.id] == one.row.completion.text for one in lessons) / len(lessons)
    assert len(lessons) == len(train)
    assert right > 0.6
    assert accuracy(run, "improved") > 0.7
