from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from model_files import write_folder

from sharpen.errors import ModelError
from sharpen.models import resolve
from sharpen.models.folders import check_folder, file_hashes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("sharded"), shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_folder_passes(whole: Path, sharded: Path) -> None:
    check_folder(whole, trust_remote_code=False)
    check_folder(sharded, trust_remote_code=False)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def huge_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def remove(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("config.json"), "has no config.json; give a folder"),
        (adapter, "LoRA adapter"),
        (remove("model.safetensors"), "holds no weights"),
        (only_pickle, "only pytorch_model.bin, a pickle"),
        (remove("tokenizer.json"), "has no tokenizer"),
        (cut, "is not a whole safetensors file"),
        (huge_header, "is not a whole safetensors file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is not a whole safetensors file"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not readable JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "is not readable JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds list, not an object"),
        (lambda folder: (folder / "config.json").write_text("{}"), "names no model_type"),
        (lambda folder: edit(folder / "config.json", quantization_config={"quant_method": "gptq"}), "quantised weights"),
        (lambda folder: edit(folder / "config.json", auto_map={"AutoModel": "evil.Model"}), "own Python code"),
        (lambda folder: edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": "evil.T"}), "own Python code"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message) as raised:
        resolve(str(folder), cache=folder.parent / "cache")
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_hidden_layers", 10**9), ("vocab_size", 10**12), ("hidden_size", 10**6), ("intermediate_size", -1)],
)
def test_a_config_that_asks_for_more_than_the_weights_hold_is_refused_before_anything_is_allocated(
    folder: Path, name: str, value: int
) -> None:
    edit(folder / "config.json", **{name: value})
    with pytest.raises(
        ModelError, match=rf"config.json says {name} {value}, and the weights are \d+ tensors, the widest of \d+"
    ):
        check_folder(folder, trust_remote_code=False)
    edit(folder / "config.json", **{name: 1}, text_config={name: value})
    with pytest.raises(ModelError, match=f"says {name} {value}"):
        check_folder(folder, trust_remote_code=False)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "vocab.txt", "own.py"])
def test_a_file_that_is_a_link_to_elsewhere_is_refused(folder: Path, name: str) -> None:
    secret = folder.parent / "id_rsa"
    secret.write_text("mine")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    with pytest.raises(ModelError, match=rf"{name} is a link to .*id_rsa, outside of the folder; copy the file into it"):
        check_folder(folder, trust_remote_code=True)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"{name} is neither a file nor a folder"):
        check_folder(folder, trust_remote_code=True)


def test_links_within_the_folder_and_into_the_hubs_cache_are_read(whole: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in whole.iterdir():
        shutil.copy(path, blobs / path.name)
        (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / path.name)
    check_folder(snapshot, trust_remote_code=False)
    inside = Path(shutil.copytree(whole, tmp_path / "inside"))
    (inside / "model.safetensors").rename(inside / "weights.data")
    (inside / "model.safetensors").symlink_to("weights.data")
    check_folder(inside, trust_remote_code=False)
    (tmp_path / "linked").symlink_to(inside)
    check_folder(tmp_path / "linked", trust_remote_code=False)


def test_what_code_may_run_is_recorded_by_its_content(folder: Path) -> None:
    (folder / "own.py").write_text("x = 1")
    found = resolve(str(folder), cache=folder.parent / "cache", trust_remote_code=True)
    sha256 = hashlib.sha256(b"x = 1").hexdigest()
    assert found.record["remote_code"] is True
    assert found.record["provenance"]["code"] == f"own.py@sha256:{sha256}"
    assert "remote_code" not in resolve(str(folder), cache=folder.parent / "cache").record


def test_a_card_that_would_hurt_says_nothing(folder: Path) -> None:
    for header in ("a: &a [x]\nb: [*a, *a]", "[" * 9000, "license: !!python/name:os.system x", "license: [mit]", "? [a]\n: b"):
        (folder / "README.md").write_text(f"---\n{header}\n---\n")
        assert resolve(str(folder), cache=folder.parent / "cache").provenance == {"source": str(folder)}


def test_code_of_the_models_own_never_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = folder.parent / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at a prompt"))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        resolve(str(folder), cache=folder.parent / "cache")
    allowed = resolve(str(folder), cache=folder.parent / "cache", trust_remote_code=True)
    assert allowed.remote_code
    assert not ran.exists(), "resolving only reads"
    before = allowed.digest
    (folder / "evil.py").write_text("pass")
    assert resolve(str(folder), cache=folder.parent / "cache", trust_remote_code=True).digest != before


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "model.bin", 7])
def test_an_index_that_points_elsewhere_is_refused(sharded: Path, tmp_path: Path, name: object) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "model"))
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["lm_head.weight"] = name
    index.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"only \.safetensors files of the same folder"):
        check_folder(folder, trust_remote_code=False)


def test_a_missing_shard_and_a_missing_tensor_are_named(sharded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sharded, tmp_path / "model"))
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    first = sorted(set(content["weight_map"].values()))[0]
    index.write_text(json.dumps({**content, "weight_map": {**content["weight_map"], "ghost.weight": first}}))
    with pytest.raises(ModelError, match=r"lacks 'ghost.weight'"):
        check_folder(folder, trust_remote_code=False)
    index.write_text(json.dumps({**content, "weight_map": {}}))
    with pytest.raises(ModelError, match="has no weight_map"):
        check_folder(folder, trust_remote_code=False)
    index.write_text(json.dumps(content))
    (folder / first).unlink()
    with pytest.raises(ModelError, match=f"names {first}, which is not there"):
        check_folder(folder, trust_remote_code=False)


def test_the_digest_is_of_the_content_alone(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = resolve(str(folder), cache=cache)
    elsewhere = Path(shutil.copytree(folder, tmp_path / "copy"))
    (elsewhere / "notes.txt").write_text("not a part of the model")
    assert resolve(str(elsewhere), cache=cache).digest == first.digest == resolve(str(folder), cache=cache).digest
    assert first.provenance["source"] == str(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"]
)
def test_any_changed_file_changes_the_digest_even_at_equal_size(folder: Path, tmp_path: Path, name: str) -> None:
    before = resolve(str(folder), cache=tmp_path / "cache").digest
    path = folder / name
    state = path.stat()
    content = bytearray(path.read_bytes())
    spot = len(content) - 1 if name == "model.safetensors" else content.index(b" ")
    content[spot] = 9 if name != "model.safetensors" else content[spot] ^ 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert resolve(str(folder), cache=tmp_path / "cache").digest != before


def test_hashes_are_kept_and_a_torn_memo_is_only_a_memo(folder: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    hashes = file_hashes(folder, memo)
    kept = json.loads(memo.read_text())
    kept["config.json"][1] = "0" * 64  # a memo with the right stamp is believed: that is what makes it fast
    memo.write_text(json.dumps(kept))
    assert file_hashes(folder, memo)["config.json"] == "0" * 64
    memo.write_text('{"config.json": ["')
    assert file_hashes(folder, memo) == hashes


def test_licence_and_base_model_come_from_the_card(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nbase_model: owner/base\ntags: [a]\n---\n# Model\n")
    found = resolve(str(folder), cache=tmp_path / "cache").provenance
    assert (found["licence"], found["base_model"]) == ("apache-2.0", "owner/base")
    for unreadable in (
        "# no header",
        "---\n!!python/object:os.system {}\n---\n",
        "---\n- a list\n---\n",
        "---\nlicense: [a, b]\n---\n",
    ):
        (folder / "README.md").write_text(unreadable)
        assert "licence" not in resolve(str(folder), cache=tmp_path / "cache").provenance


def test_a_revision_of_a_folder_is_refused_not_ignored(folder: Path) -> None:
    with pytest.raises(ValueError, match="is not a hub model"):
        resolve(str(folder), revision="main")
