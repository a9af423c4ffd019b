"""The process that a model's chat template runs in: it may take a second, little memory, no file, and be killed at any moment."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from sharpen.verifiers.wire import frame, read_frame

__all__ = ["CPU_S", "MAX_RENDERED", "MEMORY", "main"]

CPU_S = 1.0
"""Seconds of processor time that one prompt may take."""

MEMORY = 768 * 2**20
"""Bytes of address space, of which Python and jinja take about a fifth."""

MAX_RENDERED = 1_000_000
"""Characters; a template that writes more is broken or hostile."""


def main() -> NoReturn:
    """Answer `{"template": ..., "values": ...}` by `{"text": ...}` or `{"error": ...}` until the other side is gone."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for the run, which ends us by closing its pipe
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it is doing
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        with suppress(ValueError, OSError):  # a system that has not this limit still has that of time
            resource.setrlimit(kind, (limit, limit))
    _answer(replies, {"ready": True})
    while (asked := read_frame(requests)) is not None:
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            text = _compiled(asked["template"]).render(**asked["values"])
            said = {"text": text} if len(text) <= MAX_RENDERED else {"error": f"it makes {len(text):,} characters"}
        except MemoryError:
            said = {"error": "it needs too much memory"}
        except RecursionError:
            said = {"error": "it calls itself without end"}
        except Exception as error:  # a template is the model's own program
            said = {"error": str(error)[:500] or type(error).__name__}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _answer(replies, said)
    os._exit(0)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, which transformers' templates may mark an assistant's words with; here it says nothing."""

    tags = {"generation"}  # noqa: RUF012  # jinja's own way

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        """What stands between the marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class _Namespace(Namespace):
    """A namespace without names that Python itself would look up."""

    def __setitem__(self, name: str, value: Any) -> None:  # Any: as in jinja
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a template cannot set {name!r}")
        super().__setitem__(name, value)


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    """A template as transformers compiles it (utils/chat_template_utils.py); the tests compare the two."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": lambda *pairs, **names: dict(*pairs, **names),
        "namespace": _Namespace,
    }
    return environment.from_string(template)


def _tojson(value: Any, ensure_ascii: bool = False, **more: Any) -> str:  # Any: JSON, and json.dumps' own settings
    return json.dumps(value, ensure_ascii=ensure_ascii, **more)


def _raise(message: str) -> NoReturn:
    raise jinja2.exceptions.TemplateError(message)


def _answer(descriptor: int, said: dict[str, Any]) -> None:  # Any: plain JSON
    view = memoryview(frame(said))
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:  # the run is gone
        os._exit(0)
