"""A policy behind the ledger: asked again it reads, killed half-way it goes on, and no two questions share an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from example_builders import completion

from sharpen.filed import FiledPolicy, Scope
from sharpen.ledger import Ledger
from sharpen.protocols import Request, Sampling, TokenScores
from sharpen.types import Completion, Prompt, Row, user

PROMPTS = [user(f"What is {number}?", options=("a", "b")) for number in range(5)]
SAMPLING = Sampling(max_new_tokens=8)


@dataclass
class Counting:
    """A policy and its runtime, which write down what they were asked; answers depend on the question alone."""

    identity: Mapping[str, str | int] = field(default_factory=lambda: {"name": "counting"})
    block_size: int = 2
    asked: list[tuple[str, int, object]] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)

    def realise(self, checkpoint: str) -> Counting:
        self.woken.append(checkpoint)
        return self

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Sequence[Completion]:
        self.asked.append(("generate", len(requests), sampling))
        found = []
        for request in requests:
            before = () if request.partial is None else request.partial.token_ids
            made = completion(request.prompt.text, prompt=request.prompt, index=request.index, num_tokens=3 + len(before))
            found.append(dataclasses.replace(made, seed=request.seed))
        return found

    def score(self, rows: Sequence[Row], *, entropies: bool, at_sampling_temperature: bool) -> Sequence[TokenScores]:
        self.asked.append(("score", len(rows), (entropies, at_sampling_temperature)))
        return [TokenScores(logprobs=(-0.5,) * len(row.completion.token_ids)) for row in rows]

    def options(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        self.asked.append(("options", len(prompts), None))
        return [(-1.0, float(len(prompt.text))) for prompt in prompts]

    def embed(self, prompts: Sequence[Prompt]) -> Sequence[tuple[float, ...]]:
        self.asked.append(("embed", len(prompts), None))
        return [(0.25,) for _ in prompts]


def _filed(ledger: Ledger, behind: Counting, *, checkpoint: str = "c", seen: list[Any] | None = None) -> FiledPolicy:
    return FiledPolicy(
        checkpoint=checkpoint,
        ledger=ledger,
        runtime=behind,  # type: ignore[arg-type]  # what it reads of a runtime is there
        realise=behind.realise,  # type: ignore[arg-type]
        scope=Scope(round=3, step="train", stage="groups"),
        on_block=lambda *told: None if seen is None else seen.append(told),
    )


def _requests(count: int = 5) -> list[Request]:
    return [Request(prompt=prompt, index=number, seed=7) for number, prompt in enumerate(PROMPTS[:count])]


def test_answers_are_made_once_in_blocks_and_read_after(tmp_path: Path) -> None:
    behind, seen = Counting(), []
    with Ledger(tmp_path) as ledger:
        made = _filed(ledger, behind, seen=seen).generate(_requests(), SAMPLING)
    assert [one.text for one in made] == [prompt.text for prompt in PROMPTS]
    assert behind.asked == [("generate", size, SAMPLING) for size in (2, 2, 1)]
    assert behind.woken == ["c"] * 3
    assert seen == [(2, 5, 6), (4, 5, 12), (5, 5, 15)]
    seen.clear()
    with Ledger(tmp_path) as ledger:
        assert _filed(ledger, behind, seen=seen).generate(_requests(), SAMPLING) == made
    assert len(behind.asked) == len(behind.woken) == 3
    assert seen == [(2, 5, 0), (4, 5, 0), (5, 5, 0)]


def test_each_block_says_where_it_was_made_and_what_it_took(tmp_path: Path) -> None:
    behind = Counting()
    with Ledger(tmp_path) as ledger:
        policy = _filed(ledger, behind)
        made = policy.generate(_requests(1), SAMPLING)
        policy.score([Row(prompt=PROMPTS[0], completion=one) for one in made])
        policy.options(PROMPTS)
        policy.embed(PROMPTS[:3])
        entries = ledger.entries("block")
        facts = [dict(entry.value) for entry in entries]
        assert [ledger.items(entry) for entry in entries][2:] == [[(-1.0, 10.0)] * 5, [(0.25,)] * 3]
    assert all(0.0 <= fact.pop("seconds") < 600.0 for fact in facts)
    place = {"checkpoint": "c", "round": 3, "step": "train", "stage": "groups"}
    assert facts == [
        {**place, "call": "generate", "rows": 1, "tokens": 3},
        {**place, "call": "score", "rows": 1, "tokens": 3},
        {**place, "call": "options", "rows": 5, "tokens": 5},
        {**place, "call": "embed", "rows": 3, "tokens": 3},
    ]


def test_tokens_that_were_there_before_are_not_counted_again(tmp_path: Path) -> None:
    partial = completion("half", prompt=PROMPTS[0], num_tokens=4)
    requests = [Request(prompt=PROMPTS[0], partial=partial), Request(prompt=PROMPTS[1])]
    with Ledger(tmp_path) as ledger:
        made = _filed(ledger, Counting()).generate(requests, SAMPLING)
        assert [len(one.token_ids) for one in made] == [7, 3]
        assert ledger.entries("block")[0].value["tokens"] == 6


def test_any_change_of_the_question_is_another_question(tmp_path: Path) -> None:
    behind = Counting()
    ask = Request(prompt=PROMPTS[0], index=1, seed=1)
    others = [
        dataclasses.replace(ask, prompt=PROMPTS[1]),
        dataclasses.replace(ask, index=2),
        dataclasses.replace(ask, seed=2),
        dataclasses.replace(ask, partial=completion("half", prompt=PROMPTS[0])),
        dataclasses.replace(ask, partial=completion("other half", prompt=PROMPTS[0])),
    ]
    with Ledger(tmp_path) as ledger:
        for request in (ask, *others, ask):
            _filed(ledger, behind).generate([request], SAMPLING)
        assert len(behind.asked) == 6
        _filed(ledger, behind).generate([ask], dataclasses.replace(SAMPLING, temperature=0.5))
        _filed(ledger, behind, checkpoint="d").generate([ask], SAMPLING)
        assert behind.woken[-1] == "d"
        elsewhere = Counting(identity={"name": "elsewhere"})
        _filed(ledger, elsewhere).generate([ask], SAMPLING)
        assert (len(behind.asked), len(elsewhere.asked)) == (8, 1)
        _filed(ledger, behind).options(PROMPTS[:1])
        _filed(ledger, behind).embed(PROMPTS[:1])
        _filed(ledger, behind).options(PROMPTS[1:2])
        _filed(ledger, behind).options(PROMPTS[:1])
        assert [call for call, _, _ in behind.asked[8:]] == ["options", "embed", "options"]


def test_scores_depend_on_the_row_its_temperature_and_what_is_asked(tmp_path: Path) -> None:
    behind = Counting()
    base = completion("4", prompt=PROMPTS[0])
    rows = [
        Row(prompt=PROMPTS[0], completion=base),
        Row(prompt=PROMPTS[1], completion=base),
        Row(prompt=PROMPTS[0], completion=dataclasses.replace(base, text="5")),
        Row(prompt=PROMPTS[0], completion=dataclasses.replace(base, temperature=0.5)),
    ]
    with Ledger(tmp_path) as ledger:
        policy = _filed(ledger, behind)
        for row in (*rows, *rows):
            assert policy.score([row]) == [TokenScores(logprobs=(-0.5, -0.5))]
        assert behind.asked == [("score", 1, (False, False))] * 4
        policy.score(rows[:1], entropies=True)
        policy.score(rows[:1], at_sampling_temperature=True)
        assert behind.asked[4:] == [("score", 1, (True, False)), ("score", 1, (False, True))]


def test_scores_options_and_embeddings_run_in_blocks_of_512(tmp_path: Path) -> None:
    behind, seen = Counting(), []
    with Ledger(tmp_path) as ledger:
        policy = _filed(ledger, behind, seen=seen)
        policy.score([Row(prompt=PROMPTS[0], completion=completion("4", prompt=PROMPTS[0]))] * 513)
        policy.options(PROMPTS[:1] * 513)
        policy.embed(PROMPTS[:1] * 513)
    assert [(call, size) for call, size, _ in behind.asked] == [
        (call, size) for call in ("score", "options", "embed") for size in (512, 1)
    ]
    assert seen[:2] == [(512, 513, 1024), (513, 513, 1026)]


def test_a_block_that_is_damaged_is_made_again_and_the_others_are_not(tmp_path: Path) -> None:
    behind = Counting()
    with Ledger(tmp_path) as ledger:
        made = _filed(ledger, behind).generate(_requests(), SAMPLING)
        path = tmp_path / str(ledger.entries("block")[1].path)
        path.write_bytes(path.read_bytes()[:-3])
        assert _filed(ledger, behind).generate(_requests(), SAMPLING) == made
        assert [size for _, size, _ in behind.asked] == [2, 2, 1, 2]
        assert len(ledger.entries("block")) == 3
        assert len(ledger.entries("note")) == 1


def test_a_kill_loses_at_most_the_block_in_flight(tmp_path: Path) -> None:
    class Killed(Counting):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Sequence[Completion]:
            if len(self.asked) == 1:
                raise KeyboardInterrupt
            return super().generate(requests, sampling)

    with Ledger(tmp_path) as ledger, pytest.raises(KeyboardInterrupt):
        _filed(ledger, Killed()).generate(_requests(), SAMPLING)
    behind = Counting()
    with Ledger(tmp_path) as ledger:
        assert len(_filed(ledger, behind).generate(_requests(), SAMPLING)) == 5
    assert [size for _, size, _ in behind.asked] == [2, 1]
    assert _filed_nothing(tmp_path) == []


def _filed_nothing(folder: Path) -> Sequence[Completion]:
    """No requests: nothing is asked and nothing filed."""
    behind = Counting()
    with Ledger(folder) as ledger:
        found = _filed(ledger, behind).generate([], SAMPLING)
    assert (behind.asked, behind.woken) == ([], [])
    return found
