"""Direct preference optimisation, with soft labels, margins and weights.

R = 2B rows (chosen, rejected, chosen, ...), T tokens of the longest row, B pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from torch.nn.functional import logsigmoid

from sharpen.objectives.sums import checked_weight, pair, sum_rows, trained_weight
from sharpen.protocols import Columns
from sharpen.types import Preference

__all__ = ["DPO"]


@dataclass(frozen=True)
class DPO:
    """Mean over pairs of the logistic loss of how much more the policy came to prefer chosen to rejected.

    L = weight * [p * l(z) + (1 - p) * l(-z)], with l(z) = softplus(-z) = -log sigmoid(z) and z = beta * h - margin.
    h = (log pi(chosen) - log ref(chosen)) - (log pi(rejected) - log ref(rejected)), log-probabilities *summed* over the
    trained tokens; p, margin and weight are the pair's own and are never merged. p = 1 is plain DPO (Rafailov et al. 2023,
    arXiv 2305.18290, equation 7); 1 - p is the label smoothing of conservative DPO (Mitchell 2023); p = rank consistency is
    CREAM (Wang et al. 2024, arXiv 2410.12735). The weight scales a pair's loss and not the number of pairs that it is
    divided by. A pair without a trained token on either side is not counted.

    >>> DPO(0.1)
    DPO(beta=0.1, reference='incumbent')

    Attributes:
        beta: how strongly the policy is held to the reference; positive.
        reference: the role whose log-probabilities are `ref`.
    """

    beta: float = 0.1  # beta of the source, appendix B (0.5 for TL;DR)
    _: KW_ONLY
    reference: str = "incumbent"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(f"DPO(beta={self.beta}); beta is a positive number, 0.1 for a start")

    @property
    def columns(self) -> tuple[str, ...]:
        """The reference role."""
        return (self.reference,)

    @property
    def at_sampling_temperature(self) -> bool:
        """Preferences are compared at temperature 1."""
        return False

    def counts(self, examples: Sequence[Preference], /) -> Mapping[str, float]:
        """Under `dpo` the number of pairs with a trained token.

        Raises:
            ValueError: a weight is negative or not finite, or a margin is not finite.
        """
        for example in examples:
            checked_weight(example.weight, "a preference")
            if not math.isfinite(example.margin):
                raise ValueError(f"a preference has margin {example.margin}; a margin is a finite number, 0 for none")
        tokens = [trained_weight(example.chosen) + trained_weight(example.rejected) for example in examples]
        return {"dpo": float(sum(number > 0 for number in tokens))}

    def teaches(self, example: Preference, /) -> bool:
        """True where the pair has weight, and a token of either side has."""
        return example.weight != 0 and any(any(row.token_weights) for row in example.rows)

    def totals(self, examples: Sequence[Preference], columns: Columns, /) -> Mapping[str, torch.Tensor]:
        """Under `dpo` the sum of the pairs' losses."""
        chosen_B, rejected_B = self._changes(columns)
        margin_B = chosen_B.new_tensor([example.margin for example in examples])
        p_B = chosen_B.new_tensor([example.p_chosen for example in examples])
        weight_B = chosen_B.new_tensor([example.weight for example in examples])
        z_B = self.beta * (chosen_B - rejected_B) - margin_B
        loss_B = -weight_B * (p_B * logsigmoid(z_B) + (1 - p_B) * logsigmoid(-z_B))
        return {"dpo": torch.where(_counted(columns), loss_B, 0.0).sum()}

    def metrics(self, examples: Sequence[Preference], columns: Columns, /) -> Mapping[str, tuple[float, float]]:
        """Means over the counted pairs, blind to p and margin, and to weight but for pairs of weight 0, which do not run.

        `reward_accuracy` is the share whose chosen side gained more than its rejected one (a tie is half);
        `reward_margin` is beta * h; `chosen_change` and `rejected_change` are nats gained on the reference by each side, and
        `displaced` the share whose chosen side lost likelihood: both falling is displacement (arXiv 2410.08847).
        """
        counted_B = _counted(columns)
        chosen_B, rejected_B = (change_B.detach() for change_B in self._changes(columns))
        values = {
            "reward_accuracy": (1 + torch.sign(chosen_B - rejected_B)) / 2,
            "reward_margin": self.beta * (chosen_B - rejected_B),
            "chosen_change": chosen_B,
            "rejected_change": rejected_B,
            "displaced": (chosen_B < 0).float(),
        }
        return {name: pair(value_B[counted_B], counted_B.sum()) for name, value_B in values.items()}

    def _changes(self, columns: Columns) -> tuple[torch.Tensor, torch.Tensor]:
        # Token by token before the sum: sums of thousands of nats would cancel badly in float32.
        change_R = sum_rows(columns.logps - columns.scored[self.reference], columns.weights)
        return change_R[0::2], change_R[1::2]


def _counted(columns: Columns) -> torch.Tensor:
    tokens_R = columns.weights.sum(-1)
    return tokens_R[0::2] + tokens_R[1::2] > 0
