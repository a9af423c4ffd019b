"""What the hardware allows: peaks measured on the spot, and the least work that a round needs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.sides import Clock

__all__ = ["ModelSize", "PeakMeter", "Peaks", "best_of", "decode_bound_s", "train_flop"]

_GEMMS = ((2048, 2048, 2048), (2048, 576, 1536), (4096, 576, 1536), (1024, 576, 49152))  # rows x in x out
_READ_BYTES = 2**30
_REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """Numbers that the formulas take.

    Attributes:
        trunk: parameters of all matrix products but the head's.
        head: parameters of the head.
        layers, width: L, and d = query heads x their width.
        kv_width: key/value heads x their width.
    """

    trunk: int
    head: int
    layers: int
    width: int
    kv_width: int


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Measured limits.

    Attributes:
        gemm: by dtype the best FLOP/s over the shapes tried; `gemms` has each.
        read: bytes/s.
    """

    gemm: Mapping[str, float]
    gemms: Mapping[str, float]
    read: float


def best_of(one: Peaks, other: Peaks) -> Peaks:
    """The higher of each figure: a machine that is shared is not always equally fast."""
    return Peaks(
        gemm={name: max(rate, other.gemm[name]) for name, rate in one.gemm.items()},
        gemms={name: max(rate, other.gemms[name]) for name, rate in one.gemms.items()},
        read=max(one.read, other.read),
    )


class PeakMeter:
    """Measures peaks, and knows the model's size; made in a process of its own."""

    def __init__(self, folder: str, device: str, threads: int | None, *, quick: bool = False) -> None:
        """Get ready.

        Args:
            quick: a look in a second: less is read, and each time taken once.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.folder, self.device, self.clock = folder, device, Clock(device)
        self.repeats, self.read_bytes = (1, _READ_BYTES // 8) if quick else (_REPEATS, _READ_BYTES)

    def threads(self) -> int:
        """Threads that torch uses."""
        return torch.get_num_threads()

    def size(self) -> ModelSize:
        """Of the model."""
        config = AutoConfig.from_pretrained(self.folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        head = model.get_output_embeddings()
        linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return ModelSize(
            trunk=sum(part.weight.numel() for part in linear),
            head=head.weight.numel(),
            layers=config.num_hidden_layers,
            width=config.num_attention_heads * dim,
            kv_width=(getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * dim,
        )

    def peaks(self) -> Peaks:
        """The best of several shapes, the median of five times each."""
        gemm, gemms = {}, {}
        for dtype in (torch.float32, torch.bfloat16):
            name = str(dtype).removeprefix("torch.")
            for rows, width, out in _GEMMS:
                left, right = (torch.randn(size, device=self.device).to(dtype) for size in ((rows, width), (out, width)))
                seconds = self._seconds(lambda left=left, right=right: torch.nn.functional.linear(left, right))  # type: ignore[misc]
                gemms[f"{name} {rows}x{width}x{out}"] = 2 * rows * width * out / seconds
            gemm[name] = max(rate for shape, rate in gemms.items() if shape.startswith(name))
        return Peaks(gemm=gemm, gemms=gemms, read=self._read())

    def _read(self) -> float:
        block = torch.ones(self.read_bytes // 4, device=self.device)
        matrix, vector = block.view(-1, 4096), torch.ones(4096, device=self.device)
        ways: Sequence[Callable[[], torch.Tensor]] = (block.sum, lambda: matrix @ vector, block.amax)
        return max(self.read_bytes / self._seconds(way) for way in ways)

    def _seconds(self, what: Callable[[], torch.Tensor]) -> float:
        what()
        found = []
        for _ in range(self.repeats):
            began = self.clock.now()
            calls = 0
            while (taken := self.clock.now() - began) < 0.1:
                what()
                calls += 1
            found.append(taken / calls)
        return statistics.median(found)


def train_flop(size: ModelSize, prompt: int, lengths: Sequence[int], samples: int) -> float:
    """FLOP that one update needs: each group's prompt once, the head at completions alone, forward and twice that backward.

    3 sum over tokens of (2 N_trunk + 4 L d context), and 3 x 2 N_head a completion's token.

    Args:
        prompt: P, tokens of each prompt.
        lengths: C_i of every row, group by group.
        samples: rows of a group.
    """
    num_groups = len(lengths) // samples
    contexts = num_groups * _contexts(0, prompt) + sum(_contexts(prompt, length) for length in lengths)
    tokens = num_groups * prompt + sum(lengths)
    return 3.0 * (2 * size.trunk * tokens + 4 * size.layers * size.width * contexts + 2 * size.head * sum(lengths))


def _contexts(before: int, count: int) -> int:
    """Positions seen by `count` tokens after `before` others, each its own included."""
    return count * before + count * (count + 1) // 2


def decode_bound_s(size: ModelSize, rows: int, context: float, *, num_bytes: int, peak: float, read: float) -> float:
    """Least seconds of one decoding step: max((N b + rows context 2 L d_kv b) / bandwidth, 2 N rows / peak).

    Args:
        context: mean positions that a row looks back on.
        num_bytes: b, of a weight and of a cached value.
        peak, read: FLOP/s and bytes/s.
    """
    weights = size.trunk + size.head
    memory = (weights + rows * context * 2 * size.layers * size.kv_width) * num_bytes / read
    return max(memory, 2 * weights * rows / peak)
