"""What a classifier is made from, and its record in the run directory: a folder begun with something else is not gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sharpen.classify.corpus import Corpus
from sharpen.digest import digest
from sharpen.errors import DataError
from sharpen.models import ResolvedModel
from sharpen.report.document import written

__all__ = ["Basis", "Method", "begin"]

Method = Literal["hast", "pseudo_label"]

_RECORD = "basis.json"


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a classifier is made from.

    Attributes:
        encoder: a sentence encoder.
        meanings: by label, what it means in a sentence; a label without one is its own.
        level: chance, over all looks, that something no better than before is kept.
    """

    corpus: Corpus
    encoder: ResolvedModel
    meanings: Mapping[str, str] = field(default_factory=dict)
    method: Method = "hast"
    level: float = 0.05
    seed: int = 0

    @property
    def facts(self) -> Mapping[str, str]:
        """By what each is called, what identifies it."""
        corpus = self.corpus
        return {
            "labels": digest(corpus.labels),
            "meanings": digest(dict(self.meanings)),
            "encoder": self.encoder.digest,
            "texts": digest(sorted(prompt.id for prompt in corpus.texts)),
            "labelled texts": digest(sorted((prompt.id, prompt.target) for prompt in (*corpus.taught, *corpus.held_back))),
            "labels held back": digest(sorted(prompt.id for prompt in corpus.held_back)),
            "method": self.method,
            "level": str(self.level),
            "seed": str(self.seed),
        }

    @property
    def key(self) -> str:
        """Hash of all of it."""
        return digest("classify", dict(self.facts))


def begin(basis: Basis, out: Path) -> None:
    """Record the basis in the run directory, unless it is there.

    Labels that are added move others from training to measuring and back, and each look at them counts; so a folder keeps its basis.

    Raises:
        DataError: the folder holds a classifier that was begun otherwise.
    """
    record = out / _RECORD
    if not record.is_file():
        written(json.dumps(dict(basis.facts), indent=1) + "\n", record)
        return
    try:
        held = json.loads(record.read_text("utf-8"))
        other = [name for name, value in basis.facts.items() if held[name] != value]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record} cannot be read ({error}); give another --out") from error
    if other:
        raise DataError(f"{out} holds a classifier that was begun with other {', '.join(other)}; give another --out")
