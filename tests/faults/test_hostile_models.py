"""Model files that were made to hurt: the short form of `python -m tests.faults.model_trial N`, and what may never be loaded."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.faults.model_trial import gguf_file, model_folder, trial

from sharpen import load_task, read_rows
from sharpen.errors import DataError, ModelError
from sharpen.models import resolve
from sharpen.models.folders import check_folder
from sharpen.models.gguf_header import check_gguf


def test_no_spoilt_header_does_more_than_be_refused() -> None:
    outcomes, crashes, slowest = trial(1500)
    assert crashes == []
    assert outcomes["safetensors: refused"] > 1400
    assert outcomes["gguf: refused"] > 1200
    assert slowest < 2.0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"GGUF\x03", b"GGUF\x01", "version 1 is not read"),
        (b"GGUF\x03", b"GGUX\x03", "does not begin with GGUF"),
        (
            b"block_count\x04\x00\x00\x00\x02\x00\x00\x00",
            b"block_count\x04\x00\x00\x00\xff\xff\xff\x7f",
            "block_count is 2147483647",
        ),
        (b"length\x04\x00\x00\x00\x08\x00", b"length\x04\x00\x00\x00\xff\xff", "embedding_length is 65535"),
        (
            b"\x08\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x00",
            b"\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f",
            "announces 9223372036854775807 values",
        ),
        (
            b"\x08\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x00",
            b"\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
            "is of a kind",
        ),
        (
            b"\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x28",
            b"\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x40\x28",
            "does not lie in the file",
        ),
        (b"blk.1.ffn_up.weight", b"blk.0.ffn_up.weight", "stands twice"),
    ],
)
def test_what_a_gguf_file_says_of_itself_must_hold(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    path = tmp_path / "model.gguf"
    gguf_file(path)
    check_gguf(path)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(ModelError, match=said):
        check_gguf(path)


class Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pkl", "model.npy", "model.npz", "model.joblib", "model.gguf", "rows.parquet",
                                  "rows.jsonl", "rows.csv", "rows.jsonl.gz", "rows.pkl", "rows.npy", "model.safetensors", "rows.arrow"])  # fmt: skip
def test_a_pickle_by_any_name_is_never_run(tmp_path: Path, name: str) -> None:
    witness, path = tmp_path / "pwned", tmp_path / name
    if name.endswith(".npy"):
        np.save(path, np.array([Evil(witness)], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Evil(witness)))
    with pytest.raises((DataError, ModelError, ValueError)):
        resolve(str(path), cache=tmp_path / "cache")
    with pytest.raises(DataError):
        read_rows(path)
    with pytest.raises(DataError):
        read_rows(path, max_bad=1.0)
    with pytest.raises(DataError):
        load_task(path, "exact")
    folder = tmp_path / "folder"
    folder.mkdir()
    model_folder(folder)
    (folder / "model.safetensors").unlink()
    path.rename(folder / (name if name.startswith("model") else "model.bin"))
    with pytest.raises(ModelError):
        check_folder(folder, trust_remote_code=False)
    assert not witness.exists()
