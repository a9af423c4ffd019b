"""YAML of names and plain values, read strictly, as YAML 1.2 means it: values, never code, and no surprises."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["read_yaml", "written_yaml"]

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)


class _Strict(yaml.SafeLoader):
    """Plain values alone: no tags, no aliases, no merge keys, no key twice.

    `no`, `on` and `yes` are texts, as is what only YAML 1.1 takes for a number (1:30, 0777, 1_000) or a date; 1e-5 is a number.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # Any: as in PyYAML
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # Any: PyYAML's stubs leave it untyped
        mark, tag = event.start_mark, getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not read; write the value out", mark)
        if tag is not None:
            raise yaml.composer.ComposerError(None, None, f"the tag {str(tag)[:60]!r} is not read; write a plain value", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # Any: as above
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name is a text, not a list", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice; keep one", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Strict.yaml_implicit_resolvers = {}
for _tag, _rule, _first in (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Strict.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _rule, _first)


def read_yaml(text: str) -> object:
    """The value of a YAML text.

    >>> read_yaml("[1, 2.5, 1e-5, true, null, text, no, 1:30, 007]")
    [1, 2.5, 1e-05, True, None, 'text', 'no', '1:30', '007']

    Raises:
        ValueError: it is no YAML, names a key twice, or uses an alias or a tag, or is nested too deep.
    """
    try:
        return yaml.load(text, Loader=_Strict)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem or error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deep; flatten it") from error


def written_yaml(value: object) -> str:
    """A plain value on one line, so that `read_yaml` gives it back.

    >>> written_yaml([1, "a b"]), written_yaml("2"), written_yaml("abc"), written_yaml("...")
    ('[1, "a b"]', '"2"', 'abc', '"..."')
    """
    if isinstance(value, str) and re.fullmatch(r"[\w./+*-]+", value) and _reads_as_itself(value):
        return value
    return json.dumps(value)


def _reads_as_itself(text: str) -> bool:
    try:
        return read_yaml(text) == text
    except ValueError:  # "..." and "---" are marks of YAML's own
        return False
