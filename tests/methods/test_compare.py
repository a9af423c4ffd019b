"""A comparison of rft, grpo and a placebo on the tiny world, at an equal budget."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import VERIFIER, tiny_improve, tiny_runtime, tiny_task

from compare_runs import BUDGET, Watched, arms, contenders, contest, shared_comparison
from sharpen.budget import Budget
from sharpen.compare import Comparison, Contender, Contest, Place, Setting, of_contest, of_runs
from sharpen.compare.controls import placebo
from sharpen.costs import costs_of, spent_on_model
from sharpen.errors import DataError
from sharpen.events import Event, Observer
from sharpen.ledger import Ledger
from sharpen.methods.grpo import grpo
from sharpen.methods.rft import rft
from sharpen.methods.self_certainty import self_certainty
from sharpen.methods.sft import sft
from sharpen.parts import Recipe
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_comparison(tmp_path_factory)


@pytest.fixture(scope="module")
def found(folder: Path) -> Comparison:
    return of_contest(contest(folder, Watched()))


def ledgers(folder: Path) -> Iterator[tuple[Path, Ledger]]:
    for path in sorted((folder / "arms").iterdir()):
        with Ledger(path, read_only=True) as ledger:
            yield path, ledger


def test_every_arm_that_trains_ends_after_the_pass_that_brings_it_nearest_to_the_budget(folder: Path) -> None:
    seen = 0
    for path, ledger in ledgers(folder):
        passes = sorted({(entry.value["round"], entry.value["pass"]) for entry in ledger.entries("trained")})
        if not passes:
            continue
        spent = [spent_on_model(costs_of(ledger, until=place)).tokens for place in passes]
        assert spent[-1] == spent_on_model(costs_of(ledger)).tokens
        sizes = [after - before for before, after in zip([0, *spent], spent, strict=False)]
        ends = [BUDGET.size - done <= size / 2 for done, size in zip(spent, sizes, strict=True)]
        assert ends == [False] * (len(ends) - 1) + [True], path
        seen += 1
    assert seen == 3 * (2 + 1)  # each of three contenders: two settings with the first seed, one with the second


def test_rows_are_base_methods_and_every_control(found: Comparison) -> None:
    assert [(row.name, row.role) for row in found.rows] == [
        ("base", "base"),
        ("rft", "method"),
        ("grpo", "method"),
        ("placebo", "control"),
        ("prompting", "control"),
        ("self_consistency", "control"),
        ("best_of_n", "control"),
    ]
    assert all(tuple(row.entries) == (0, 1) for row in found.rows)
    assert len(found.contrasts) == 6 + 2 * 4 + 1
    assert found.binary
    assert found.gain(found.methods[0]).verdict == "beats"  # type: ignore[union-attr]
    assert found.headline.startswith(("rft gains most over the base", "grpo gains most over the base"))


def test_costs_are_those_on_file(found: Comparison) -> None:
    for row in found.methods:
        for entry in row.entries.values():
            run = Run.open(entry.folder)
            assert entry.spent == spent_on_model(run.costs)
            assert entry.spent.tokens == sum(
                cost.tokens for cost in run.costs if cost.makes and cost.call in ("generate", "train")
            )
            assert entry.num_promoted == sum(one.decision.promote for one in run.rounds) <= entry.num_rounds
            assert entry.curve[0].tokens == 0
            assert entry.curve[-1].tokens == entry.spent.tokens
            run.close()
    answering = {row.name: row.answer_tokens for row in found.controls}
    assert answering["self_consistency"] == pytest.approx(4 * found.rows[0].answer_tokens, rel=0.3)


def test_the_setting_that_stands_highest_at_the_gate_is_taken_without_a_look_at_the_final_split(
    folder: Path, found: Comparison
) -> None:
    for row in found.rows:
        if not row.trials:
            continue
        assert [trial.seed for trial in row.trials] == [0, 0]
        (chosen,) = (trial for trial in row.trials if trial.chosen)
        assert chosen.kept == max(trial.kept or 0.0 for trial in row.trials)
        assert row.setting == chosen.setting
        for trial in row.trials:
            assert abs(BUDGET.overshoot(trial.spent)) < 0.25
            with Ledger(trial.folder, read_only=True) as ledger:
                read = [entry.value["split"] for entry in ledger.entries("read")]
            assert ("final" in read) == trial.chosen
    assert len([path for path, _ in ledgers(folder)]) == 9 + 6


def test_the_same_comparison_again_runs_nothing_and_says_the_same(folder: Path, found: Comparison) -> None:
    before = {path: [entry.sequence for kind in ("block", "trained", "run", "read") for entry in ledger.entries(kind)] for path, ledger in ledgers(folder)}  # fmt: skip
    watched = Watched()
    again = of_contest(contest(folder, watched))
    assert watched.places == []
    assert again == found
    after = {path: [entry.sequence for kind in ("block", "trained", "run", "read") for entry in ledger.entries(kind)] for path, ledger in ledgers(folder)}  # fmt: skip
    assert after == before


def test_weights_are_given_up_and_can_be_had_again(folder: Path, found: Comparison, tmp_path: Path) -> None:
    assert not list(folder.glob("arms/*/checkpoint/*"))
    entry = found.methods[0].entries[1]
    copy = tmp_path / "run"
    shutil.copytree(entry.folder, copy)
    (setting,) = (one for one in contenders()[0].settings if one.label == found.methods[0].setting)
    told: list[Event] = []
    world = arms(folder)
    run = improve(
        setting.recipe,
        model=world.runtime(None),
        task=world.task,
        out=copy,
        seed=1,
        gate=world.gate,
        controls=False,
        budget=world.budget,
        observe=told.append,
    )
    assert run.best.uri is not None
    assert not [event for event in told if event.kind == "progress" and event.tokens]  # nothing was sampled for it
    assert spent_on_model(run.costs) == entry.spent


def test_a_comparison_that_was_stopped_goes_on_where_it_was(tmp_path: Path, found: Comparison) -> None:
    class Stopped(Exception):
        """On purpose, when the second arm begins to train for the second time."""

    class Stopping(Watched):
        @contextlib.contextmanager
        def __call__(self, place: Place) -> Iterator[Observer]:
            with super().__call__(place):
                yield self.observe

        def observe(self, event: Event) -> None:
            self.events.append(event)
            if len(self.places) == 2 and event.kind == "stage" and event.stage == "train" and event.round == 1:
                raise Stopped

    def small(watch: Watched) -> Contest:
        return Contest(arms=arms(tmp_path), contenders=contenders()[:1], seeds=(0,), watch=watch, max_samples=0)

    stopping, after = Stopping(), Watched()
    with pytest.raises(Stopped):
        small(stopping).rows()
    assert [place.number for place in stopping.places] == [1, 2]
    (row,) = small(after).rows()
    assert [place.number for place in after.places] == [2, 2]  # the second setting again, then the one taken on the final split
    assert row.reports[0] == found.methods[0].reports[0]
    assert row.trials == tuple(
        dataclasses.replace(trial, folder=mine.folder, spent=mine.spent)
        for trial, mine in zip(found.methods[0].trials, row.trials, strict=True)
    )
    for trial, mine in zip(found.methods[0].trials, row.trials, strict=True):
        assert mine.spent.tokens == trial.spent.tokens


def test_runs_on_disk_are_compared_as_they_are(found: Comparison) -> None:
    rows = {row.name: row for row in found.methods}
    folders = [entry.folder for row in rows.values() for entry in row.entries.values()]
    brought = of_runs(folders)
    assert [row.name for row in brought.rows] == ["base", "rft", "grpo"]
    assert brought.budget == BUDGET
    for row in brought.methods:
        assert row.reports == rows[row.name].reports
        one, other = brought.gain(row), found.gain(rows[row.name])
        assert one is not None
        assert other is not None
        assert (one.difference, one.interval, one.p) == (other.difference, other.interval, other.p)
    assert brought.contrasts[0].corrected != found.contrasts[0].corrected or len(brought.contrasts) == len(found.contrasts)
    with pytest.raises(DataError, match="leave one out"):
        of_runs([folders[0], folders[0]])
    trial = next(trial for row in found.rows for trial in row.trials if not trial.chosen)
    with pytest.raises(DataError, match="no figures of a final split"):
        of_runs([folders[0], trial.folder])


def test_a_runs_own_controls_are_rows(tiny_run: Run, found: Comparison) -> None:
    brought = of_runs([tiny_run.folder])
    controls = [row.name for row in brought.controls]
    assert "placebo of rft" in controls
    assert "supervised training of rft" in controls
    assert any("self-consistency" in name for name in controls)
    assert brought.budget is None
    with pytest.raises(DataError, match="other final prompts"):
        of_runs([tiny_run.folder, found.methods[0].entries[0].folder])


def test_unequal_numbers_of_settings_are_refused_before_anything_runs(tmp_path: Path) -> None:
    one, two = contenders()[:2]
    fewer = Contender(name=one.name, settings=one.settings[:1])
    how = {"arms": arms(tmp_path), "seeds": (0,), "watch": Watched()}
    with pytest.raises(ValueError, match="rft has 1, grpo has 2"):
        Contest(contenders=[fewer, two], **how)  # type: ignore[arg-type]
    answering = tuple(
        Setting(parameters={"num_samples": number}, recipe=self_certainty(num_samples=number)) for number in (2, 4)
    )
    with pytest.raises(ValueError, match="trains nothing"):
        Contest(contenders=[one, Contender(name="self_certainty", settings=answering)], **how)  # type: ignore[arg-type]
    Contest(contenders=[one, Contender(name="self_certainty", settings=answering[:1])], **how)  # type: ignore[arg-type]
    for seeds, names in (((), [one]), ((0, 0), [one]), ((0,), []), ((0,), [one, one])):
        with pytest.raises(ValueError, match="give at least one"):
            Contest(arms=arms(tmp_path), contenders=names, seeds=seeds, watch=Watched())


def test_a_method_that_only_answers_has_its_row_and_no_budget(tmp_path: Path) -> None:
    setting = Setting(parameters={"num_samples": 3}, recipe=self_certainty(num_samples=3, temperature=1.0))
    made = Contest(
        arms=arms(tmp_path),
        contenders=[Contender(name="self_certainty", settings=(setting,))],
        seeds=(0,),
        watch=Watched(),
        max_samples=0,
    )
    (row,) = made.rows()
    assert not row.trains
    assert row.mean("tokens") == 0
    assert row.answer_tokens > 2 * row.entries[0].base.statistics["answer_tokens"]


def test_a_run_leaves_no_weights_in_memory(tmp_path: Path) -> None:
    alive: list[weakref.ref[TorchRuntime]] = []

    def runtime(recipe: Recipe | None) -> TorchRuntime:
        made = tiny_runtime()
        alive.append(weakref.ref(made))
        return made

    world = dataclasses.replace(arms(tmp_path, budget=Budget(tokens=300)), runtime=runtime)
    one = contenders()[0]
    single = Contender(name=one.name, settings=one.settings[:1])
    Contest(arms=world, contenders=[single], seeds=(0, 1), watch=Watched(), max_samples=0).rows()
    assert len(alive) == 1 + 2  # the one that is asked about the model, and one for each run
    assert [reference() is world.first for reference in alive if reference() is not None] == [True]


# the budget in the loop itself


def test_roll_backs_end_nothing_while_there_is_budget(tmp_path: Path) -> None:
    recipe = rft(VERIFIER, num_prompts=8, num_samples=4, learning_rate=1e-9)
    run = improve(
        recipe,
        model=tiny_runtime(),
        task=tiny_task(),
        out=tmp_path / "run",
        controls=False,
        final=False,
        budget=Budget(tokens=1500),
    )
    assert len(run.rounds) > 3
    assert not any(one.decision.promote for one in run.rounds)
    assert run.results == []
    assert run.facts["rounds"] is None
    assert any("budget" in note for note in run.notes)
    run.close()


def test_a_round_is_cut_after_the_pass_that_spends_the_budget_and_still_tested(tmp_path: Path) -> None:
    recipe = grpo(VERIFIER, num_steps=50, num_samples=4, learning_rate=1e-3)
    how = {"model": tiny_runtime(), "task": tiny_task(), "out": tmp_path / "run", "controls": False, "final": False}
    first = improve(recipe, **how, budget=Budget(tokens=1000))  # type: ignore[arg-type]
    num_passes = len(first.passes)
    assert 1 < num_passes < 50
    assert first.rounds[0].decision.test != "none"
    tokens = spent_on_model(first.costs).tokens
    first.close()
    told: list[Event] = []
    more = improve(recipe, **how, budget=Budget(tokens=2000), observe=told.append)  # type: ignore[arg-type]
    assert len(more.passes) > num_passes
    assert spent_on_model(more.costs).tokens == pytest.approx(2000, rel=0.1)
    assert tokens == pytest.approx(1000, rel=0.2)
    spent = [event.numbers["spent"] for event in told if event.kind == "budget"]
    assert spent[num_passes - 1] == tokens  # what was on file counts as it did
    assert spent == sorted(spent)
    more.close()


def test_a_budget_of_seconds_ends_a_run_too(tmp_path: Path) -> None:
    run = improve(
        rft(VERIFIER, num_prompts=8, num_samples=4),
        model=tiny_runtime(),
        task=tiny_task(),
        out=tmp_path / "run",
        controls=False,
        final=False,
        budget=Budget(seconds=0.3),
    )
    assert spent_on_model(run.costs).seconds > 0.2
    assert run.finished
    run.close()


def test_a_setup_is_paid_from_the_budget(tmp_path: Path) -> None:
    taught = sft(num_examples=32)
    recipe = dataclasses.replace(
        grpo(VERIFIER, num_steps=4), setup=tuple(dataclasses.replace(s, name="seed") for s in taught.steps)
    )
    run = improve(
        recipe,
        model=tiny_runtime(),
        task=tiny_task(),
        out=tmp_path / "run",
        controls=False,
        final=False,
        budget=Budget(tokens=300),
    )
    assert [one.index for one in run.rounds] == [-1]  # the setup alone spent it
    run.close()


def test_a_round_that_selects_nothing_and_samples_nothing_does_not_go_on_for_ever(tmp_path: Path) -> None:
    run = improve(
        sft(learning_rate=1e9, epochs=4),
        model=tiny_runtime(),
        task=tiny_task(),
        out=tmp_path / "run",
        controls=False,
        final=False,
        budget=Budget(tokens=10**9),
    )
    assert len(run.rounds) == 1  # it diverged, and nothing that was on file grew
    assert any("a round cost nothing" in note for note in run.notes)
    run.close()


def test_the_final_split_can_be_read_later_without_new_work(tmp_path: Path) -> None:
    recipe = rft(VERIFIER, num_prompts=16, num_samples=4, learning_rate=1e-3)
    how = {"model": tiny_runtime(), "task": tiny_task(), "out": tmp_path / "run", "controls": False, "rounds": 1}
    first = improve(recipe, **how, final=False)  # type: ignore[arg-type]
    assert first.results == []
    assert first.final_reads == 0
    trained = spent_on_model(first.costs)
    first.close()
    second = improve(recipe, **how)  # type: ignore[arg-type]
    assert {result.name for result in second.results} == {"base", "improved"}
    assert spent_on_model(second.costs) == trained
    second.close()


def test_the_placebo_keeps_right_and_wrong_alike(tmp_path: Path) -> None:
    run = tiny_improve(placebo(num_prompts=40, num_samples=4), tmp_path / "run", rounds=1)
    kept = [row for example in run.examples(0) for row in example.rows]
    assert len(kept) == 2 * 40
    rights = [VERIFIER(row.prompt, row.completion) for row in kept]
    assert 0 < sum(score or 0.0 for score in rights) < len(rights)
    run.close()
