"""ReST-EM: the kept samples are the expectation step, and what imitates them best is the maximisation step."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch
from conforming import promote_all
from worlds import VERIFIER, tiny_runtime, tiny_task

from example_builders import ROUND, columns, completion, group, value
from sharpen.ledger import Ledger
from sharpen.methods.rest_em import rest_em
from sharpen.rounds import improve
from sharpen.types import Group, user

TOKENS = {"a": 1, "b": 2, "c": 1, "d": 5}
"""By answer how many tokens it has."""


def test_one_round_is_one_exact_step_of_expectation_maximisation() -> None:
    """A policy of four answers, whatever is asked: its samples come in its own shares, and two prompts accept other answers."""
    policy = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
    texts = [answer for answer, share in policy.items() for _ in range(round(10 * share))]
    right = {"one": {"b"}, "two": {"b", "d"}}
    groups = [
        Group(
            prompt=(prompt := user(name)),
            completions=tuple(
                completion(text, prompt=prompt, index=i, num_tokens=TOKENS[text]) for i, text in enumerate(texts)
            ),
        ).with_scores(reward=[float(text in answers) for text in texts])
        for name, answers in right.items()
    ]
    [step] = rest_em(VERIFIER, max_per_prompt=10).steps
    assert step.select is not None
    assert step.objective is not None
    examples = list(step.select(groups, ROUND))
    kept = Counter(example.row.completion.text for example in examples)
    new = {answer: kept[answer] / kept.total() for answer in policy}
    assert new == pytest.approx({"a": 0.0, "b": 6 / 7, "c": 0.0, "d": 1 / 7})
    # no other policy makes the kept answers likelier, as the objective sees it: its slope is 0 there, however long the answers are
    logits = torch.log(torch.tensor([new[answer] + 1e-12 for answer in policy], dtype=torch.float64)).requires_grad_()
    drawn = [example.row.completion.text for example in examples]
    blank = columns(examples, [[0.0] * TOKENS[text] for text in drawn])
    rows = torch.log_softmax(logits, -1)[[list(policy).index(text) for text in drawn]]
    lengths = torch.tensor([TOKENS[text] for text in drawn])
    spread = (rows / lengths)[:, None].expand(-1, blank.weights.shape[1])
    value(step.objective, examples, dataclasses.replace(blank, logps=spread)).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.0] * 4, abs=1e-9)
    before, after = ([sum(shares[one] for one in answers) for answers in right.values()] for shares in (policy, new))
    assert before == pytest.approx([0.3, 0.4])
    assert after == pytest.approx([6 / 7, 1.0])


def test_an_easy_prompt_gives_no_more_than_the_cap() -> None:
    groups = [
        group(["A"] * 7, prompt=user("easy"), reward=[1.0] * 7),
        group(["B", "c"], prompt=user("hard"), reward=[1.0, 0.0]),
    ]
    select = rest_em(VERIFIER, max_per_prompt=3).steps[0].select
    assert select is not None
    assert Counter(example.row.completion.text for example in select(groups, ROUND)) == {"A": 3, "B": 1}


def test_each_round_samples_from_the_newest_and_trains_the_base(tmp_path: Path) -> None:
    recipe = rest_em(VERIFIER, num_prompts=16, num_samples=4, learning_rate=1e-3)
    how = {"out": tmp_path / "run", "rounds": 2, "gate": promote_all, "controls": False}
    task = tiny_task().replace(gate=tiny_task().gate[:12], final=tiny_task().final[:12])
    run = improve(recipe, model=tiny_runtime(), task=task, **how)  # type: ignore[arg-type]  # as named
    with Ledger(tmp_path / "run") as ledger:
        assert [entry.value["start"] for entry in ledger.entries("trained")] == [run.base, run.base]
    sampled_by = [{one.checkpoint for group in run.groups(index) for one in group.completions} for index in (0, 1)]
    assert sampled_by == [{run.base}, {run.rounds[0].candidate}]
    assert all(one.truncated and one.temperature == 0.7 for group in run.groups(0) for one in group.completions)
