"""LiST: a student begun anew learns a teacher's soft labels, weighed by whether they help on the given ones."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.examples import Demonstration
from sharpen.feedback.meta_weights import meta_weights, option_shares
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, Step, chain
from sharpen.prompts import batch
from sharpen.protocols import Training
from sharpen.sample.options import all_options
from sharpen.select.pseudo_labels import labels_of, unlabelled
from sharpen.select.soft_labels import soft_labels

__all__ = ["CARD", "list_prompted"]

_UNWEIGHTED = 0.6  # share of a round's passes that weigh all texts alike, the authors' script

CARD = Card(
    title="Lite self-training on prompts (LiST)",
    paper="Wang et al., 2021",
    arxiv="2110.06274",
    claim="Self-training on soft labels, weighed by how much they help on a few clean ones, beats prompt-tuning on these alone.",
    trains_on="demonstrations",
    needs=("targets", "options"),
    feedback=("labels", "confidence"),
    departs=(
        "weights are of a virtual step on a linear head over what the student embeds: exact for a linear head, the last layer of another",
        "weights are worked out once a pass from all given labels; the source works them out at each batch, from four",
        "one learning rate and number of epochs for teacher and student, where the source has several",
        "all weights, or LoRA adapters where asked; the source puts bottleneck adapters of its own into a frozen encoder",
        "each pass begins with a fresh optimiser",
        "the gate decides whether a student becomes the teacher; in the source it always does",
    ),
    shelf="faithful",
    oracle="tests/methods/test_list_prompted.py::test_weights_are_the_derivative_of_a_virtual_step",
)


def list_prompted(
    *,
    labels_per_class: int = 10,  # 10, 20 or 30, section 4
    num_prompts: int = 1024,
    num_passes: int = 5,
    learning_rate: float = 1e-4,  # of the adapters, the authors' script
    epochs: int = 50,  # on the labels, the authors' script
    batch_size: int = 16,  # the authors' script
    lora_rank: int | None = None,
) -> Recipe:
    """The labels, as the set-up; then rounds in which the base learns the incumbent's soft labels, and the labels after them.

    Args:
        labels_per_class: train prompts of each class whose targets are read.
        num_prompts: unlabelled prompts a pass at most.
        num_passes: passes a round over such prompts, each of them once; all texts weigh alike in the first three of five.
        learning_rate: peak; a linear head wants 0.03 to 0.1.
        epochs: over the labels.
        batch_size: examples a step, one for each option of a text.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.

    Raises:
        ValueError: num_passes is below 1.
    """
    if num_passes < 1:
        raise ValueError(f"num_passes is {num_passes}, and a student learns in passes; it is at least 1")
    on_labels = decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank)
    teacher = option_shares(role="incumbent")

    def learn(number: int) -> Step[Demonstration]:
        weighted = number >= round(_UNWEIGHTED * num_passes)
        return Step(
            name=f"pass-{number}",
            prompts=chain(unlabelled(labels_per_class), batch(num_prompts, passes_per_round=num_passes, skip=number)),
            sample=all_options(),
            feedback=chain(teacher, meta_weights(labels_per_class, role="student")) if weighted else teacher,
            select=soft_labels("weighted" if weighted else "share"),
            objective=NLL(per="sequence"),
            training=Training(learning_rate=learning_rate, batch_size=batch_size, lora_rank=lora_rank),
            start="student" if number else "base",
            writes="student",
        )

    labels = labels_of(labels_per_class)
    seed = Step(name="labels", select=labels, objective=NLL(per="sequence"), training=on_labels)
    last = Step(name="finetune", select=labels, objective=NLL(per="sequence"), training=on_labels, start="student")
    return Recipe(name="list_prompted", setup=(seed,), steps=(*map(learn, range(num_passes)), last), rounds=6)  # six sessions
