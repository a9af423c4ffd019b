"""Every setting as a flag: the signature of a command is made from `Settings`, so that flags and files cannot drift apart."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from sharpen.cli.files import read_file
from sharpen.cli.settings import GROUPS, MAPPINGS, RENAMINGS, Settings, kinds
from sharpen.cli.values import metavar
from sharpen.errors import SharpenError
from sharpen.strict_yaml import read_yaml

__all__ = ["METHOD_FLAGS", "SettingsCommand", "given_settings", "with_settings"]


METHOD_FLAGS = {"ignore_unknown_options": True}
"""Context settings of a command that leaves flags it does not know, the method's own, among its words."""


class SettingsCommand(TyperCommand):
    """A command whose `--task-args a=1 b=2` takes every name=value that follows, and whose help is grouped."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer's own context, which it does not export
        """Parse the words, each list spelled out as the flag repeated."""
        ctx.meta["sharpen.word"] = args[0] if args and not args[0].startswith("-") else None
        spelled = _spelled_out(args)
        single = [
            one for one in self.get_params(ctx) if one.param_type_name == "option" and not getattr(one, "multiple", False)
        ]
        once = {flag: one.name for one in single for flag in (*one.opts, *one.secondary_opts)}
        given = [once[flag] for flag in (word.partition("=")[0] for word in spelled) if flag in once]
        _refuse_twice([f"--{name.replace('_', '-')}" for name, number in Counter(given).items() if name and number > 1])
        return super().parse_args(ctx, spelled)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # Any: as above
        """Arguments, then the flags of each group of settings, then the others; a named method's own parameters first."""
        records = {one.name: one.get_help_record(ctx) for one in self.get_params(ctx)}
        shown = {name: record for name, record in records.items() if record is not None}
        groups = {one.name: one.metadata["group"] for one in dataclasses.fields(Settings) if one.metadata}
        word = ctx.meta.get("sharpen.word")
        own = _own_flags(word) if word and "words" in records else []
        for title, rows in (
            (f"Parameters of {word}", own),
            *((f"{group}", [shown[name] for name in shown if groups.get(name) == group]) for group in GROUPS),
            ("Other", [shown[name] for name in shown if name not in groups and name != "words"]),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def with_settings(*groups: str, only: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `(words, settings, ...)` a flag for each setting of these groups (or `only` these), collected in `settings`.

    The command's other parameters, keyword-only, stay flags as they are.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [one for name, one in signature.parameters.items() if name != "settings"]
        facts = {one.name: one for one in dataclasses.fields(Settings) if one.metadata}
        names = [name for group in groups for name, one in facts.items() if one.metadata["group"] == group]
        names += [name for name in only if name not in names]
        flags = [_flag(name, kinds()[name], facts[name].metadata) for name in names]

        def called(**given: Any) -> None:  # Any: whatever typer parsed
            command(settings={name: given.pop(name) for name in names}, **given)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]  # what typer reads
        called.__annotations__ = {one.name: one.annotation for one in [*own, *flags]}
        return called

    return decorate


def given_settings(words: Sequence[str], flags: Mapping[str, Any]) -> dict[str, object]:  # Any: as parsed
    """Names and values as given: of a settings file, over it `key=value` words and flags, and the method's own flags.

    `words` are what typer left: the method or settings file first, then flags that are no settings, and `key=value`.

    Raises:
        ValueError: a word is none of these, or a name is given twice.
        DataError: the settings file cannot be read.
    """
    first, rest = _first(words)
    found: dict[str, object] = {}
    if first is not None and first.endswith((".yaml", ".yml")):
        found |= read_file(Path(first))
    elif first is not None:
        found["method"] = first
    over: dict[str, object] = {}
    for name, value in [*_flags(flags), *_words(rest)]:
        head, dot, key = name.partition(".")
        if head in MAPPINGS:
            pairs = {key: value} if dot else value
            assert isinstance(pairs, Mapping)
            before = over.setdefault(head, {})
            assert isinstance(before, dict)
            _refuse_twice([f"{head}.{one}" for one in pairs if one in before])
            before |= pairs
        else:
            _refuse_twice([name] if name in over else [])
            over[name] = value
    for name, value in over.items():
        held = found.get(name)
        found[name] = {**held, **value} if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return found


def _own_flags(word: str) -> list[tuple[str, str]]:
    """The help of a method's own parameters; none where there is no such method."""
    from sharpen.cli.recipes import own_parameters

    try:
        parameters = own_parameters(word)
    except (ValueError, SharpenError):
        return []
    return [
        (f"--{name.replace('_', '-')} {metavar(one.annotation)}", "" if one.default is None else f"[{one.default}]")
        for name, one in parameters.items()
    ]


def _first(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    if not words or words[0].startswith("-") or "=" in words[0]:
        return None, words
    return words[0], words[1:]


def _flag(name: str, annotation: Any, facts: Mapping[str, Any]) -> inspect.Parameter:  # Any: annotations, dataclass metadata
    flag = f"--{name.replace('_', '-')}"
    panel = facts["group"]
    assert panel in GROUPS
    if name in MAPPINGS:
        option = typer.Option(flag, help=facts["help"], rich_help_panel=panel, metavar="NAME=VALUE...")
        kind: Any = Annotated[list[str] | None, option]
    elif annotation is bool:
        kind = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=facts["help"], rich_help_panel=panel)]
    else:
        shown = metavar(annotation)
        default = vars(Settings())[name]
        told = f"{facts['help']} [{default}]" if default is not None else facts["help"]
        kind = Annotated[str | None, typer.Option(flag, help=told, rich_help_panel=panel, metavar=shown)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _flags(flags: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    for name, value in flags.items():
        if name in MAPPINGS:
            for word in value or ():
                key, equals, text = word.partition("=")
                if not equals or not key:
                    raise ValueError(f"--{name.replace('_', '-')} {word!r} is no name=value")
                yield f"{name}.{key}", text if name in RENAMINGS else _plain(f"{name}.{key}", text)
        elif value is not None:
            yield name, value


def _words(words: Sequence[str]) -> Iterable[tuple[str, object]]:
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("--") and len(word) > 2:
            name, equals, text = word[2:].partition("=")
            name = name.replace("-", "_")
            if equals:
                yield name, text
            elif waiting and not waiting[0].startswith("--") and not _is_pair(waiting[0]):
                yield name, waiting.pop(0)
            elif name.startswith("no_"):
                yield name[3:], False
            else:
                yield name, True
        elif _is_pair(word):
            name, _, text = word.partition("=")
            name = name.replace("-", "_")
            head, _, key = name.partition(".")
            yield name, _plain(name, text) if key and head not in RENAMINGS else text
        else:
            raise ValueError(f"{word!r} is neither a flag nor key=value; put a text with spaces in quotes")


def _is_pair(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.replace("-", "_").replace(".", "_").isidentifier()


def _plain(name: str, text: str) -> object:
    try:
        return read_yaml(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, which cannot be read: {error}") from error


def _refuse_twice(names: Sequence[str]) -> None:
    if names:
        raise ValueError(f"{names[0]} is given twice; keep one")


def _spelled_out(words: Sequence[str]) -> list[str]:
    flags = [f"--{name.replace('_', '-')}" for name in (*MAPPINGS, "tune")]
    found: list[str] = []
    current = None
    for word in words:
        if word in flags:
            current = word
            found.append(word)
        elif current is not None and "=" in word and not word.startswith("-"):
            found += [word] if found[-1] == current else [current, word]
        else:
            current = None
            found.append(word)
    return found
