"""TRL's GRPOTrainer, doing its own training loop; from outside come the lengths and a stop before each step.

The trainer runs in a thread of its own, which waits at the start of each step until the round is asked for: one `train()` call, as
anyone would make it, and rounds that can alternate with other sides.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from benchmarks.continuous import continuous_lengths, memory_of_a_round
from benchmarks.rows import eos_ids, forced_lengths, padded, rendered
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

__all__ = ["Trl"]


@dataclass(kw_only=True)
class _Step:
    """What is noted of the step in hand: seconds at its start, spent generating, and when its samples were ready."""

    work: Work
    batch: Batch | None = None
    began: float = 0.0
    cpu: float = 0.0
    generate_s: float = 0.0
    ready: float = 0.0
    generated: int = 0


class Trl:
    """A trainer at one candidate's settings."""

    def __init__(self, settings: Settings) -> None:
        set_up_torch(settings)
        self.settings = settings
        self.clock = Clock(settings.device)
        self.works: tuple[Work, ...] = ()
        self.baseline = 0
        self.places: queue.Queue[tuple[int, Batch | None]] = queue.Queue()
        self.answers: queue.Queue[Timing | BaseException] = queue.Queue()
        self.step: _Step | None = None

    def prepare(self, works: Sequence[Work]) -> None:
        """Make the trainer and let it come to its first step.

        Raises:
            ValueError: the works differ in what a trainer fixes, or the prompts are other tokens here.
        """
        self.works = tuple(works)
        if len({(len(work.texts), work.samples) for work in works}) != 1:
            raise ValueError("the rounds of one trainer have the same number of prompts and of samples")
        rows = [{"prompt": [{"role": "user", "content": text}]} for work in works for text in work.texts]
        self.trainer = GRPOTrainer(
            model=self.settings.folder,
            reward_funcs=self._rewards,
            args=self._config(works),
            train_dataset=Dataset.from_list(rows),
            callbacks=[_Stops(self)],
        )
        for work in works:
            rendered(self.trainer.processing_class, work)
        self.baseline = baseline_bytes(self.trainer.model, self.settings.device)
        self._watch()
        threading.Thread(target=self._train, daemon=True).start()

    def round(self, place: int) -> Timing:
        """Let the trainer do its next step."""
        return self._asked(place, None)

    def score(self, batch: Batch) -> float:
        """As the trainer computes the old policy's log-probabilities, with its batch size."""
        rows = padded(batch.work, batch.completions, range(len(batch.completions)), self.settings.device)
        began = self.clock.now()
        with torch.no_grad():
            logps, _, _ = self.trainer._get_per_token_logps_and_entropies(
                self.trainer.model,
                rows.input_ids,
                rows.attention_mask,
                rows.completions_RT.shape[1],
                batch_size=rows_at_once(self.settings, [batch.work]),
            )
            logps.tolist()
        return self.clock.now() - began

    def gradient(self, batch: Batch, path: Path) -> None:
        """By a whole step of the trainer, whose generation gives these completions."""
        with captured_gradient(self.trainer.model, path):
            self._asked(0, batch)

    def memory(self) -> Memory:
        """Of this process."""
        optimizer = getattr(self.trainer.optimizer, "optimizer", self.trainer.optimizer)  # accelerate's wrapper
        return Memory(
            baseline=self.baseline,
            peak=peak_bytes(self.settings.device),
            optimizer=optimizer_bytes(optimizer),
            state=str(next(self.trainer.model.parameters()).dtype).removeprefix("torch."),
        )

    def described(self) -> Mapping[str, str | int | float | bool]:
        """The settings that matter for speed."""
        args = self.trainer.args
        return {
            "per_device_train_batch_size": args.per_device_train_batch_size,
            "gradient_accumulation_steps": args.gradient_accumulation_steps,
            "gradient_checkpointing": args.gradient_checkpointing,
            "bf16": args.bf16,
            "weights": self.settings.weights,
            "use_transformers_continuous_batching": args.use_transformers_continuous_batching,
            "loss_type": args.loss_type,
            "optim": str(args.optim.value if hasattr(args.optim, "value") else args.optim),
            "attention": self.trainer.model.config._attn_implementation,
        }

    def _config(self, works: Sequence[Work]) -> GRPOConfig:
        settings, num_rows = self.settings, works[0].num_rows
        batch = rows_at_once(settings, works)
        return GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=len(works),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=num_rows // batch,
            num_generations=works[0].samples,
            max_completion_length=max(work.max_new_tokens for work in works),
            num_iterations=1,
            beta=0.0,
            loss_type="dapo",  # the sum over tokens divided by the tokens of the whole batch: our `token-mean`
            scale_rewards="group",
            temperature=1.0,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=UNCLIPPED if settings.gradient_only else 1.0,
            bf16=settings.dtype == "bfloat16",
            gradient_checkpointing=settings.checkpointing,
            use_transformers_continuous_batching=settings.continuous,
            transformers_continuous_batching_config=memory_of_a_round(works) if settings.device == "cpu" else None,
            model_init_kwargs={"dtype": settings.weights},
            use_cpu=settings.device == "cpu",
            shuffle_dataset=False,
            seed=settings.seed,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )

    def _rewards(self, completions: Sequence[object], **columns: object) -> list[float]:
        assert self.step is not None
        return list(self.step.work.rewards)

    def _train(self) -> None:
        try:
            self.trainer.train()
        except BaseException as error:
            self.answers.put(error)
            raise

    def _asked(self, place: int, batch: Batch | None) -> Timing:
        self.places.put((place, batch))
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def begin(self) -> None:
        """Wait for the next round, then start its clock."""
        place, batch = self.places.get()
        self.step = _Step(work=self.works[place], batch=batch)
        self.step.cpu, self.step.began = self.clock.cpu(), self.clock.now()

    def end(self) -> None:
        """Stop the clock of the round."""
        step, ended = self.step, self.clock.now()
        assert step is not None
        self.answers.put(
            Timing(
                seconds=ended - step.began,
                generate_s=step.generate_s,
                update_s=ended - step.ready,
                generated=step.generated,
                cpu_s=self.clock.cpu() - step.cpu,
            )
        )

    def _watch(self) -> None:
        """Note when the trainer generates and when its samples are ready; force their lengths, or give them."""
        trainer = self.trainer
        generate, prepare = trainer._generate_single_turn, trainer._generate_and_score_completions

        def generated(*args: Any, **kwargs: Any) -> Any:  # Any: TRL is untyped
            step = self.step
            assert step is not None
            began = self.clock.now()
            if step.batch is not None:
                return [list(ids) for ids in step.batch.completions], None
            with self._forced(step.work):
                completions, logprobs = generate(*args, **kwargs)
            step.generate_s += self.clock.now() - began
            step.generated += sum(map(len, completions))
            _check_lengths(step.work, completions)
            return completions, logprobs

        def prepared(*args: Any, **kwargs: Any) -> Any:  # Any: as above
            found = prepare(*args, **kwargs)
            assert self.step is not None
            self.step.ready = self.clock.now()
            return found

        trainer._generate_single_turn, trainer._generate_and_score_completions = generated, prepared

    @contextlib.contextmanager
    def _forced(self, work: Work) -> Iterator[None]:
        model, lengths = self.trainer.model, work.lengths
        if lengths is None:
            yield
        elif self.settings.continuous:
            with continuous_lengths(lengths):
                yield
        else:
            processor = forced_lengths(work, len(work.prompt_ids[0]), eos_ids(model))
            plain = model.generate
            with mock.patch.object(model, "generate", lambda **how: plain(**how, logits_processor=processor)):
                yield


class _Stops(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Lets the trainer wait for its rounds."""

    def __init__(self, side: Trl) -> None:
        self.side = side

    def on_step_begin(self, *args: object, **kwargs: object) -> None:
        self.side.begin()

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        self.side.end()


def _check_lengths(work: Work, completions: Sequence[Sequence[int]]) -> None:
    if work.lengths is not None and tuple(map(len, completions)) != work.lengths:
        raise ValueError("the trainer's completions have other lengths than were asked for; the timing would be of other work")
