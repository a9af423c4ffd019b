"""ToolACE-R: what is within reach, what a refinement teaches, and when refining ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from worlds import VERIFIER, tiny_improve, tiny_runtime, tiny_task

from example_builders import ROUND, StillRound, completion, group
from sharpen.methods.toolace_r import toolace_r
from sharpen.protocols import Request, Sampling
from sharpen.sample.settled import settled
from sharpen.select.reachable import reachable, targets_and_refinements
from sharpen.types import Completion, Prompt, Segment, user


@dataclasses.dataclass(frozen=True)
class Refiner:
    """A policy that refines by a map of answers, and notes what it was shown."""

    better: Mapping[str, str]
    shown: list[str] = dataclasses.field(default_factory=list)

    def follow_up(self, prompt: Prompt, made: Completion, message: str) -> Completion:
        turn = made.turns[-1] + 1
        segment = Segment(source="injected", token_ids=(99,), weight=0.0, turn=turn, text=message)
        return dataclasses.replace(made, segments=(*made.segments, segment), finish="partial")

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [self._refined(one.partial) for one in requests if one.partial is not None]

    def _refined(self, partial: Completion) -> Completion:
        self.shown.append("|".join(segment.text for segment in partial.segments))
        text = self.better[partial.segments[-2].text]
        said = Segment(token_ids=(1, 2), logprobs=(-1.0, -1.0), text=text, turn=partial.turns[-1])
        return dataclasses.replace(partial, segments=(*partial.segments, said), text=f"{partial.text}{text}", finish="stop")


class Round(StillRound):
    """A round with that policy."""

    max_new_tokens = 8

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        object.__setattr__(self, "refiner", refiner)

    def policy(self, role: str) -> Refiner:  # type: ignore[override]  # a refiner
        return self.refiner  # type: ignore[attr-defined, no-any-return]  # set above


def answered(text: str, index: int = 0) -> Completion:
    made = completion(text, index=index)
    return dataclasses.replace(made, segments=(dataclasses.replace(made.segments[0], text=text),))


CHAIN = {"a": "b", "b": "c", "c": "c", "x": "y", "y": "x", "d": "d\n"}


@pytest.mark.parametrize(
    ("start", "most", "end", "refined"),
    [
        ("a", 9, "c", 3),
        ("b", 9, "c", 2),
        ("c", 9, "c", 1),
        ("a", 1, "b", 1),
        ("x", 4, "x", 4),
        ("x", 5, "y", 5),
        ("d", 9, "d\n", 1),
    ],
)
def test_refining_stops_at_the_distance_of_the_fixed_point_and_at_the_cap_on_a_cycle(
    start: str, most: int, end: str, refined: int
) -> None:
    refiner = Refiner(CHAIN)
    one = dataclasses.replace(group([]), completions=(answered(start),))
    (found,) = settled("better?", most=most)([one], Round(refiner))
    assert found.completions[0].text == end
    assert found.signals == {"refined": refined}
    assert len(refiner.shown) == refined


def test_each_refinement_sees_the_newest_answer_alone() -> None:
    refiner = Refiner(CHAIN)
    one = dataclasses.replace(group([]), completions=(answered("a"), answered("c", index=1)))
    (found,) = settled("better?")([one], Round(refiner))
    assert refiner.shown == ["a|better?", "c|better?", "b|better?", "c|better?"]
    assert [made.text for made in found.completions] == ["c", "c"]
    assert found.signals == {"refined": 2.0}
    assert all(set(made.turns) == {0} for made in found.completions)


def test_the_recipe_refines_and_chooses_as_told() -> None:
    class Starter(Refiner):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
            return super().generate(requests, sampling) or [answered("a") for _ in requests]

    recipe = toolace_r(VERIFIER, most=2, low=0.5)
    (step,) = recipe.steps
    assert recipe.answer is not None
    assert step.select is not None
    assert step.start == "base", "every round trains anew"
    (found,) = recipe.answer([user("q")], Round(Starter(CHAIN)))
    assert (found.completions[0].text, found.signals) == ("c", {"refined": 2.0})
    assert step.select([group(["a", "b"], reward=[1.0, 0.0])], Round(Refiner(CHAIN))) == [], "a half is no more than a half"


def test_what_is_sometimes_right_is_within_reach() -> None:
    prompts = [user(str(place)) for place in range(5)]
    scores = [[1.0, 1.0], [1.0, 0.5], [0.0, 0.0], [1.0, None], [None, None]]
    groups = [group(["a", "b"], prompt=prompt, reward=one) for prompt, one in zip(prompts, scores, strict=True)]
    assert [one.prompt.text for one in reachable()(groups, ROUND)] == ["1"]
    assert [one.prompt.text for one in reachable(0.5, 1.0)(groups, ROUND)] == []
    with pytest.raises(ValueError, match="no window"):
        reachable(0.5, 0.5)


def test_a_right_answer_is_refined_to_itself_in_its_own_words() -> None:
    runtime = tiny_runtime()

    class Tiny(StillRound):
        def policy(self, role: str):  # type: ignore[no-untyped-def, override]  # its own kind
            return runtime.load(runtime.base)

    prompt = user("abc", target="ABC")
    for text, score, wanted in (("Abc.", 1.0, "Abc."), ("abd", 0.0, "ABC")):
        one = dataclasses.replace(group([]), prompt=prompt, completions=(runtime.encode(prompt, text),)).with_scores(
            reward=[score]
        )
        direct, refined = targets_and_refinements("again")([one], Tiny())
        assert direct.row.completion.text == "ABC"
        own, _, last = refined.row.completion.segments
        assert own.token_ids == one.completions[0].token_ids
        assert last.text == wanted
        assert [one.weight for one in refined.row.completion.segments] == [0.0, 0.0, 1.0], "the last turn alone is trained"
    assert targets_and_refinements("again")([dataclasses.replace(one, prompt=user("abc"))], Tiny()) == []


def test_what_is_trained_is_the_last_turn_of_prompts_within_reach(tmp_path: Path) -> None:
    recipe = toolace_r(VERIFIER, num_prompts=32, num_samples=4, message="again", learning_rate=3e-4)
    held = tiny_task()
    run = tiny_improve(recipe, tmp_path / "run", rounds=1, gate=held.gate[:12], final=held.final[:12])
    rewards = {
        made.id: score for one in run.groups(0) for made, score in zip(one.completions, one.score("reward"), strict=True)
    }
    examples = run.examples(0)
    direct = [one.row for one in examples if not one.row.completion.segments]
    refined = [one.row for one in examples if one.row.completion.segments]
    reached = {one.prompt.id for one in run.groups(0) if {0.0, 1.0} <= set(one.score("reward"))}
    assert {row.prompt.id for row in direct} == {row.prompt.id for row in refined} == reached
    assert len(examples) == 2 * len(reached)
    assert all(row.completion.text == row.prompt.target for row in direct)
    kinds = set()
    sampled = {(one.prompt.id, made.text): rewards[made.id] for one in run.groups(0) for made in one.completions}
    for row in refined:
        own, between, last = row.completion.segments
        right = sampled[row.prompt.id, own.text] == 1.0
        kinds.add(right)
        assert last.text == (own.text if right else row.prompt.target)
        assert (own.weight, between.weight, last.weight) == (0.0, 0.0, 1.0)
        assert (own.turn, between.turn, last.turn) == (0, 1, 1)
        assert between.text == "again"
    assert kinds == {True, False}
    assert {result.name for result in run.results} >= {"base with toolace_r"}
