"""Where a run's model came from, as its settings recorded it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Origin", "origin"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of a model.

    Attributes:
        spec: what the user wrote, or None where the model was given in memory.
        provenance: everything that its source told.
        rest: what else was recorded of it (a digest of its files).
        num_parameters: None where not recorded.
    """

    spec: str | None
    provenance: Mapping[str, str] = field(default_factory=dict)
    rest: Mapping[str, str] = field(default_factory=dict)
    num_parameters: int | None = None

    @property
    def base_model(self) -> str | None:
        """Hub id of the published model that it was made from."""
        return self.provenance.get("base_model")

    @property
    def licence(self) -> str | None:
        """Its licence, or None where unknown."""
        return self.provenance.get("licence")

    @property
    def name(self) -> str:
        """What to call it."""
        return self.base_model or self.spec or "a model given in memory"

    @property
    def size(self) -> str | None:
        """Its parameters as people say them.

        >>> Origin(spec=None, num_parameters=134_515_008).size
        '135M'
        """
        if self.num_parameters is None:
            return None
        for unit, factor in (("B", 10**9), ("M", 10**6)):
            if self.num_parameters >= factor:
                return f"{self.num_parameters / factor:.3g}{unit}"
        return f"{self.num_parameters:,}"

    @property
    def quantised(self) -> str | None:
        """The format that its weights were dequantised from, or None.

        >>> Origin(spec="m.gguf", provenance={"made": "dequantised from Q4_1 GGUF to float32"}).quantised
        'Q4_1 (4 bits a weight)'
        """
        found = re.search(r"dequantised from (\S+)", self.provenance.get("made", ""))
        if found is None:
            return None
        bits = re.match(r"I?Q(\d)", found[1])
        return f"{found[1]} ({bits[1]} bits a weight)" if bits else found[1]


def origin(facts: Mapping[str, Any]) -> Origin:  # Any: JSON
    """What a run's facts say of its model."""
    recorded = facts["settings"].get("model")
    if not isinstance(recorded, Mapping):
        return Origin(spec=None if recorded is None else str(recorded), num_parameters=facts.get("parameters"))
    spec = recorded.get("spec")
    return Origin(
        spec=None if spec is None else str(spec),
        provenance={str(key): str(value) for key, value in (recorded.get("provenance") or {}).items()},
        rest={str(key): str(value) for key, value in recorded.items() if key not in ("spec", "provenance")},
        num_parameters=facts.get("parameters"),
    )
