"""Does the gate promote what is no better? Real runs of the tiny model. `python -m tests.faults.null_trial 400` is the long form.

Null arms train on what says nothing: placebo (a run's own samples, right or wrong), shuffled (verified samples whose rewards are dealt out
again, imitated), advantages (the same, reinforced), coin (labels that are right as a coin falls). The base is the tiny model half cured of
its habit, so that it is right on about half of the words and little training changes many answers, either way. Beside them runs with
true gains. Of every candidate the truth is known: words are 17,576, and accuracy is counted on as many as 10,000 that were neither
trained on nor in the gate split.

A null run may truly improve, since chance moves the weights as well as anything: a promotion is false only where the fresh accuracy is not
higher than the incumbent's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.error_bounds import upper_bound
from tests.faults.nulls import coin_labels, shuffled_rewards
from tests.half_cured import VERIFIER, half_cured, half_runtime

from sharpen.feedback.verify import verify
from sharpen.forms import reinforced
from sharpen.gates import PairedGate, paired_gate
from sharpen.methods.rft import rft
from sharpen.objectives import NLL, PolicyGradient
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts import batch
from sharpen.protocols import Training
from sharpen.rounds import improve
from sharpen.runtime.tiny import tiny_prompts
from sharpen.sample import completions
from sharpen.select import demonstrations, rollouts
from sharpen.select.demonstrations import finished
from sharpen.stats import mcnemar_power
from sharpen.tasks import Task
from sharpen.types import Checkpoint, Decision, Report

NUM_TRAIN, NUM_GATE, ROUNDS = 64, 150, 3
FRESH, FRESH_FEW = 10_000, 3_000  # words for the truth: all of them where it was promoted, fewer where it was not
LEVEL = 0.05


def imitated(learning_rate: float) -> Training:
    return Training(learning_rate=learning_rate, epochs=2, batch_size=16)


def placebo(learning_rate: float) -> Recipe:
    sample = completions(4)
    return recipe(
        name="placebo", prompts=batch(24), sample=sample, select=finished(), objective=NLL(), training=imitated(learning_rate)
    )


def shuffled(learning_rate: float) -> Recipe:
    return recipe(
        name="shuffled",
        prompts=batch(24),
        sample=completions(4),
        feedback=chain(verify(VERIFIER), shuffled_rewards()),
        select=demonstrations(),
        objective=NLL(),
        training=imitated(learning_rate),
    )


def advantages(learning_rate: float) -> Recipe:
    return reinforced(
        "advantages",
        prompts=batch(8, passes_per_round=2),
        sample=completions(6),
        feedback=chain(verify(VERIFIER), shuffled_rewards()),
        select=rollouts(),
        objective=PolicyGradient(),
        training=Training(learning_rate=learning_rate),
        num_steps=2,
    )


def coin(learning_rate: float) -> Recipe:
    labels = coin_labels(2)
    return recipe(
        name="coin",
        prompts=batch(24),
        sample=completions(1),
        select=labels,
        objective=NLL(),
        training=imitated(learning_rate),
    )


NULLS: tuple[Callable[[float], Recipe], ...] = (placebo, shuffled, advantages, coin)
RATES = (3e-5, 1e-4)
GAINS = tuple((prompts, rate) for prompts in (8, 16, 24) for rate in (1.5e-5, 2.5e-5, 4e-5))  # from little to much


@dataclass(frozen=True, kw_only=True)
class Look:
    """One decision of the gate, and the truth.

    Attributes:
        arm: `placebo`, `shuffled`, `advantages`, `coin` or `gain`.
        num_gate: prompts of the gate split.
        gain: true accuracy of the candidate less that of the incumbent.
        churn: share of fresh words that the incumbent has right and the candidate wrong.
        fresh: words that both were counted on.
    """

    arm: str
    number: int
    look: int
    level: float
    num_gate: int
    wins: int
    losses: int
    promoted: bool
    failed_guards: tuple[str, ...]
    gain: float
    churn: float
    fresh: int

    @property
    def false(self) -> bool:
        """Whether it was promoted and is truly no better."""
        return self.promoted and self.gain <= 0.0

    @property
    def power(self) -> float:
        """The chance of promotion that `sharpen plan` tells of such a gain with such a churn at such a level; 0 without a gain."""
        if self.gain <= 0.0:
            return 0.0
        return mcnemar_power(self.num_gate, gain=self.gain, churn=self.churn, level=self.level)


class World:
    """Every word of the tiny task as tokens, and the model half cured."""

    def __init__(self, scratch: Path) -> None:
        self.prompts = tiny_prompts(26**3, seed=0)
        self.runtime = half_runtime(half_cured(self.task(0, num_gate=NUM_GATE), scratch))
        self.head = self.runtime.prompt_length(self.prompts[0])
        self.ids = self._ids()

    def _ids(self) -> torch.Tensor:
        """Each word with its right answer, as the model reads it: rows of the template around three letters, three, and an end."""
        renderer = self.runtime.renderer
        tokenizer = renderer.tokenizer
        first, word = list(renderer.prompt_ids(self.prompts[0])), self.prompts[0].text
        place = next(i for i in range(len(first)) if first[i : i + 3] == tokenizer.convert_tokens_to_ids(list(word)))
        rows = []
        for prompt in self.prompts:
            small, right = (tokenizer.convert_tokens_to_ids(list(text)) for text in (prompt.text, str(prompt.target)))
            rows.append([*first[:place], *small, *first[place + 3 :], *right, tokenizer.eos_token_id])
        return torch.tensor(rows)

    def order(self, number: int) -> np.ndarray[Any, Any]:
        """The words of a run: those to train on, those of the gate, and fresh ones behind them."""
        return np.random.Generator(np.random.Philox(key=number)).permutation(len(self.prompts))

    def task(self, number: int, *, num_gate: int) -> Task:
        words = [self.prompts[place] for place in self.order(number)[: NUM_TRAIN + num_gate]]
        return Task(
            name="capitals",
            train=tuple(words[:NUM_TRAIN]),
            gate=tuple(words[NUM_TRAIN:]),
            verifier=VERIFIER,
            max_new_tokens=6,
        )

    def right(self, checkpoint: str, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Of these words which the greedy answer has right: that is where the right answer is the likeliest, token by token."""
        module = self.runtime.resident(Checkpoint(id=checkpoint)).module
        found = []
        with torch.inference_mode():
            for rows in self.ids[torch.from_numpy(places)].split(2048):
                states = module.model(input_ids=rows[:, :-1], use_cache=False).last_hidden_state[:, self.head - 1 :]
                found.append((module.lm_head(states).argmax(-1) == rows[:, self.head :]).all(1))
        return torch.cat(found).numpy()


class Witness:
    """The gate, which it asks, and what is true of each pair that it was shown."""

    def __init__(self, world: World, gate: PairedGate, order: np.ndarray[Any, Any], num_gate: int) -> None:
        self.key = repr(gate)
        self.gate, self.world = gate, world
        self.tested = order[NUM_TRAIN : NUM_TRAIN + num_gate]
        self.fresh = order[NUM_TRAIN + num_gate :]
        self.seen: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        self.looks: dict[int, tuple[Decision, float, float, int]] = {}  # by number: a promotion is looked at again, closely

    def __repr__(self) -> str:
        return self.key

    def __call__(self, candidate: Report, incumbent: Report, looks: int, /) -> Decision:
        decision = self.gate(candidate, incumbent, looks)
        for report in (
            candidate,
            incumbent,
        ):  # the witness counts as the verifier does, but where two letters are equally likely
            counted = self.world.right(report.checkpoint, self.tested).tolist()
            assert sum(a != (b == 1.0) for a, b in zip(counted, report.outcomes["accuracy"], strict=True)) <= 1
        fresh = FRESH if decision.promote else FRESH_FEW
        new, old = (self.known(report.checkpoint, fresh) for report in (candidate, incumbent))
        self.looks[looks] = decision, float(new.mean() - old.mean()), float((old & ~new).mean()), fresh
        return decision

    def known(self, checkpoint: str, fresh: int) -> np.ndarray[Any, Any]:
        if (checkpoint, fresh) not in self.seen:
            self.seen[checkpoint, fresh] = self.world.right(checkpoint, self.fresh[:fresh])
        return self.seen[checkpoint, fresh]


def null_run(world: World, number: int, scratch: Path) -> list[Look]:
    """The looks of one null run, of the arm and at the learning rate that its number says."""
    make = NULLS[number % len(NULLS)]
    learning_rate = RATES[number // len(NULLS) % len(RATES)]
    return _run(world, make.__name__, make(learning_rate), number, NUM_GATE, scratch)


def gain_run(world: World, number: int, scratch: Path) -> list[Look]:
    """The looks of one run with a true gain, of the size that its number says."""
    num_prompts, learning_rate = GAINS[number % len(GAINS)]
    num_gate = (80, 150, 300)[number % 3]
    made = rft(VERIFIER, num_prompts=num_prompts, num_samples=4, learning_rate=learning_rate)
    return _run(world, "gain", made, 1_000_000 + number, num_gate, scratch)


def _run(world: World, arm: str, made: Recipe, number: int, num_gate: int, scratch: Path) -> list[Look]:
    witness = Witness(world, paired_gate(level=LEVEL), world.order(number), num_gate)
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        run = improve(
            made,
            model=world.runtime,
            task=world.task(number, num_gate=num_gate),
            out=Path(out),
            rounds=ROUNDS,
            gate=witness,
            controls=False,
            final=False,
            seed=number,
        )
        run.close()
    for checkpoint in {checkpoint for checkpoint, _ in witness.seen} - {world.runtime.base.id}:
        world.runtime.forget(checkpoint)
    return [
        Look(
            arm=arm,
            number=number,
            look=look,
            level=decision.numbers["level"],
            num_gate=num_gate,
            wins=int(decision.numbers["wins"]),
            losses=int(decision.numbers["losses"]),
            promoted=decision.promote,
            failed_guards=decision.failed_guards,
            gain=gain,
            churn=churn,
            fresh=fresh,
        )
        for look, (decision, gain, churn, fresh) in witness.looks.items()
    ]


def resolution(trials: int, *, level: float = LEVEL) -> float:
    """By how much that bound lies above the level where the share that is seen is the level itself."""
    return upper_bound(int(level * trials), trials) - level


def told(looks: Sequence[Look]) -> Iterator[str]:
    """What came of it, line by line."""
    nulls, gains = [one for one in looks if one.arm != "gain"], [one for one in looks if one.arm == "gain"]
    yield "arm          runs  looks  promoted  truly better  false  mean wins + losses  of"
    for arm in sorted({one.arm for one in looks}):
        mine = [one for one in looks if one.arm == arm]
        changed = f"{np.mean([one.wins for one in mine]):.1f} + {np.mean([one.losses for one in mine]):.1f}"
        yield (
            f"{arm:<12} {len({one.number for one in mine}):4}  {len(mine):5}  {sum(one.promoted for one in mine):8}  "
            f"{sum(one.gain > 0 for one in mine):12}  {sum(one.false for one in mine):5}  {changed:>18}  "
            f"{'/'.join(map(str, sorted({one.num_gate for one in mine})))}"
        )
    if nulls:
        runs, bad = len({one.number for one in nulls}), len({one.number for one in nulls if one.false})
        worse = [one for one in nulls if one.gain <= 0.0]
        by_look = Counter(one.look for one in nulls)
        yield f"looks of null runs: {', '.join(f'{count} at look {look}' for look, count in sorted(by_look.items()))}"
        idle = sum(not one.wins and not one.losses for one in nulls)
        yield f"null looks without a discordant pair: {idle} of {len(nulls)}"
        yield (
            f"false promotions: {bad} of {runs} null runs, {100 * bad / runs:.2f} %, one-sided 95 % bound "
            f"{100 * upper_bound(bad, runs):.2f} %; stated level {100 * LEVEL:g} %, resolution of {runs} runs "
            f"{100 * resolution(runs):.2f} points"
        )
        yield (
            f"of {len(worse)} null looks at candidates that are truly no better {sum(one.false for one in worse)} were promoted; "
            f"their levels add up to {sum(one.level for one in worse):.2f}"
        )
    for name, some in (("true gains", gains), ("null runs that happen to gain", nulls)):
        yield from _powers(name, [one for one in some if one.gain > 0.0])


def _powers(name: str, looks: Sequence[Look]) -> Iterator[str]:
    """Promotions beside the power that the plan tells, in all and by power."""
    for low, high in ((0.0, 1.0), (0.0, 0.2), (0.2, 0.8), (0.8, 1.0)):
        mine = [one for one in looks if low <= one.power < high or (one.power >= high == 1.0)]
        if mine:
            expected, spread = sum(one.power for one in mine), sum(one.power * (1 - one.power) for one in mine) ** 0.5
            seen = sum(one.promoted for one in mine)
            by = f"power {low:g} to {high:g}" if (low, high) != (0.0, 1.0) else "all"
            yield (
                f"{name}, {by}: {seen} of {len(mine)} looks promoted, {expected:.1f} expected (standard deviation {spread:.1f}); "
                f"{sum(bool(one.failed_guards) for one in mine)} with a failed guard"
            )


def read(path: Path) -> list[Look]:
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [Look(**{**row, "failed_guards": tuple(row["failed_guards"])}) for row in rows if "arm" in row]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, help="null runs; a quarter as many with true gains are made beside them")
    parser.add_argument("--out", type=Path, help="file of looks, one a line; what it holds is not done again")
    asked = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        scratch = Path(folder)
        path = asked.out or scratch / "looks.jsonl"
        done = {one.number for one in read(path)}
        began, world = time.process_time(), None
        wanted = [number for number in range(asked.runs) if number not in done]
        wanted += [1_000_000 + number for number in range(asked.runs // 4) if 1_000_000 + number not in done]
        with path.open("a") as file:
            for place in np.random.Generator(np.random.Philox(key=1)).permutation(len(wanted)).tolist():
                number = wanted[place]
                world = world or World(scratch)
                made = null_run(world, number, scratch) if number < 1_000_000 else gain_run(world, number - 1_000_000, scratch)
                file.writelines(json.dumps(dataclasses.asdict(one)) + "\n" for one in made)
                file.flush()
        looks = read(path)
    print("\n".join(told(looks)))
    print(f"{time.process_time() - began:.0f} s of CPU for {len(wanted)} runs")
    runs = {one.number: False for one in looks if one.arm != "gain"} | {one.number: True for one in looks if one.false}
    return int(upper_bound(sum(runs.values()), len(runs)) > LEVEL + resolution(len(runs)))


if __name__ == "__main__":
    sys.exit(main())
