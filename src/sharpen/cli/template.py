"""The chat template that a model brings: named at the start of a run, and shown where it is another than last time."""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path

from sharpen.cli.output import one_line
from sharpen.digest import digest

__all__ = ["template_lines"]

_MOST_LINES = 40
_WIDTH = 90


def template_lines(spec: str, template: str, cache: Path) -> Iterator[str]:
    """What to tell of a model's chat template: its digest, and how it differs from the one that the model had here before.

    The template is kept in the cache under the model's spec, for the next time.

    Args:
        spec: what the user calls the model.
        template: its text.
        cache: folder of our own files.
    """
    yield f"chat template {digest('template', template)[:8]}"
    place = cache / "templates" / f"{digest('model', spec)[:16]}.jinja"
    before = None
    with contextlib.suppress(OSError, UnicodeDecodeError):  # a cache that cannot be used remembers nothing
        before = place.read_text("utf-8") if place.is_file() else None
    if before == template:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(template, "utf-8")
    if before is not None:
        yield f"the chat template of {spec} is another than when it was last used here; what a prompt becomes has changed:"
        changed = difflib.unified_diff(before.splitlines(), template.splitlines(), "before", "now", lineterm="", n=1)
        yield from (f"  {one_line(line, _WIDTH)}" for line in itertools.islice(changed, _MOST_LINES))
