"""The plain loop that people write: `generate`, a padded forward pass, the loss, backward, AdamW."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.rows import PaddedRows, eos_ids, forced_lengths, padded, rendered
from benchmarks.shapes import Batch, Work
from benchmarks.sides import (
    LEARNING_RATE,
    UNCLIPPED,
    Clock,
    Memory,
    Settings,
    Timing,
    baseline_bytes,
    captured_gradient,
    optimizer_bytes,
    peak_bytes,
    rows_at_once,
    set_up_torch,
)

__all__ = ["Plain"]


class Plain:
    """A model and an optimiser."""

    def __init__(self, settings: Settings) -> None:
        set_up_torch(settings)
        self.settings = settings
        self.clock = Clock(settings.device)
        self.tokenizer = AutoTokenizer.from_pretrained(settings.folder)
        self.model = AutoModelForCausalLM.from_pretrained(settings.folder, dtype=torch.float32).to(settings.device).eval()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        self.works: tuple[Work, ...] = ()
        self.baseline = 0

    def prepare(self, works: Sequence[Work]) -> None:
        """Check that the prompts are the same tokens here."""
        self.works = tuple(works)
        for work in works:
            rendered(self.tokenizer, work)
        self.baseline = baseline_bytes(self.model, self.settings.device)

    def round(self, place: int) -> Timing:
        """Sample, then one step."""
        work = self.works[place]
        began, cpu = self.clock.now(), self.clock.cpu()
        completions = self._sample(work)
        sampled = self.clock.now()
        self._step(work, completions, max_grad_norm=1.0)
        ended = self.clock.now()
        return Timing(
            seconds=ended - began,
            generate_s=sampled - began,
            update_s=ended - sampled,
            generated=sum(map(len, completions)),
            cpu_s=self.clock.cpu() - cpu,
        )

    def score(self, batch: Batch) -> float:
        """The padded forward pass without gradient."""
        began = self.clock.now()
        with torch.no_grad():
            for rows in self._micro_batches(batch.work, batch.completions):
                self._logprobs(rows).tolist()
        return self.clock.now() - began

    def gradient(self, batch: Batch, path: Path) -> None:
        """By the same step."""
        with captured_gradient(self.model, path):
            self._step(batch.work, batch.completions, max_grad_norm=UNCLIPPED)

    def memory(self) -> Memory:
        """Of this process."""
        return Memory(
            baseline=self.baseline,
            peak=peak_bytes(self.settings.device),
            optimizer=optimizer_bytes(self.optimizer),
            state="float32",
        )

    def described(self) -> Mapping[str, str | int | float | bool]:
        """What the loop is set to."""
        return {
            "dtype": self.settings.dtype,
            "batch": rows_at_once(self.settings, self.works),
            "attention": self.model.config._attn_implementation,
        }

    @torch.no_grad()
    def _sample(self, work: Work) -> list[tuple[int, ...]]:
        prompts = torch.tensor([ids for ids in work.prompt_ids for _ in range(work.samples)], device=self.settings.device)
        with self._precision():
            whole = self.model.generate(
                input_ids=prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=work.max_new_tokens,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                logits_processor=forced_lengths(work, prompts.shape[1], eos_ids(self.model)),
                pad_token_id=self.tokenizer.pad_token_id or 0,
            )
        stops = set(eos_ids(self.model))
        return [_until(row, stops) for row in whole[:, prompts.shape[1] :].tolist()]

    def _step(self, work: Work, completions: Sequence[Sequence[int]], *, max_grad_norm: float) -> None:
        num_tokens = sum(map(len, completions))
        self.optimizer.zero_grad(set_to_none=True)
        for rows in self._micro_batches(work, completions):
            logps_RT = self._logprobs(rows)
            ratio_RT = (logps_RT - logps_RT.detach()).exp()
            gain_RT = torch.minimum(ratio_RT * rows.advantages_R1, ratio_RT.clamp(0.8, 1.2) * rows.advantages_R1)
            loss = -(gain_RT * rows.mask_RT).sum() / num_tokens
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_grad_norm)
        self.optimizer.step()

    def _micro_batches(self, work: Work, completions: Sequence[Sequence[int]]) -> Iterator[PaddedRows]:
        size = rows_at_once(self.settings, [work])
        for start in range(0, len(completions), size):
            places = range(start, start + size)
            yield padded(work, completions, places, self.settings.device)

    def _logprobs(self, rows: PaddedRows) -> torch.Tensor:
        """[R, T] log-probabilities of the completions' tokens; the head runs at their positions alone."""
        width = rows.completions_RT.shape[1]
        with self._precision():
            output = self.model(
                input_ids=rows.input_ids, attention_mask=rows.attention_mask, logits_to_keep=width + 1, use_cache=False
            )
        logits_RTV: torch.Tensor = output.logits[:, :-1].float()
        return logits_RTV.log_softmax(-1).gather(-1, rows.completions_RT[:, :, None])[:, :, 0]

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=self.settings.dtype == "bfloat16"):
            yield


def _until(row: Sequence[int], stops: set[int]) -> tuple[int, ...]:
    """The tokens up to and with the first that ends the answer."""
    for place, token in enumerate(row):
        if token in stops:
            return tuple(row[: place + 1])
    return tuple(row)
