"""Handing pairs to workers, and finding the pair that hung or killed one."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.errors import VerifierError
from sharpen.types import Completion, Prompt
from sharpen.verifiers.processes import Worker, ended
from sharpen.verifiers.verdicts import Verdict
from sharpen.verifiers.wire import decode_verdict, encode_pair

__all__ = ["Job", "Limits"]

_MAX_CHUNK = 64  # pairs a message
_MAX_CHARACTERS = 1 << 20  # of answers a message, past the first
_LATE_S = 2.0  # a wait that ends so much later than asked says that this process, or the machine, was stopped meanwhile


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a verifier may go. Seconds are wall-clock.

    Attributes:
        num_workers: processes at most.
        timeout_s: for one verdict.
        start_timeout_s: for a worker to import the verifier.
        max_failures: timeouts and crashes in a row after which the rest of a call is not tried.
        max_memory: bytes of one process, beyond what it starts with.
    """

    num_workers: int = 2
    timeout_s: float = 5.0
    start_timeout_s: float = 60.0
    max_failures: int = 32
    max_memory: int = 4 * 2**30

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it is more than 0")


class Job:
    """One call: the pairs, their verdicts so far, and who works on which.

    Args:
        workers: those that run already; the job adds and removes.
        start: starts another.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Prompt, Completion]],
        limits: Limits,
        *,
        name: str,
        workers: list[Worker],
        start: Callable[[], Worker],
    ) -> None:
        self._pairs = pairs
        self._limits = limits
        self._name = name
        self._workers = workers
        self._start = start
        self._verdicts: dict[int, Verdict] = {}
        self._waiting = deque(range(len(pairs)))
        self._suspects: deque[int] = deque()  # failed in a worker that had judged others: to be tried first in a fresh one
        self._num_failures = 0
        self._forgiving_until = 0.0  # monotonic seconds: who was stopped with us may end of it, which is nobody's fault

    def run(self) -> list[Verdict]:
        """All verdicts, in the order of the pairs."""
        while len(self._verdicts) < len(self._pairs):
            if self._num_failures >= self._limits.max_failures:
                self._give_up()
                break
            self._hand_out()
            self._wait()
        return [self._verdicts[number] for number in range(len(self._pairs))]

    def _hand_out(self) -> None:
        for worker in [worker for worker in self._workers if worker.ready and not worker.assigned]:
            if self._suspects and not worker.num_verdicts:
                self._assign(worker, [self._suspects.popleft()])
            elif self._waiting:
                self._assign(worker, self._chunk())
            elif self._suspects:  # only a fresh worker will do
                self._workers.remove(worker)
                worker.kill()
        unstarted = len(self._waiting) + len(self._suspects) - sum(not worker.ready for worker in self._workers)
        for _ in range(min(unstarted, self._limits.num_workers - len(self._workers))):
            worker = self._start()
            worker.deadline = time.monotonic() + self._limits.start_timeout_s
            self._workers.append(worker)

    def _chunk(self) -> list[int]:
        """The next pairs: few enough that all workers stay busy to the end."""
        size = min(_MAX_CHUNK, -(-len(self._waiting) // (2 * self._limits.num_workers)))
        chunk: list[int] = []
        characters = 0
        while len(chunk) < size and (not chunk or characters < _MAX_CHARACTERS):
            chunk.append(self._waiting.popleft())
            characters += len(self._pairs[chunk[-1]][1].text)
        return chunk

    def _assign(self, worker: Worker, chunk: list[int]) -> None:
        worker.assigned.extend(chunk)
        try:
            worker.send([[number, encode_pair(*self._pairs[number])] for number in chunk])
        except TypeError as error:
            first = self._pairs[chunk[0]][0]
            raise TypeError(
                f"a tag of prompt {first.tags.get('id', first.id)!r}, or of one behind it, is not plain: {error}"
            ) from error
        worker.deadline = time.monotonic() + self._limits.timeout_s

    def _wait(self) -> None:
        """Until a worker has something to say or has had its time."""
        busy = [worker for worker in self._workers if worker.assigned or not worker.ready]
        poll = select.poll()
        for worker in busy:
            poll.register(worker.replies, select.POLLIN)
            if worker.writing:
                poll.register(worker.requests, select.POLLOUT)
        until = min(worker.deadline for worker in busy)
        events = {descriptor for descriptor, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}
        if (late_s := time.monotonic() - until) > _LATE_S:
            self._forgiving_until = time.monotonic() + self._limits.timeout_s
            for worker in busy:
                worker.deadline += late_s
        for worker in busy:
            if worker.writing and worker.requests in events:
                worker.flush()
            if worker.replies in events:
                self._read(worker)
            elif time.monotonic() >= worker.deadline and not _readable(worker.replies):
                self._fail(worker, worker.kill(), "timeout", self._waited(worker))

    def _read(self, worker: Worker) -> None:
        try:
            messages = worker.receive()
            for message in messages or ():
                self._take(worker, message)
        except ValueError as error:  # foreign code wrote into our pipe
            self._fail(worker, worker.kill(), "broken reply", str(error))
            return
        if messages is None:
            self._fail(worker, worker.closed(), "crashed", "it closed its pipe")

    def _take(self, worker: Worker, message: object) -> None:
        worker.deadline = time.monotonic() + self._limits.timeout_s
        if not worker.ready:
            if not isinstance(message, dict) or "ready" not in message:
                why = message.get("failed") if isinstance(message, dict) else message
                raise VerifierError(f"verifier {self._name} cannot be started in a process of its own: {why}")
            worker.ready = True
            return
        if not worker.assigned:
            raise ValueError("the worker replied unasked")
        self._verdicts[worker.assigned[0]] = decode_verdict(message, worker.assigned[0])
        worker.assigned.popleft()
        worker.num_verdicts += 1
        self._num_failures = 0

    def _fail(self, worker: Worker, code: int | None, reason: str, detail: str) -> None:
        """Blame the pair that the worker was judging, or set it aside for a fresh worker; the others wait again."""
        self._workers.remove(worker)
        if code is not None:
            reason, detail = ended(code), f"the process of the verifier ended ({ended(code)})"
        if not worker.ready:
            raise VerifierError(f"verifier {self._name} cannot be started in a process of its own: {reason}; {detail}")
        if time.monotonic() < self._forgiving_until:
            self._waiting.extendleft(reversed(worker.assigned))
            return
        blamed, *others = worker.assigned
        self._waiting.extendleft(reversed(others))
        if worker.num_verdicts:
            self._suspects.append(blamed)
            return
        self._verdicts[blamed] = Verdict(score=None, reason=reason, detail=detail)
        self._num_failures += 1

    def _waited(self, worker: Worker) -> str:
        if not worker.ready:
            return f"not imported within {self._limits.start_timeout_s:g} s"
        return f"no verdict within {self._limits.timeout_s:g} s"

    def _give_up(self) -> None:
        for worker in [worker for worker in self._workers if worker.assigned or not worker.ready]:
            self._workers.remove(worker)
            worker.kill()
        detail = f"not tried, after {self._num_failures} timeouts or crashes in a row"
        for number in range(len(self._pairs)):
            self._verdicts.setdefault(number, Verdict(score=None, reason="given up", detail=detail))


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
