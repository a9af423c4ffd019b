"""`sharpen plan`: what it prints, and that it spends almost nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_runs import TINY, sharpen

SMALL = "--num-train 64 --num-gate 60 --num-final 40 --num-prompts 48 --num-samples 4 --rounds 2"


@pytest.fixture(scope="module")
def plan() -> dict[str, object]:
    """The plan of a small run, for programs."""
    called = sharpen(f"plan rft {TINY} {SMALL} --json")
    assert called.code == 0, called.err
    found: dict[str, object] = json.loads(called.out)
    return found


def test_the_plan_says_what_a_person_wants_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = sharpen(f"plan rft {TINY} {SMALL}")
    assert called.code == 0
    assert called.out.splitlines()[0].startswith("    <|user|>")
    for name in ("headroom", "gate", "examples", "sampling", "training", "in all", "memory", "disk", "this plan"):
        assert f"\n{name} " in called.out
    assert "pass@1" in called.out
    assert "compare with `sharpen run sft`" in " ".join(called.out.split())
    assert f"sharpen run rft {TINY}" in " ".join(called.out.split())
    words = " ".join(called.out.split())
    assert "power at look 1 (level 0.0250), by true gain: 5 points " in words
    assert "at look 2 (level 0.0083), by true gain: 5 points " in words
    assert "of prompts turn wrong (assumed)" in words
    assert "as between two samples of the base" in words
    assert max(map(len, called.out.splitlines())) <= 100
    assert list(tmp_path.iterdir()) == []


def test_the_figures_are_those_of_the_tiny_world(plan: dict[str, object]) -> None:
    headroom = plan["headroom"]
    assert isinstance(headroom, dict)
    assert headroom["num_prompts"] == 24
    assert headroom["num_samples"] == 4
    assert 0.2 < headroom["first"] < 0.6  # it was taught to be right four times in ten
    assert headroom["many"] > headroom["first"] + 0.2
    assert str(plan["first_prompt"]).startswith("<|user|>")
    assert plan["sizes"] == {"train": 64, "dev": 0, "gate": 60, "final": 40}
    assert plan["rounds"] == 2


def test_the_work_is_counted(plan: dict[str, object]) -> None:
    work = {one["name"]: one["tokens"] for one in plan["work"]}  # type: ignore[attr-defined]
    assert work["sampling"] == pytest.approx(2 * 48 * 4 * 4, rel=0.05)  # rounds x prompts x samples x three letters and an end
    assert work["gate"] == pytest.approx(3 * 60 * 4, rel=0.05)
    assert work["promotions"] == pytest.approx(3 * 60 * 4 * 4, rel=0.05)  # base and two candidates, four samples a gate prompt
    assert set(work) == {"sampling", "training", "gate", "promotions", "final figures", "controls"}
    assert plan["seconds"] == pytest.approx(sum(one["seconds"] for one in plan["work"]))  # type: ignore[attr-defined]


def test_what_is_planned_is_the_run_with_the_same_words(plan: dict[str, object]) -> None:
    assert set(str(plan["command"]).split()) == set(f"sharpen run rft {TINY} {SMALL}".split())
    assert str(plan["folder"]).startswith("runs/rft-tiny-")


@pytest.mark.parametrize("method", ["grpo", "cream", "sft", "self_consistency"])
def test_every_kind_of_method_can_be_planned(method: str) -> None:
    flags = {"grpo": "--num-steps 3 --num-prompts 4", "cream": "--num-prompts 8 --rounds 1"}.get(method, "")
    called = sharpen(f"plan {method} {TINY} --num-train 40 --num-gate 30 --num-final 10 {flags} --json --no-controls")
    assert called.code == 0, called.err
    found = json.loads(called.out)
    work = {one["name"] for one in found["work"]}
    assert ("training" in work) == (method != "self_consistency")
    assert (found["power"] is None) == (method == "self_consistency")


def test_a_plan_that_does_not_fit_says_so_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.capacity._machine_memory", lambda: 1_000_000)
    called = sharpen(f"plan rft {TINY} {SMALL}")
    assert called.code == 0
    assert "It would not start: the run needs" in " ".join(called.out.split())


def test_a_plan_whose_activations_do_not_fit_says_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.capacity._machine_memory", lambda: 310_000_000)
    called = sharpen(f"plan rft {TINY} {SMALL}")
    assert called.code == 0
    assert "worked out again in the backward pass" in called.out


def test_mistakes_are_those_of_run() -> None:
    for words, said in (
        (f"plan rtf {TINY}", "did you mean 'rft'?"),
        (f"plan rft {TINY} --num-samples 0", "num_samples is 0; it is at least 1"),
        (f"plan rft {TINY} --num-train 0", "no train prompts"),
    ):
        called = sharpen(words)
        assert said in " ".join(called.err.split())
        assert called.code in (1, 2)
