"""What can go wrong, by whose fault.

`ValueError` and `TypeError` are the caller's mistakes; `assert` is for ours; a `SharpenError` is the world's:

- `SharpenError`
  - `DataError`: a file, row or prompt cannot be used as it is
  - `ModelError`: a model cannot be found, read or used for what the recipe needs
  - `VerifierError`: a verifier is broken, or abstains too often to be believed
    - `SandboxError`: this machine offers no sandbox for programs that a model wrote
  - `LedgerError`: a run directory cannot be trusted, read or written
    - `RunBusyError`: another process holds the run directory
    - `DamagedError`: a stored file does not match its checksum
  - `DivergedError`: training stopped making numbers; the round is rolled back
  - `MismatchError`: sampler and trainer disagree about the same tokens under the same weights
  - `CapacityError`: memory or disk is too small for what was asked
  - `SpentError`: the cap on what served models may cost, or how long they may be asked, is reached
"""

from __future__ import annotations

__all__ = [
    "CapacityError",
    "DamagedError",
    "DataError",
    "DivergedError",
    "LedgerError",
    "MismatchError",
    "ModelError",
    "RunBusyError",
    "SandboxError",
    "SharpenError",
    "SpentError",
    "VerifierError",
]


class SharpenError(Exception):
    """The world is not as the run needs it; the message says what, where and what to do."""


class DataError(SharpenError):
    """A file, row or prompt cannot be used as it is."""


class ModelError(SharpenError):
    """A model cannot be found, read, or used for what the recipe needs."""


class VerifierError(SharpenError):
    """A verifier is broken, or abstains too often to be believed."""


class SandboxError(VerifierError):
    """No sandbox for programs that a model wrote can be had on this machine; the message names the cause and the remedy."""


class LedgerError(SharpenError):
    """A run directory cannot be trusted, read or written."""


class RunBusyError(LedgerError):
    """Another process holds the run directory."""


class DamagedError(LedgerError):
    """A stored file does not match the checksum in the ledger."""


class CapacityError(SharpenError):
    """Memory or disk is too small for what was asked."""


class SpentError(SharpenError):
    """The cap on what served models may cost, or on the hours of asking them, leaves no room; everything answered is on file."""


class DivergedError(SharpenError):
    """The loss or the gradient stopped being a number; the weights are worthless and the round is rolled back."""


class MismatchError(SharpenError):
    """Sampler and trainer disagree about the same tokens under the same weights, so that every ratio would be wrong."""
