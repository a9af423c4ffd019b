"""The peer of an RFT run: `generate`, our verifier and selection rule in a plain loop, and TRL's SFTTrainer."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from benchmarks.rft_work import Demonstrated, RftRound, RftRun, RftWork, shares
from benchmarks.rows import eos_ids
from benchmarks.sides import UNCLIPPED, Settings, baseline_bytes, captured_gradient, peak_bytes, set_up_torch
from sharpen.types import Completion, Prompt

__all__ = ["PeerRft"]

_WARM_PROMPTS = 8
_WARM_UP = 0.1  # of the steps, as the method `rft` has it


@dataclass(frozen=True, kw_only=True)
class _Answer:
    prompt: Prompt
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    finished: bool


class PeerRft:
    """A model in float32, run under autocast; `Settings.batch` is the rows that `generate` gets at once."""

    def __init__(self, settings: Settings) -> None:
        set_up_torch(settings)
        self.settings = settings
        self.tokenizer = AutoTokenizer.from_pretrained(settings.folder)
        self.model = AutoModelForCausalLM.from_pretrained(settings.folder, dtype=torch.float32).to(settings.device).eval()

    def warm(self, work: RftWork) -> None:
        """Touch the weights and answer a few prompts."""
        baseline_bytes(self.model, self.settings.device)
        self._answers(work.held_out[:_WARM_PROMPTS], work, temperature=None)

    def sample_s(self, work: RftWork) -> float:
        """Seconds that samples of one batch of the largest size take."""
        began = perf_counter()
        self._answers(self._repeated(work.train, work)[:256], work, temperature=work.temperature)
        return perf_counter() - began

    def run(self, work: RftWork, seed: int) -> RftRun:
        """The same rounds in a plain loop."""
        torch.manual_seed(seed)
        began = perf_counter()
        base = self._accuracy(work)
        held_out_s, rounds = perf_counter() - began, list[RftRound]()
        for prompts in shares(work):
            times = [perf_counter()]
            answers = self._answers(self._repeated(prompts, work), work, temperature=work.temperature)
            times.append(perf_counter())
            kept = self._kept(answers, work)
            times.append(perf_counter())
            if kept:
                self._train(kept, work, max_grad_norm=1.0)
            times.append(perf_counter())
            accuracy = self._accuracy(work)
            times.append(perf_counter())
            took = dict(zip(("sample", "select", "train", "evaluate"), map(_less, times[1:], times), strict=False))
            rounds.append(
                RftRound(
                    seconds={**took, "evaluate": took["evaluate"] + (0.0 if rounds else held_out_s)},
                    ended_s=times[-1] - began,
                    sampled=len(answers),
                    sampled_tokens=sum(len(answer.ids) for answer in answers),
                    examples=len(kept),
                    accuracy=accuracy,
                )
            )
            if accuracy >= work.target:
                break
        return RftRun(base=base, rounds=tuple(rounds), peak_bytes=peak_bytes(self.settings.device))

    def gradient(self, examples: Demonstrated, work: RftWork, path: Path) -> None:
        """By a step of SFTTrainer."""
        answers = [
            _Answer(prompt=prompt, prompt_ids=before, ids=ids, text="", finished=True)
            for prompt, before, ids in zip(examples.prompts, examples.prompt_ids, examples.completion_ids, strict=True)
        ]
        with captured_gradient(self.model, path):
            self._train(answers, work, max_grad_norm=UNCLIPPED)

    def _repeated(self, prompts: Sequence[Prompt], work: RftWork) -> list[Prompt]:
        return [prompt for prompt in prompts for _ in range(work.num_samples)]

    def _accuracy(self, work: RftWork) -> float:
        answers = self._answers(work.held_out, work, temperature=None)
        return sum(_score(answer, work) or 0.0 for answer in answers) / len(answers)

    def _kept(self, answers: Sequence[_Answer], work: RftWork) -> list[_Answer]:
        """The method's rule: right, finished, distinct, and of each prompt the shortest."""
        by_prompt: dict[str, dict[str, _Answer]] = {}
        for answer in answers:
            if answer.finished and (_score(answer, work) or 0.0) >= 1.0:
                by_prompt.setdefault(answer.prompt.id, {}).setdefault(answer.text.strip(), answer)
        chosen = [sorted(found.values(), key=lambda answer: len(answer.ids)) for found in by_prompt.values()]
        return [answer for found in chosen for answer in found[: work.max_per_prompt]]

    @torch.no_grad()
    def _answers(self, prompts: Sequence[Prompt], work: RftWork, *, temperature: float | None) -> list[_Answer]:
        """Samples, or greedy answers where the temperature is None."""
        found = []
        self.model.eval()
        stops = set(eos_ids(self.model))
        how = {"do_sample": False} if temperature is None else {"do_sample": True, "temperature": temperature, "top_k": 0}
        for start in range(0, len(prompts), self.settings.batch):
            rows = prompts[start : start + self.settings.batch]
            given = [self._ids(prompt) for prompt in rows]
            width = max(map(len, given))
            pads = [width - len(ids) for ids in given]
            device = self.settings.device
            mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads], device=device)
            with self._precision():
                whole = self.model.generate(
                    input_ids=torch.tensor(
                        [[0] * pad + list(ids) for pad, ids in zip(pads, given, strict=True)], device=device
                    ),
                    attention_mask=mask,
                    max_new_tokens=work.max_new_tokens,
                    pad_token_id=self.tokenizer.pad_token_id or 0,
                    **how,
                )
            for prompt, before, row in zip(rows, given, whole[:, width:].tolist(), strict=True):
                end = next((place for place, token in enumerate(row) if token in stops), None)
                ids = tuple(row if end is None else row[: end + 1])
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                found.append(_Answer(prompt=prompt, prompt_ids=before, ids=ids, text=text, finished=end is not None))
        return found

    def _ids(self, prompt: Prompt) -> tuple[int, ...]:
        messages = [{"role": "user", "content": prompt.text}]
        how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        return tuple(self.tokenizer.apply_chat_template(messages, **how)["input_ids"])

    def _train(self, answers: Sequence[_Answer], work: RftWork, *, max_grad_norm: float) -> None:
        """Epochs of SFTTrainer on the ids that were sampled: a step's examples as one sequence without padding."""
        rows = [
            {
                "input_ids": [*answer.prompt_ids, *answer.ids],
                "labels": [*([-100] * len(answer.prompt_ids)), *answer.ids],
            }
            for answer in answers
        ]
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=work.learning_rate, weight_decay=0.0, fused=True)
        num_steps = work.epochs * math.ceil(len(rows) / work.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, num_steps))
        trainer = SFTTrainer(
            model=self.model,
            args=self._config(work, max_grad_norm),
            train_dataset=Dataset.from_list(rows),
            processing_class=self.tokenizer,
            optimizers=(optimizer, schedule),
        )
        trainer.train()

    def _config(self, work: RftWork, max_grad_norm: float) -> SFTConfig:
        return SFTConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=work.batch_size,
            num_train_epochs=work.epochs,
            padding_free=True,
            max_length=None,
            max_grad_norm=max_grad_norm,
            bf16=self.settings.dtype == "bfloat16",
            activation_checkpointing=False,
            use_cpu=self.settings.device == "cpu",
            seed=self.settings.seed,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=self.settings.dtype == "bfloat16"):
            yield


def _less(end: float, start: float) -> float:
    return end - start


def _rate(step: int, num_steps: int) -> float:
    """Share of the peak learning rate: up over a tenth of the steps, then down in a line."""
    warm = math.ceil(_WARM_UP * num_steps)
    return (step + 1) / warm if step < warm else 1 - (step - warm) / max(1, num_steps - warm)


def _score(answer: _Answer, work: RftWork) -> float | None:
    finish = "stop" if answer.finished else "length"
    completion = Completion(segments=(), text=answer.text, finish=finish, prompt_id=answer.prompt.id, checkpoint="peer")  # type: ignore[arg-type]  # one of the two
    return work.verifier(answer.prompt, completion)
