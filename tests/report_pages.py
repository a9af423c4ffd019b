"""Reading a report as a strict parser does, and hostile text to put into it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sharpen.ledger.codec import from_plain, to_plain
from sharpen.types import Prompt

PAYLOADS = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=2</script>",
    "</style><script>window.pwned=3</script>",
    "</title></head><body onload=window.pwned=4>",
    "<img src=x onerror=window.pwned=5>",
    "<svg/onload=window.pwned=6>",
    "<svg><script>window.pwned=7</script></svg>",
    '"><img src=x onerror="window.pwned=8">',
    "'><img src=x onerror='window.pwned=9'>",
    '" autofocus onfocus="window.pwned=10" x="',
    "' onmouseover='window.pwned=11",
    "javascript:window.pwned=12",
    "<a href=javascript:window.pwned=13>x</a>",
    "<iframe srcdoc='<script>parent.pwned=14</script>'></iframe>",
    "<object data='data:text/html,<script>window.pwned=15</script>'></object>",
    "<meta http-equiv=refresh content='0;url=https://evil.invalid/16'>",
    "<link rel=stylesheet href=https://evil.invalid/17.css>",
    "<base href=https://evil.invalid/18/>",
    "<form action=https://evil.invalid/19><button autofocus>",
    "<style>@import 'https://evil.invalid/20';*{display:none}</style>",
    "<math><mtext></p><img src=x onerror=window.pwned=21></mtext></math>",
    "{{ 7 * 7 }}{% for x in () %}{{ cycler.__init__.__globals__ }}",
    "${window.pwned=23}`-alert(1)-`",
    "&lt;script&gt;window.pwned=24&lt;/script&gt;&#60;b&#62;",
    "<!--><script>window.pwned=25</script>-->",
    "]]><script>window.pwned=26</script>",
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=27>'>",
    "\u202eevil\u2066\u200b\ufeff\x00\x1b[31m\x08",
    "</div></section></main></body></html>",
    "| a | b |\n|---|---|\n```\n# heading\n![x](https://evil.invalid/30)",
)
"""Text that would run, load or hide something wherever it is taken for markup."""

_WORDS = frozenset(
    ["user", "assistant", "system", "raw", "stop", "length", "partial", "given", "policy", "injected", "environment", "headline",
     "control", "base", "gate", "final", "train", "dev", "sampling", "reward", "none", "accuracy"]
)  # fmt: skip
_ID = re.compile(r"[0-9a-f]{32,64}|\w+\.\w+:\w+|sharpen\.[\w.]+:\w+")
_OPEN = ("scores", "signals", "tags", "source", "dropped", "settings", "provenance", "versions", "machine", "runtime", "monitors",
         "metrics", "numbers", "cost")  # fmt: skip
"""Mappings whose names come from outside too."""


@dataclass(frozen=True)
class ReadPage:
    """A report's text and its element tree, namespaces left out."""

    html: str
    tree: ET.Element

    def one(self, name: str) -> ET.Element:
        """The element of that id."""
        (found,) = (element for element in self.tree.iter() if element.get("id") == name)
        return found

    def classed(self, name: str, within: ET.Element | None = None) -> list[ET.Element]:
        """Elements that have a class."""
        root = self.tree if within is None else within
        return [element for element in root.iter() if name in (element.get("class") or "").split()]


def read_page(html: str) -> ReadPage:
    """Parse a report as XML: every element closed, every attribute quoted, every special character escaped.

    Raises:
        ParseError: it is not well-formed.
    """
    bare = re.sub(r"<(script|style)>.*?</\1>", r"<\1></\1>", html.lstrip().removeprefix("<!DOCTYPE html>"), flags=re.DOTALL)
    tree = ET.fromstring(bare)
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return ReadPage(html, tree)


def words(element: ET.Element) -> str:
    """An element's text as a reader sees it: white space evened out."""
    return " ".join("".join(element.itertext()).split())


def poisoned_text(text: str) -> str:
    """The text with hostile text before it, the same one each time; words of our own vocabulary and ids are left."""
    if text in _WORDS or _ID.fullmatch(text) or not text:
        return text
    return f"{PAYLOADS[zlib.crc32(text.encode('utf-8', 'surrogatepass')) % len(PAYLOADS)]} {text}"


def poisoned(plain: Any, ids: Mapping[str, str], name: str = "") -> Any:  # Any: JSON
    """JSON with every text in it poisoned, hostile names added where names come from outside, and prompt ids renamed."""
    match plain:
        case str():
            return ids.get(plain, plain) if name in ("prompt_id", "prompt_ids", "group") else poisoned_text(plain)
        case list() | tuple():
            return [poisoned(one, ids, name) for one in plain]
        case dict():
            kept = ("@", "kind", "slot", "split", "call", "role", "finish", "run", "checkpoint")
            found = {key: value if key in kept else poisoned(value, ids, key) for key, value in plain.items()}
            if name in _OPEN and plain.keys() - {"@"}:
                like = next(value for key, value in found.items() if key != "@")
                found |= dict.fromkeys(PAYLOADS[:: len(_OPEN)], like)
            return found
    return plain


def poisoned_value(value: Any, ids: Mapping[str, str]) -> Any:  # Any: a frozen value
    """A frozen value with every text in it poisoned."""
    return from_plain(poisoned(to_plain(value), ids))


def poisoned_ids(prompts: Mapping[str, Prompt]) -> Mapping[str, str]:
    """The ids that prompts have once they are poisoned."""
    return {name: poisoned_value(prompt, {}).id for name, prompt in prompts.items()}
