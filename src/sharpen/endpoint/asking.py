"""Requests of one call, several under way at a time: paid for in advance, asked again where it helps, each with one end on file."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpen.endpoint.account import Account, Answer
from sharpen.endpoint.address import Place, place_of
from sharpen.endpoint.pace import Pace, back_off
from sharpen.endpoint.secret import Secret, secret_of, unlogged
from sharpen.endpoint.served import PICODOLLARS, Served
from sharpen.endpoint.wire import Asked, Kind, Reply, broken, read_reply
from sharpen.errors import ModelError, SpentError

if TYPE_CHECKING:
    import httpx2

__all__ = ["Asking", "Patience"]

_MOST_BODY = 8 * 2**20  # bytes of a reply
_MOST_IN_A_ROW = 50  # failed attempts without one success between, after which nobody seems to be there


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a request is asked again, by what went wrong, and how long it waits.

    Attributes:
        transport, parse, content, truncation: repeats at most; a cut answer is an answer, so by default it is kept.
        first_wait_s: seconds before the first repeat; twice as long for each further one.
    """

    transport: int = 8
    parse: int = 3
    content: int = 2
    truncation: int = 0
    first_wait_s: float = 0.5

    def repeats(self, kind: Kind) -> int:
        """Repeats for that kind of fault at most."""
        return {"transport": self.transport, "parse": self.parse, "content": self.content, "truncation": self.truncation}[kind]


@dataclass(kw_only=True)
class Asking:
    """One call's requests.

    Attributes:
        tell: called with each request and what it came to, once that is on disk.
    """

    served: Served
    account: Account
    patience: Patience
    pace: Pace
    tell: Callable[[Asked, Answer], None]
    _waiting: deque[Asked] = field(default_factory=deque)
    _under_way: int = 0  # attempts with a reservation
    _in_a_row: int = 0
    _error: Exception | None = None
    _commit: asyncio.Future[None] | None = None
    _timed: float = 0.0

    async def run(self, asked: Sequence[Asked]) -> None:
        """Ask them all; what is under way when something forbids to go on is still waited for and kept.

        Raises:
            SpentError: the cap on cost or hours leaves no room.
            ModelError: no request to this server can succeed.
        """
        import httpx2

        self._stopping, self._settled = asyncio.Event(), asyncio.Event()
        self._waiting.extend(asked)
        place, secret = place_of(self.served), secret_of(self.served.key) if self.served.key else None
        if secret is not None and not place.url.startswith("https") and not place.is_local:
            raise ModelError(f"{self.served.name} would get its key over plain http, for everybody between to read; use https")
        headers = {
            "Host": place.host,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        limits = httpx2.Limits(max_connections=self.served.at_once, max_keepalive_connections=self.served.at_once)
        with unlogged(secret):
            async with httpx2.AsyncClient(
                trust_env=False, follow_redirects=False, limits=limits, timeout=self.served.timeout
            ) as client:
                await self._ask_all(client, place, headers, secret, len(asked))
        if self._error is not None:
            raise self._error

    async def _ask_all(
        self, client: httpx2.AsyncClient, place: Place, headers: Mapping[str, str], secret: Secret | None, number: int
    ) -> None:
        """Have workers ask whatever waits, as many as there is work for, and see them all end."""
        self._timed = time.monotonic()
        workers = [
            asyncio.create_task(self._work(client, place, headers, secret)) for _ in range(min(self.served.at_once, number))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._take_time()
            self.account.commit()

    def _stop(self, error: Exception) -> None:
        self._error = self._error or error
        self._stopping.set()

    async def _work(self, client: httpx2.AsyncClient, place: Place, headers: Mapping[str, str], secret: Secret | None) -> None:
        while self._waiting and not self._stopping.is_set():
            one = self._waiting.popleft()
            draw, faults = random.Random(one.key), Counter[Kind]()
            answer: Answer | None = None
            while answer is None and not self._stopping.is_set():
                attempt = await self._turn(one)
                if attempt is None:
                    break
                reply = broken("stopped before its end", "unknown")
                try:
                    reply = await self._send(client, place, headers, secret, one)
                finally:
                    self._settle(attempt, one, reply, secret)
                answer = self._end(reply, faults, secret)
                if answer is None:
                    await self._rest(back_off(faults.total(), self.patience.first_wait_s, draw))
            if answer is not None:
                self.account.keep(one.key, self.served.id, answer)
                await self._durable()
                self.tell(one, answer)

    async def _turn(self, one: Asked) -> int | None:
        """The number of an attempt whose highest cost is on disk; None where nothing is to be sent any more."""
        most = self.served.cost(one.most_input, one.most_output)
        while not self._stopping.is_set():
            if wait := self.pace.turn(one.most_input + one.most_output):
                await self._rest(wait)
                continue
            if self._hours_left() <= 0:
                self._stop(
                    SpentError(f"{self.account.max_hours:g} hours of asking served models are over ({self._told()}); " + _GO_ON)
                )
                return None
            attempt = self.account.reserve(one.key, self.served.id, most)
            if attempt is not None:
                self._under_way += 1
                await self._durable()
                return attempt
            if not self._under_way:
                self._stop(
                    SpentError(
                        f"the next request to {self.served.name} may cost ${most / PICODOLLARS:.4f}, which the cap of "
                        f"${self.account.max_cost:g} has no room for ({self._told()}); "
                        + _GO_ON.replace("max-hours", "max-cost")
                    )
                )
                return None
            self._settled.clear()
            await self._settled.wait()  # what is under way may cost less than was set aside for it
        return None

    async def _send(
        self, client: httpx2.AsyncClient, place: Place, headers: Mapping[str, str], secret: Secret | None, one: Asked
    ) -> Reply:
        import httpx2

        own = {**headers, "Idempotency-Key": one.key}
        signed = None if secret is None else functools.partial(_signed, secret)
        extensions = {"sni_hostname": place.name} if place.name else {}
        try:
            async with (
                asyncio.timeout(min(self.served.timeout, self._hours_left())),
                client.stream("POST", place.url, content=one.body, headers=own, auth=signed, extensions=extensions) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MOST_BODY:
                        return Reply(kind="parse", reason=f"more than {_MOST_BODY} bytes")
                return _untold(read_reply(response.status_code, response.headers, bytes(body)), secret)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return broken("no connection", "none")
        except (TimeoutError, httpx2.TimeoutException):
            return broken("no end in time", "unknown")
        except httpx2.TransportError:
            return broken("cut off", "unknown")
        except httpx2.HTTPError:
            return broken("not HTTP", "unknown")

    def _settle(self, attempt: int, one: Asked, reply: Reply, secret: Secret | None) -> None:
        self._under_way -= 1
        self._settled.set()
        kind = reply.kind or ("truncation" if reply.cut else "")
        reason = _shown(reply.reason, secret) or ("cut at the limit" if reply.cut else "")
        most = self.served.cost(one.most_input, one.most_output)
        if reply.tokens is not None:
            cost = self.served.cost(*reply.tokens)
            self.account.settle(attempt, "charged", cost, tokens=reply.tokens, kind=kind, reason=reason)
            if cost > most:
                self._stop(
                    ModelError(
                        f"{self.served.name} counts {reply.tokens[0]} tokens read and {reply.tokens[1]} written where {one.most_input} and "
                        f"{one.most_output} were set aside, so no cap would hold; if it is right, add overhead={reply.tokens[0]}"
                    )
                )
        elif reply.text is None and reply.charge == "none":
            self.account.settle(attempt, "free", 0, kind=kind, reason=reason)
        else:
            self.account.settle(attempt, "assumed" if reply.text is not None else "unknown", most, kind=kind, reason=reason)

    def _end(self, reply: Reply, faults: Counter[Kind], secret: Secret | None) -> Answer | None:
        """The answer, or the failure that it stays at; None where it is asked again."""
        read, written = reply.tokens or (None, None)
        if reply.text is not None:
            self._in_a_row = 0
            if reply.cut and faults["truncation"] < self.patience.truncation:
                faults["truncation"] += 1
                return None
            return Answer(text=reply.text, finish="length" if reply.cut else "given", input_tokens=read, output_tokens=written)
        kind = reply.kind or "transport"
        reason = _shown(reply.reason, secret)
        faults[kind] += 1
        if reply.wait:
            self.pace.pause(reply.wait)
        if reply.fatal:
            self._stop(
                ModelError(f"{self.served.name} answers {reason}; check the key's variable, the model's name and the url")
            )
            return None
        self._in_a_row = self._in_a_row + 1 if kind == "transport" else 0
        if self._in_a_row >= max(_MOST_IN_A_ROW, 4 * self.served.at_once):
            self._stop(
                ModelError(
                    f"{self.served.name} gave nothing in {self._in_a_row} attempts in a row, the last: {reason}; is it running? The same "
                    "command goes on where this one stopped"
                )
            )
            return None
        if reply.again and faults[kind] <= self.patience.repeats(kind):
            return None
        return Answer(text=f"{kind}: {reason}", finish="failed", input_tokens=read, output_tokens=written)

    async def _rest(self, seconds: float) -> None:
        """Wait, or until all is to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _durable(self) -> None:
        """Wait until what was written is on disk; those who wait at one time share one commit."""
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._commit_now, self._commit)
        await asyncio.shield(self._commit)

    def _commit_now(self, waited_for: asyncio.Future[None]) -> None:
        self._commit = None
        try:
            self._take_time()
            self.account.commit()
        except Exception as error:  # told to all who wait for it
            waited_for.set_exception(error)
        else:
            waited_for.set_result(None)

    def _take_time(self) -> None:
        now = time.monotonic()
        self.account.took(now - self._timed)
        self._timed = now

    def _hours_left(self) -> float:
        """Seconds."""
        if self.account.max_hours is None:
            return float("inf")
        return self.account.max_hours * 3600 - self.account.seconds - (time.monotonic() - self._timed)

    def _told(self) -> str:
        return f"${self.account.spent / PICODOLLARS:.4f} spent, {len(self._waiting) + 1} requests not answered"


_GO_ON = "the same command with a higher --max-hours goes on, and asks nothing again that is answered"


def _signed(secret: Secret, request: httpx2.Request) -> httpx2.Request:
    """The request with the key, which is in no variable of ours: a report of an error may show these."""
    request.headers["Authorization"] = f"Bearer {secret()}"
    return request


def _untold(reply: Reply, secret: Secret | None) -> Reply:
    """The reply, or a fault in its place where its answer repeats the key: what is answered is filed, shown and trained on."""
    if secret is None or reply.text is None or not secret.told_in(reply.text):
        return reply
    return dataclasses.replace(reply, text=None, kind="content", reason="the answer repeats the key")


def _shown(reason: str, secret: Secret | None) -> str:
    return secret.hidden_in(reason) if secret is not None else reason
