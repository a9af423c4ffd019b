"""The run's memory: what was made, from what, by which code; never believed without its checksum."""

from sharpen.ledger.codec import Contents
from sharpen.ledger.store import Entry, Ledger

__all__ = ["Contents", "Entry", "Ledger"]
