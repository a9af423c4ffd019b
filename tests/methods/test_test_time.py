"""Methods that train nothing: they answer, and are measured beside one greedy answer."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
from worlds import accuracy, tiny_improve

from sharpen.feedback.votes import Ballot, vote
from sharpen.methods.best_of_n import best_of_n
from sharpen.methods.self_consistency import self_consistency


def test_majority_of_independent_votes_follows_the_binomial_law() -> None:
    rng = np.random.default_rng(0)
    for p in (0.7, 0.4):  # above one half voting helps, below it hurts
        right = 0
        for _ in range(4000):
            answers = rng.random(5) < p
            winner = vote([Ballot(answer=bool(one), index=i) for i, one in enumerate(answers)])
            assert winner is not None
            right += winner.winner is True
        expected = sum(comb(5, k) * p**k * (1 - p) ** (5 - k) for k in (3, 4, 5))
        assert abs(right / 4000 - expected) < 0.025
        assert (expected > p) == (p > 0.5)


def test_self_consistency_is_measured_beside_the_greedy_answer(tmp_path: Path) -> None:
    run = tiny_improve(self_consistency(num_samples=4, temperature=1.0), tmp_path / "run")
    names = [result.name for result in run.results]
    assert "base" in names
    assert "base with self_consistency" in names
    assert run.best.id == run.base
    assert run.rounds == []


def test_best_of_n_gives_the_likeliest_sample(tmp_path: Path) -> None:
    run = tiny_improve(best_of_n(num_samples=4, temperature=1.0), tmp_path / "run")
    (name,) = [result.name for result in run.results if result.name != "base"]
    # the habit is likelier than the right answer, so choosing by likelihood keeps it: selection cannot beat its score
    assert accuracy(run, name) < 0.3
