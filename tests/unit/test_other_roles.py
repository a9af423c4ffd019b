"""Roles that are given to other models: what they may do, what they write, and what is refused before anybody is asked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.faulty_server import Faulty

from cli_runs import TINY, sharpen
from example_builders import ROUND, completion, group
from sharpen.checks import check_needs
from sharpen.endpoint import EndpointRuntime, parse_served
from sharpen.endpoint.account import spending_in
from sharpen.errors import ModelError
from sharpen.feedback.checklist import checklist
from sharpen.feedback.implicit_reward import implicit_reward
from sharpen.feedback.likelihood import logprob_score, mean_logprob_score
from sharpen.feedback.p_true import p_true
from sharpen.feedback.reading import verdicts_on
from sharpen.feedback.rubric import rubric
from sharpen.feedback.verify import verify
from sharpen.methods.iterative_deepening import iterative_deepening
from sharpen.methods.progressive_self_reflection import progressive_self_reflection
from sharpen.methods.self_refine import self_refine
from sharpen.methods.self_rewarding import self_rewarding
from sharpen.objectives import DPO, NLL, PolicyGradient
from sharpen.parity import parity
from sharpen.parts import Part, Recipe, Step, chain, part, recipe
from sharpen.protocols import Policy, Request, Sampling, Training
from sharpen.roles import Cast, guest_ids
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.tiny import tiny_prompts
from sharpen.sample import completions
from sharpen.select import best, best_vs_worst, demonstrations, rollouts
from sharpen.types import Completion, Prompt, user
from tiny_runs import VERIFIER, tiny_runtime, tiny_task

LIKELIHOODS = (logprob_score, mean_logprob_score)
SERVED = EndpointRuntime(parse_served("endpoint:m@http://127.0.0.1:9/v1"))


class Writer:
    """A judge that writes, and has no probabilities."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        made = [
            completion(text, prompt=request.prompt) for request, text in zip(requests, self.texts * len(requests), strict=False)
        ]
        return made[: len(requests)]


def by(judge: Writer) -> object:
    class Round(type(ROUND)):  # type: ignore[misc]  # the builders have no types
        def policy(self, role: str) -> Writer:
            return judge

    return Round()


def test_a_written_verdict_is_read_or_the_judge_abstains() -> None:
    (found,) = rubric(verdict_from="generate")([group(["a", "b", "c"])], by(Writer("4", "I would say 2 or 3", "Mark: 5")))  # type: ignore[arg-type]
    assert found.score("reward") == (4.0, None, 5.0)
    assert found.signals["reward_spread"] == 1.0
    (found,) = p_true(verdict_from="generate")([group(["a", "b", "c"])], by(Writer("A", "B", "A", "A", "(B)", "neither")))  # type: ignore[arg-type]
    assert found.score("p_true") == (1.0, 0.5, None)
    asked = [user("Is it? Yes or No", options=("Yes", "No"))] * 2
    assert verdicts_on(asked, Writer("Yes.", "Maybe"), verdict_from="generate") == [(0.0, float("-inf")), None]  # type: ignore[arg-type]
    assert verdicts_on([], Writer(), verdict_from="generate") == []  # type: ignore[arg-type]


def test_what_a_judge_must_be_able_to_do_follows_from_how_it_is_read() -> None:
    assert rubric().needs == ("options", "chat")
    assert rubric(verdict_from="generate").needs == ("generate", "chat")
    assert checklist(verdict_from="generate").needs == ("generate", "generate", "chat")
    with pytest.raises(ValueError, match="a part needs 'telepathy', which is no capability"):
        rubric(verdict_from="telepathy")  # type: ignore[arg-type]


def needing(made: Recipe, **guests: EndpointRuntime) -> None:
    check_needs(made, tiny_runtime(), tiny_task(), 1, guests)


def step(feedback: Part, **changes: object) -> Recipe:  # type: ignore[type-arg]
    found = Step(name="s", sample=completions(2), feedback=feedback, select=best_vs_worst(), objective=DPO(0.1))
    return Recipe(name="r", steps=(dataclasses.replace(found, **changes),))  # type: ignore[arg-type]


def test_what_another_model_cannot_do_is_refused_before_the_first_token() -> None:
    needing(self_rewarding(judge="judge", verdict_from="generate"), judge=SERVED)
    with pytest.raises(ModelError, match=r"needs 'options' of the role 'judge', whose model can do nothing but chat, generate"):
        needing(self_rewarding(judge="judge"), judge=SERVED)
    with pytest.raises(ModelError, match=r"needs 'score' of the role 'judge'"):
        needing(step(implicit_reward("judge")), judge=SERVED)
    with pytest.raises(ModelError, match=r"needs 'score' of the role 'judge'"):
        check_needs(step(implicit_reward("judge")), tiny_runtime(), tiny_task(), 1, {"judge": tiny_runtime()})  # other tokens
    with pytest.raises(ValueError, match="asks for the role 'judge', which nothing fills"):
        needing(self_rewarding(judge="judge", verdict_from="generate"))
    with pytest.raises(ValueError, match="nothing in 'self_rewarding' asks the role 'teacher'"):
        needing(self_rewarding(judge="judge", verdict_from="generate"), judge=SERVED, teacher=SERVED)
    with pytest.raises(ValueError, match="the role 'incumbent' is our own model's"):
        needing(self_rewarding(verdict_from="generate"), incumbent=SERVED)
    on_policy = step(verify(VERIFIER), sample=completions(2, role="teacher"), select=rollouts(), objective=PolicyGradient())
    with pytest.raises(ModelError, match="'teacher' is another model, whose answers have none"):
        needing(on_policy, teacher=SERVED)
    with pytest.raises(ModelError, match="needs 'train'"):
        check_needs(self_rewarding(verdict_from="generate"), SERVED, tiny_task(), 1)


@pytest.mark.parametrize(
    ("made", "need"),
    [(self_refine(), "continue"), (iterative_deepening(), "continue"), (progressive_self_reflection(), "continue")]
    + [(Recipe(answer=chain(completions(2), likelihood(), best("likelihood"))), "logprobs") for likelihood in LIKELIHOODS],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_what_goes_on_from_tokens_or_reads_their_probabilities_is_refused_of_a_served_model(made: Recipe, need: str) -> None:
    with pytest.raises(ModelError, match=f"needs '{need}', which this runtime cannot do"):
        check_needs(made, SERVED, tiny_task(), 1)


def test_answers_of_another_model_are_text_to_ours() -> None:
    ours, prompts = tiny_runtime(), tiny_prompts(3, seed=4)
    cast = Cast(ours, {"teacher": tiny_runtime()})
    (guest,) = guest_ids({"teacher": tiny_runtime()}).values()
    assert cast.holds(guest)
    policy: Policy = cast.load(dataclasses.replace(ours.base, id=guest))
    asked, sampling = [Request(prompt=prompt) for prompt in prompts], Sampling(temperature=0, max_new_tokens=6)
    made = policy.generate(asked, sampling)
    own = ours.load(ours.base).generate(asked, sampling)
    assert [one.text for one in made] == [one.text for one in own]
    assert all(one.segments == () and one.logprobs is None and one.checkpoint == guest for one in made)
    assert {one.finish for one in made} <= {"given", "length"}
    with pytest.raises(ModelError, match="shares no tokens with ours"):
        policy.score([])
    with pytest.raises(ModelError, match="cannot go on from a partial answer"):
        policy.generate([Request(prompt=prompts[0], partial=own[0])], sampling)
    with pytest.raises(ModelError, match="cannot be gone on from token by token"):
        cast.follow_up(prompts[0], made[0], "again")
    assert parity(ours, tiny_runtime(), prompts=prompts, max_new_tokens=4).verdict == "All 3 greedy answers are identical."


def taught() -> Recipe:
    return recipe(
        name="taught",
        sample=completions(1, role="teacher"),
        feedback=answered(),
        select=demonstrations(by="reward"),
        objective=NLL(),
        training=Training(learning_rate=1e-3, batch_size=8),
        rounds=1,
    )


@part(writes=("reward",))
def answered():  # type: ignore[no-untyped-def]
    return lambda groups, round: [
        one.with_scores(reward=[float(made.finish == "given") for made in one.completions]) for one in groups
    ]


def test_a_served_teacher_is_asked_once_and_its_text_is_trained_as_given(tmp_path: Path) -> None:
    task = tiny_task(size=12)
    with Faulty(seed=2, scale=0.5) as server:
        spec = f"endpoint:m@{server.url},input=0.15,output=0.6,timeout=5"
        run = improve(taught(), model=tiny_runtime(), task=task, out=tmp_path / "run", controls=False, roles={"teacher": spec})
        first = server.tally
        again = improve(
            taught(), model=tiny_runtime(), task=task, out=tmp_path / "run", controls=False, roles={"teacher": spec}
        )
        assert server.tally["attempts"] == first["attempts"]
        assert again.key == run.key
    assert run.facts["guests"].keys() == {"teacher"}
    (examples,) = [run.examples(0)]
    rows = [row for example in examples for row in example.rows]
    assert len(rows) == 12
    assert all(row.completion.text == f"answer to {row.prompt.text}" and row.completion.segments == () for row in rows)
    assert run.rounds[0].trained
    assert run.served is not None
    assert run.served.answered == 12
    assert run.served.charged == first["counted"]
    run.close(), again.close()


TAUGHT = """
from sharpen import Recipe, Training, recipe
from sharpen.methods.rft import rft
from sharpen.objectives import NLL
from sharpen.sample import completions
from sharpen.select import demonstrations
from sharpen.parts import part

@part(writes=("reward",))
def liked():
    def stage(groups, round):
        return [one.with_scores(reward=[1.0] * len(one.completions)) for one in groups]
    return stage

def taught() -> Recipe:
    "Imitate a teacher."
    return recipe(name="taught", sample=completions(1, role="teacher"), feedback=liked(), select=demonstrations(by="reward"),
                  objective=NLL(), training=Training(learning_rate=1e-3, batch_size=8), rounds=1)
"""


def test_runs_side_by_side_share_a_teacher_its_account_and_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TAUGHT)
    sizes = "--num-train 12 --num-gate 20 --num-final 20 --rounds 1 --budget-tokens 200 --num-seeds 2 --no-controls --json"
    with Faulty(seed=2, scale=0) as server:
        role = f"--roles teacher=endpoint:m@{server.url},input=0.15,output=0.6"
        words = f"compare mine.py:taught rft,num_samples=2 {TINY} {role} {sizes} --out both"
        refused = sharpen(f"{words} --max-cost 0.000001")
        assert refused.code != 0
        assert "cap" in refused.err
        called = sharpen(f"{words} --max-cost 1")
        assert called.code == 0, called.err
        asked = server.tally["attempts"]
        assert sharpen(f"{words} --max-cost 1").code == 0
        assert server.tally["attempts"] == asked
        assert asked
        spent = spending_in(Path("both"))
        assert spent is not None
        assert spent.charged == server.tally["counted"]
        unasked = sharpen(f"compare rft {TINY} {role} {sizes} --out none")
        assert "no method here asks the role 'teacher'" in unasked.err
    assert any("what it reads and writes is in no budget" in note for note in json.loads(called.out)["notes"])
    commands = {
        Run.open(one).facts["method"]: Run.open(one).facts["settings"]["command"] for one in Path("both/arms").iterdir()
    }
    assert "--roles teacher=" in commands["taught"]
    assert "--roles" not in commands["rft"]


def test_parity_says_where_two_engines_part() -> None:
    prompts: tuple[Prompt, ...] = tuple(tiny_prompts(4, seed=4))
    with Faulty(scale=0) as server:
        served = EndpointRuntime(parse_served(f"endpoint:m@{server.url}"))
        found = parity(tiny_runtime(), served, prompts=prompts, max_new_tokens=4)
    assert found.same == 0.0
    assert [one.right for one in found.differences] == [f"answer to {prompt.text}"[:24] for prompt in prompts]
    assert {one.token for one in found.differences} == {1}
    assert found.verdict.startswith("0 of 4 greedy answers are identical; the others part at token 1 at the earliest")
