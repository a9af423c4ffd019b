"""A key that shows itself to nobody: not in a repr, a log, an error or a record."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sharpen.errors import ModelError

__all__ = ["Secret", "secret_of", "unlogged"]

_LOGGERS = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
_TELLING = 6  # characters of a key that give it away


class Secret:
    """A key. Its text is had by calling it, for a header and nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self) -> str:
        """The key itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is not pickled; name its environment variable there")

    def told_in(self, words: str) -> bool:
        """Whether the words repeat the key."""
        return self._text in words

    def hidden_in(self, words: str) -> str:
        """The words, or a note in their place where they repeat a part of the key."""
        pieces = {self._text[start : start + _TELLING] for start in range(max(1, len(self._text) - _TELLING + 1))}
        if any(piece in words for piece in pieces):
            return "the server's words repeat a part of the key, and are not shown"
        return words


@contextmanager
def unlogged(secret: Secret | None) -> Iterator[None]:
    """While it lasts, lines of the libraries' logs that repeat the key are replaced: at some levels they tell what a server sends."""
    hiding = _Hiding(secret) if secret is not None else None
    loggers = [logging.getLogger(name) for name in _LOGGERS] if hiding is not None else []
    for one in loggers:
        one.addFilter(hiding)  # type: ignore[arg-type]  # without a filter there are no loggers
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(hiding)  # type: ignore[arg-type]  # as above


class _Hiding(logging.Filter):
    def __init__(self, secret: Secret) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, its text replaced where that repeats the key."""
        if self._secret.told_in(record.getMessage()):
            record.msg, record.args = "(this line repeats the key, and is not shown)", ()
        return True


def secret_of(variable: str) -> Secret:
    """The key in an environment variable.

    Raises:
        ModelError: it is not set, or holds what cannot be sent in a header.
    """
    text = os.environ.get(variable, "")
    if not text:
        raise ModelError(f"the environment variable {variable} is not set; it should hold the key of the served model")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ModelError(f"the environment variable {variable} holds spaces or control characters, so it is no key")
    return Secret(text)
