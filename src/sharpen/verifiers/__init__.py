"""Verifiers: programs that check answers, the shipped ones and people's own, run bounded and audited."""

from sharpen.verifiers.audit import Audit, Probe, audit_verifier, rejected_targets
from sharpen.verifiers.bounded import VerifierPool
from sharpen.verifiers.choices import choice
from sharpen.verifiers.formulas import formula
from sharpen.verifiers.functions import as_verifier, load_verifier
from sharpen.verifiers.numbers import number
from sharpen.verifiers.patterns import exact, pattern
from sharpen.verifiers.verdicts import Verdict

__all__ = [
    "Audit",
    "Probe",
    "Verdict",
    "VerifierPool",
    "as_verifier",
    "audit_verifier",
    "choice",
    "exact",
    "formula",
    "load_verifier",
    "number",
    "pattern",
    "rejected_targets",
]
