"""Answers that were paid for and what they cost, in a file of their own: written before a request is sent and as soon as one is answered.

A request is sent only after its highest possible cost is on file and within the cap. What became of it then frees what it did not cost.
An attempt of which nobody can say whether the server charged for it (it hung, was cut, or failed within the server) counts in full.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharpen.endpoint.account_file import FAULTS, damage, open_file, seal
from sharpen.endpoint.served import PICODOLLARS
from sharpen.errors import LedgerError

__all__ = ["ACCOUNT", "Account", "Answer", "Outcome", "Spending", "damage_in_account", "spending_in"]

ACCOUNT = "served.sqlite"
"""Name of the file in a run directory."""

Outcome = Literal["charged", "assumed", "unknown", "free"]
"""Of an attempt: `charged` by the server's count; `assumed` charged in full, as an answer came without a count; `unknown`, counted in
full, as nobody can say; `free`, as it was refused or never sent."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request came to.

    Attributes:
        finish: `given`; `length` where it was cut at the limit; `failed`, with the reason as the text.
        input_tokens, output_tokens: as the server counted them; None where it did not.
    """

    text: str
    finish: Literal["given", "length", "failed"]
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What an account holds, over all starts.

    Attributes:
        answered, failed: requests that came to an end.
        attempts: requests sent, repeats included.
        faults: attempts that gave no usable answer, by kind (transport, parse, content, truncation) and reason.
        charged: picodollars by the server's own counts.
        assumed: picodollars at most, where no count or no clear end came.
        seconds: in which requests were under way.
        damaged: answers that did not match their checksums any more and were taken out, to be asked again.
    """

    answered: int
    failed: int
    attempts: int
    faults: Mapping[tuple[str, str], int]
    input_tokens: int
    output_tokens: int
    charged: int
    assumed: int
    seconds: float
    damaged: int = 0

    def as_json(self) -> Mapping[str, object]:
        """The same for programs; money in dollars."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "attempts": self.attempts,
            "faults": [{"kind": kind, "reason": reason, "number": number} for (kind, reason), number in self.faults.items()],
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "charged": self.charged / PICODOLLARS,
            "assumed": self.assumed / PICODOLLARS,
            "seconds": self.seconds,
            "damaged": self.damaged,
        }

    def __str__(self) -> str:
        told = f"{self.answered} answers of served models, {self.failed} failed, {self.attempts} requests sent"
        told += f"; {self.input_tokens:,} tokens read and {self.output_tokens:,} written; ${self.charged / PICODOLLARS:.4f}"
        if self.assumed:
            told += (
                f" by the servers' counts, and at most ${self.assumed / PICODOLLARS:.4f} for requests of which no count came"
            )
        if self.damaged:
            told += f"; {self.damaged} answers were damaged on the disk and are asked again"
        return told


def spending_in(folder: Path) -> Spending | None:
    """What the account in a run directory holds, read while the run may go on; None where it has none.

    Raises:
        LedgerError: the file cannot be read.
    """
    if not (folder / ACCOUNT).is_file():
        return None
    account = Account(folder / ACCOUNT, read_only=True)
    try:
        return account.spending
    finally:
        account.close()


def damage_in_account(folder: Path) -> list[str]:
    """A sentence for each thing in a run directory's account that is not as it was written; none where there is no account.

    A file that cannot be read at all is one such sentence.
    """
    if not (folder / ACCOUNT).is_file():
        return []
    account = Account(folder / ACCOUNT, read_only=True)
    try:
        return [f"{ACCOUNT}: {one}" for one in account.damage()]
    except LedgerError as error:
        return [str(error)]
    finally:
        account.close()


class Account:
    """Answers and spending of all served models of a run, under one cap."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        max_cost: float | None = None,
        max_hours: float | None = None,
        read_only: bool = False,
    ) -> None:
        """Open it when it is first used.

        Args:
            path: of the file; None keeps all in memory, where a stopped program loses it.
            max_cost: dollars that may be spent at most, over all starts; None is no cap.
            max_hours: hours in which requests may be under way, over all starts; None is no cap.
            read_only: look at a file that is there, which another process may be writing.

        Raises:
            ValueError: a cap is not above 0.
        """
        for name, cap in (("max_cost", max_cost), ("max_hours", max_hours)):
            if cap is not None and not 0 < cap < 1e6:
                raise ValueError(f"{name} is {cap}; it is above 0")
        self.path = path
        self.cap = None if max_cost is None else int(max_cost * PICODOLLARS)
        self.max_cost, self.max_hours = max_cost, max_hours
        self._read_only = read_only
        self._opened: sqlite3.Connection | None = None

    @property
    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            with self._told():
                opened = open_file(self.path, read_only=self._read_only)
                try:
                    if not self._read_only:
                        self._end_open_attempts(opened)
                except BaseException:
                    opened.close()
                    raise
            self._opened = opened
        return self._opened

    def _end_open_attempts(self, opened: sqlite3.Connection) -> None:
        """Attempts that were under way when their process stopped count in full, as nobody can say what became of them."""
        opened.execute("BEGIN IMMEDIATE")
        for (attempt,) in opened.execute("SELECT id FROM attempts WHERE outcome = 'open'").fetchall():
            opened.execute(
                "UPDATE attempts SET outcome = 'unknown', kind = 'transport', reason = 'stopped before its end' WHERE id = ?",
                (attempt,),
            )
            seal(opened, "attempts", attempt)
        opened.execute("COMMIT")

    def answers(self, keys: Iterable[str]) -> Iterator[tuple[str, Answer]]:
        """(key, answer) of those requests that are answered on file; failed ones may be asked again."""
        with self._told():
            for key in keys:
                row = self._database.execute("SELECT text, finish, input, output FROM answers WHERE key = ?", (key,)).fetchone()
                if row is not None and row[1] != "failed":
                    yield key, Answer(text=row[0], finish=row[1], input_tokens=row[2], output_tokens=row[3])

    def reserve(self, key: str, endpoint: str, amount: int) -> int | None:
        """The number of an attempt that may cost so many picodollars; None where the cap has no room for it now."""
        with self._told():
            database = self._begun()
            changed = database.execute(
                "UPDATE totals SET spent = spent + ? WHERE spent + ? <= ?",
                (amount, amount, 2**62 if self.cap is None else self.cap),
            ).rowcount
            if not changed:
                return None
            attempt = database.execute(
                "INSERT INTO attempts (key, endpoint, reserved, cost, outcome, at) VALUES (?, ?, ?, ?, 'open', ?)",
                (key, endpoint, amount, amount, time.time()),
            ).lastrowid
            assert attempt is not None
            seal(database, "attempts", attempt)
            seal(database, "totals", 1)
            return attempt

    def settle(
        self, attempt: int, outcome: Outcome, cost: int, *, tokens: tuple[int, int] = (0, 0), kind: str = "", reason: str = ""
    ) -> None:
        """Say what became of an attempt, once; `cost` in picodollars replaces what was reserved."""
        with self._told():
            database = self._begun()
            found = database.execute("SELECT cost, outcome FROM attempts WHERE id = ?", (attempt,)).fetchone()
            assert found is not None
            assert found[1] == "open", f"attempt {attempt} is settled twice"
            database.execute("UPDATE totals SET spent = spent + ?", (cost - found[0],))
            database.execute(
                "UPDATE attempts SET outcome = ?, cost = ?, kind = ?, reason = ?, input = ?, output = ? WHERE id = ?",
                (outcome, cost, kind, reason, *tokens, attempt),
            )
            seal(database, "attempts", attempt)
            seal(database, "totals", 1)

    def keep(self, key: str, endpoint: str, answer: Answer) -> None:
        """Write down what a request came to."""
        with self._told():
            database = self._begun()
            database.execute(
                "INSERT OR REPLACE INTO answers (key, endpoint, text, finish, input, output, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, endpoint, answer.text, answer.finish, answer.input_tokens, answer.output_tokens, time.time()),
            )
            seal(database, "answers", key)

    def took(self, seconds: float) -> None:
        """Add to the time in which requests were under way."""
        with self._told():
            database = self._begun()
            database.execute("UPDATE totals SET seconds = seconds + ?", (seconds,))
            seal(database, "totals", 1)

    def commit(self) -> None:
        """Bring what was written since the last time to the disk, together."""
        with self._told():
            if self._database.in_transaction:
                self._database.execute("COMMIT")

    @property
    def spent(self) -> int:
        """Picodollars spent or reserved."""
        with self._told():
            return int(self._database.execute("SELECT spent FROM totals").fetchone()[0])

    @property
    def seconds(self) -> float:
        """In which requests were under way."""
        with self._told():
            return float(self._database.execute("SELECT seconds FROM totals").fetchone()[0])

    @property
    def spending(self) -> Spending:
        """What it holds now."""
        with self._told():
            database = self._database
            ends = dict(database.execute("SELECT finish = 'failed', count(*) FROM answers GROUP BY 1"))
            faults = database.execute(
                "SELECT kind, reason, count(*) FROM attempts WHERE kind != '' GROUP BY 1, 2 ORDER BY 3 DESC"
            )
            charged, assumed, attempts, read, written = database.execute(
                "SELECT sum(CASE WHEN outcome = 'charged' THEN cost ELSE 0 END), sum(CASE WHEN outcome != 'charged' THEN cost ELSE 0 END), "
                "count(*), sum(input), sum(output) FROM attempts"
            ).fetchone()
            return Spending(
                answered=ends.get(0, 0),
                failed=ends.get(1, 0),
                attempts=attempts,
                faults={(kind, reason): count for kind, reason, count in faults},
                input_tokens=read or 0,
                output_tokens=written or 0,
                charged=charged or 0,
                assumed=assumed or 0,
                seconds=self.seconds,
                damaged=self._damaged(),
            )

    def _damaged(self) -> int:
        columns = {name for _, name, *_ in self._database.execute("PRAGMA table_info(totals)")}
        return int(self._database.execute("SELECT damaged FROM totals").fetchone()[0]) if "damaged" in columns else 0

    def damage(self) -> list[str]:
        """A sentence for each thing in the file that is not as it was written."""
        with self._told():
            return damage(self._database)

    def close(self) -> None:
        """Commit and close the file; it opens again when it is next used."""
        if self._opened is not None:
            self.commit()
            self._opened.close()
            self._opened = None

    def _begun(self) -> sqlite3.Connection:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
        return self._database

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            raise LedgerError(
                f"the account of served models in {self.path or 'memory'} cannot be read or written: {error}; free disk space, or move "
                "the file away (what it says was paid for is then asked again)"
            ) from error
