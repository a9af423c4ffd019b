"""TL-Training: calls imitated with weight on what decides them, then reinforced by how they are wrong."""

from __future__ import annotations

import dataclasses

from sharpen.cards import Card
from sharpen.examples import Demonstration
from sharpen.feedback.calls import call_grades
from sharpen.feedback.departure import departure
from sharpen.forms import decaying, reinforced
from sharpen.objectives import NLL, PolicyGradient
from sharpen.parts import Recipe, Step, chain
from sharpen.prompts import batch
from sharpen.protocols import Training
from sharpen.sample import completions
from sharpen.select.key_tokens import key_token_demonstrations, right_turns, targets
from sharpen.select.returns import returns_to_go

__all__ = ["CARD", "tl_training"]

CARD = Card(
    title="Task-feature-based tool training (TL-Training)",
    paper="Ye et al., 2024",
    arxiv="2412.15495",
    claim="Leaving failed calls out, weighting the tokens that choose a function, and paying by kind of error let few examples do.",
    trains_on="rollouts",
    needs=("targets",),
    feedback=("labels",),
    departs=(
        "a dialogue is a prompt's messages: what follows an answer is taken for the function's result",
        "where an argument ends no token is told apart: the authors' code does so, gives it weight 1, and leaves it out of the count",
        "no critic: the mean return of a prompt's other samples is the baseline, and lambda is 1",
        "8 samples a prompt at temperature 1, several examples a step, and higher learning rates (the source: one, 1e-6 and 2e-7)",
        "arguments are compared as values, with those given by place under their names; the authors' code reads quoted texts alone",
    ),
    shelf="faithful",
    oracle="tests/methods/test_tl_training.py::test_tokens_that_part_the_right_function_from_another_weigh_more",
)


def tl_training(
    *,
    num_examples: int = 1217,  # 1,217 examples, abstract
    num_steps: int = 30,
    num_prompts: int = 8,
    num_samples: int = 8,
    temperature: float = 1.0,
    most: float = 9.0,  # max_weight=9, the authors' code
    beta: float = 0.3,  # KL 0.3, the authors' script
    learning_rate: float = 1e-5,
    imitation_learning_rate: float = 5e-5,
    epochs: int = 1,  # one epoch, the authors' script
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """The targets and the good calls of earlier turns imitated once, as the set-up; then rounds of calls reinforced by their grades.

    A prompt defines its functions, as `def name(parameter: type, ...)`, and its target is a call, as `name(parameter=value, ...)`.

    Args:
        num_examples: prompts whose targets, and earlier turns, are imitated.
        num_steps: steps a round; each samples anew.
        num_prompts, num_samples: prompts a step, and samples a prompt.
        temperature: of sampling.
        most: weight of a deciding token at most.
        beta: what a nat of departure from the base costs.
        learning_rate: of reinforcement, constant.
        imitation_learning_rate, epochs, batch_size: of imitation.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    imitate: Step[Demonstration] = Step(
        name="imitate",
        prompts=chain(batch(num_examples), right_turns()),  # earlier turns too are dropped where they are held out
        sample=targets(),
        select=key_token_demonstrations(most=most),
        objective=NLL(per="sequence"),
        training=decaying(imitation_learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
    )
    rounds = reinforced(
        "tl_training",
        prompts=batch(num_prompts, passes_per_round=num_steps),
        sample=completions(num_samples, temperature=temperature),
        feedback=chain(call_grades(), departure("base")),
        select=returns_to_go(beta=beta),
        objective=PolicyGradient(),
        training=Training(learning_rate=learning_rate, lora_rank=lora_rank),
        num_steps=num_steps,
    )
    return dataclasses.replace(rounds, setup=(imitate,))
