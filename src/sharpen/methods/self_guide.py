"""SELF-GUIDE: a model writes inputs of one task after three examples, labels them itself, and is trained on what its samples agree on."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, chain, recipe
from sharpen.prompts.more_inputs import more_inputs
from sharpen.sample.demonstrated import demonstrated_completions
from sharpen.select.agreed import agreed_answers, equal_labels

__all__ = ["CARD", "self_guide"]

CARD = Card(
    title="Task-specific instruction following via self-synthetic fine-tuning (SELF-GUIDE)",
    paper="Zhao et al., 2024",
    arxiv="2407.12874",
    claim="A model trained on its own inputs and outputs for a task, made from about three examples, beats prompting with them.",
    trains_on="demonstrations",
    needs=("targets",),
    feedback=("votes", "labels"),
    departs=(
        "trained without the examples in the prompt, as held-out prompts are asked without them; the source keeps them in both",
        "thresholds and temperatures are the script's, and are not searched on validation data; no best epoch is chosen",
        "an output names a label where it contains exactly one; the source takes the first that it contains",
        "an input is the whole prompt, so no instruction is shown beside them; all requests are in our words",
        "cut outputs have no vote; half of the boilerplate phrases are ours, and outputs are not searched for them",
        "a label that no output names does not count when labels are made equal; in the source it leaves nothing",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_guide.py::test_what_most_samples_say_is_kept_and_labels_are_made_equal",
)


def self_guide(
    *,
    num_passes: int = 40,  # generation_epochs 40, the authors' script
    num_demonstrations: int = 3,
    num_samples: int = 10,  # n = 10, the authors' script
    min_share: float = 0.3,
    max_sigmas: float | None = 2.0,  # mean and two standard deviations, the source
    learning_rate: float = 2e-5,
    epochs: int = 3,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Inputs written ten at a time, and of each the answer that `min_share` of its samples give.

    Args:
        num_passes: how often ten inputs are asked for, each time after some of those before.
        num_demonstrations: worked examples: the task's own, or train prompts with their targets.
        num_samples: outputs of each input, drawn after the examples.
        min_share: share of them that must agree.
        max_sigmas: deviations of an input's or an output's length from the examples' mean; None takes any length.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="self_guide",
        prompts=more_inputs(num_passes, num_demonstrations=num_demonstrations, max_sigmas=max_sigmas),
        sample=demonstrated_completions(num_samples, num_demonstrations, temperature=0.2, top_k=10),  # 0.2 and 10, the script
        select=chain(
            agreed_answers(min_share, num_demonstrations=num_demonstrations, max_sigmas=max_sigmas),
            equal_labels(),
        ),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        rounds=1,
    )
