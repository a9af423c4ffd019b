"""Verifiers run bounded: in processes that may hang, crash or be killed without harm to the run."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sharpen.protocols import Verifier
from sharpen.types import Completion, Prompt
from sharpen.verifiers.addresses import address_of
from sharpen.verifiers.choices import choice
from sharpen.verifiers.functions import FunctionVerifier, as_verifier
from sharpen.verifiers.jobs import Job, Limits
from sharpen.verifiers.numbers import number
from sharpen.verifiers.patterns import exact
from sharpen.verifiers.processes import Worker, forked, spawned
from sharpen.verifiers.verdicts import Telling, Verdict, judge

__all__ = ["VerifierPool"]

_TRUSTED = (number, choice, exact)  # linear time, no foreign code: they run in this process
_TIMEOUT_S = 5.0
_LATER_S = 2.0  # a worker ends itself this long after the pool should have killed it


class VerifierPool:
    """A verifier that cannot hurt: it runs in worker processes, and what it does wrong is an abstention with a reason.

    A verdict that takes longer than `timeout_s`, and a process that crashes or exits, cost the one pair that caused it: the
    worker is killed with all that it started, and the others are judged by a new one. A pair is blamed only where it fails as
    the first of a fresh worker, so no verdict depends on its neighbours. Where `max_failures` in a row fail so, the rest of the
    call is not tried.

    The verifiers number, choice and exact run in this process: they are linear in the text. Functions that other processes can
    import run in new interpreters; those of a script or notebook, and lambdas, in forked copies of this process. A process that
    the verifier starts and moves to a session of its own is not caught.

    Args:
        num_workers: processes at most; they are started when they are needed.
        timeout_s: wall-clock seconds for one verdict; None gives a verifier that keeps its own time what it asks for, others 5.
        start_timeout_s: wall-clock seconds for a worker to import the verifier's module with all that stands at its top.
        max_failures: timeouts and crashes in a row after which the rest abstain as `given up`.
        log: file that what the verifier prints is appended to; None discards it.

    >>> from sharpen.types import Completion, user
    >>> answer = Completion(segments=(), text="It is 4.", finish="given", prompt_id="")
    >>> with VerifierPool(number()) as pool:
    ...     pool.verify([(user("2 + 2?", target="4"), answer)])[0].score
    1.0
    """

    def __init__(
        self,
        verifier: Verifier | Callable[..., object],
        *,
        num_workers: int = 2,
        timeout_s: float | None = None,
        start_timeout_s: float = 60.0,
        max_failures: int = 32,
        log: Path | None = None,
    ) -> None:
        self.verifier = as_verifier(verifier)
        if timeout_s is None:
            timeout_s = self.verifier.max_seconds if isinstance(self.verifier, Telling) else _TIMEOUT_S
        self._limits = Limits(
            num_workers=num_workers, timeout_s=timeout_s, start_timeout_s=start_timeout_s, max_failures=max_failures
        )
        self._log = log
        self._workers: list[Worker] = []
        self._abstained: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill the workers; the pool can be used again and starts new ones."""
        while self._workers:
            self._workers.pop().kill()

    @property
    def abstained(self) -> Mapping[str, int]:
        """By reason, how many verdicts were none since the pool was made."""
        return dict(self._abstained)

    def verify(self, pairs: Sequence[tuple[Prompt, Completion]]) -> list[Verdict]:
        """One verdict per pair, in order.

        Raises:
            VerifierError: a worker cannot be started: the verifier's module fails, or was edited meanwhile.
            TypeError: a prompt's tag is not a plain value.
        """
        if isinstance(self.verifier, _TRUSTED):
            verdicts = [judge(self.verifier, prompt, completion) for prompt, completion in pairs]
        else:
            try:
                job = Job(pairs, self._limits, name=repr(self.verifier), workers=self._workers, start=self._start)
                verdicts = job.run()
            except BaseException:  # Ctrl-C among them: replies on their way belong to no later call
                self.close()
                raise
        self._abstained.update(verdict.reason for verdict in verdicts if verdict.reason is not None)
        return verdicts

    def _start(self) -> Worker:
        described = _described(self.verifier)
        limit_s = self._limits.timeout_s + _LATER_S
        log = os.open(self._log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if described is None:
                return forked(self.verifier, log, limit_s=limit_s)
            return spawned({"verifier": described, "limit_s": limit_s}, log)
        finally:
            os.close(log)


def _described(verifier: Verifier) -> Mapping[str, Any] | None:  # Any: plain JSON
    """The verifier as plain values that another process builds it from, or None where no other process could."""
    if isinstance(verifier, FunctionVerifier):
        found = _instance(verifier.function) if verifier.address is None else {"address": vars(verifier.address)}
        shape = {"name": verifier.name, "columns": verifier.columns, "form": verifier.form}
        return None if found is None else found | shape
    return _instance(verifier)


def _instance(value: object) -> dict[str, Any] | None:  # Any: plain JSON
    """An instance of a dataclass with plain fields, by class and values."""
    address = address_of(type(value))
    if address is None or not dataclasses.is_dataclass(value) or isinstance(value, type):
        return None
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not all(field.init for field in dataclasses.fields(value)) or not all(map(_plain, fields.values())):
        return None
    return {"address": vars(address), "fields": fields}


def _plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_plain(item) and not isinstance(item, tuple) for item in value)
    return value is None or type(value) in (str, int, float, bool)
