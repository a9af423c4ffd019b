"""Losses as pure maths on per-token columns. Importing this package loads torch."""

from sharpen.objectives.dpo import DPO
from sharpen.objectives.nll import NLL
from sharpen.objectives.policy_gradient import PolicyGradient

__all__ = ["DPO", "NLL", "PolicyGradient"]
