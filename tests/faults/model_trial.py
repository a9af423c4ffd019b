"""Model files with spoilt headers: `python -m tests.faults.model_trial 20000`.

Each file is a small real one in which bytes of the header were changed, cut out, doubled or put at random. It is refused in one sentence,
or what was changed says nothing of where the weights lie. Nothing else may come of it, and nothing may take long.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import save_file

from sharpen.errors import ModelError
from sharpen.models.folders import check_folder
from sharpen.models.gguf_header import check_gguf

__all__ = ["spoilt", "trial"]

_TELLING = (0, 1, 0x7F, 0x80, 0xFF)


def spoilt(content: bytes, header: int, draw: random.Random) -> bytes:
    """The file with one to four faults among its first bytes."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(min(header, len(data)) or 1)
        match draw.randrange(6):
            case 0:
                data[place : place + 1] = bytes([draw.choice(_TELLING)])
            case 1:
                data[place : place + 8] = struct.pack("<Q", draw.choice([0, 2**31, 2**32, 2**62, 2**63 - 1, 2**64 - 1]))
            case 2:
                del data[place : place + draw.randrange(1, 64)]
            case 3:
                data[place:place] = data[place : place + draw.randrange(1, 64)]
            case 4:
                data[place : place + 4] = draw.randbytes(4)
            case _:
                del data[place:]
    return bytes(data)


def gguf_file(path: Path) -> int:
    """A small GGUF file; the bytes of its header."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(8)
    writer.add_token_list([f"t{number}" for number in range(40)])
    writer.add_token_types([1] * 40)
    for name in ("token_embd.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight"):
        writer.add_tensor(name, np.ones((40, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.stat().st_size - 3 * 40 * 8 * 4


def model_folder(folder: Path) -> int:
    """A folder that passes every check; the bytes of its weights' header."""
    import numpy as np

    (folder / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 40}')
    (folder / "tokenizer.json").write_text("{}")
    tensors = {name: np.ones((40, 8), np.float32) for name in ("embed", "layers.0.up", "layers.1.up")}
    save_file(tensors, folder / "model.safetensors")
    return 8 + struct.unpack("<Q", (folder / "model.safetensors").read_bytes()[:8])[0]


def trial(number: int, *, seed: int = 0) -> tuple[Counter[str], list[str], float]:
    """What came of so many files of each kind: counts, crashes in words, and the longest time in seconds."""
    outcomes: Counter[str] = Counter()
    crashes: list[str] = []
    longest = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder, gguf = Path(place) / "model", Path(place) / "model.gguf"
        folder.mkdir()
        kinds: dict[str, tuple[Path, int, Callable[[], None]]] = {
            "safetensors": (
                folder / "model.safetensors",
                model_folder(folder),
                lambda: check_folder(folder, trust_remote_code=False),
            ),
            "gguf": (gguf, gguf_file(gguf), lambda: check_gguf(gguf)),
        }
        for kind, (path, header, check) in kinds.items():
            whole, draw = path.read_bytes(), random.Random(f"{seed} {kind}")
            check()
            for attempt in range(number):
                path.write_bytes(spoilt(whole, header, draw))
                began = time.process_time()
                try:
                    check()
                    outcomes[f"{kind}: passed"] += 1
                except ModelError as error:
                    assert "\n" not in str(error)
                    outcomes[f"{kind}: refused"] += 1
                except Exception as error:  # what the trial is for
                    crashes.append(f"{kind} {attempt}: {type(error).__name__}: {str(error)[:200]}")
                longest = max(longest, time.process_time() - began)
    return outcomes, crashes, longest


if __name__ == "__main__":
    found, wrong, slowest = trial(int(sys.argv[1]))
    print(f"{sum(found.values()) + len(wrong):,} files: {dict(found)}, {len(wrong)} crashes, at most {slowest:.3f} s for one")
    for line in wrong[:20]:
        print(line)
    sys.exit(bool(wrong))
