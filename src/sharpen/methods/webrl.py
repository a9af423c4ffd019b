"""WebRL's curriculum: failures grow new tasks, a critic says which are worth trying, and results are paid by what it did not foresee."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.examples import Rollout, Valued
from sharpen.feedback.verify import verify
from sharpen.lab.failures import problems_from_failures
from sharpen.objectives.log_ratio import LogRatioRegression
from sharpen.objectives.value import ValueRegression
from sharpen.parts import Recipe, Step
from sharpen.protocols import Training, Verifier
from sharpen.sample import completions
from sharpen.select.foresight import outcomes, surplus

__all__ = ["CARD", "webrl"]

CARD = Card(
    title="Self-evolving curriculum from failures (WebRL)",
    paper="Qi et al., 2024",
    arxiv="2411.02337",
    claim="Tasks grown from failures, filtered to what a critic thinks possible, keep reinforcement learning going where tasks are few.",
    trains_on="rollouts",
    needs=("verifier",),
    feedback=("verifier", "judge"),
    departs=(
        "the laboratory's problems, of one turn, in place of web pages: with one action the advantage is the reward less the value, "
        "whatever the source's mixture of one-step and whole returns",
        "a new task is a problem of a failed one's kind whose difficulty is its own, one less or one more; the source has a language model "
        "word it, and another judge whether it can be done",
        "the verifier pays, in place of a trained outcome model",
        "the critic is the log-odds of Yes over No under a question about the task, begun from the base: no head of its own",
        "the paper's squared error on the plain advantage, not the authors' code, which makes it +1 or -0.6, takes means over tokens and "
        "drops what was worse than foreseen",
        "a task's newest success is played again, where it was not tried anew, to the actor alone; the authors' code takes a task's first "
        "success, tried anew or not, and shows it to the critic too",
        "our own strength of the reference, learning rates and numbers of tasks",
    ),
    shelf="verdict",
    oracle="tests/methods/test_webrl.py::test_descent_ends_at_the_reference_tilted_by_the_advantages",
    verdict="yes",
)


def webrl(
    verifier: Verifier,
    *,
    problems: str = "addition",
    num_prompts: int = 64,
    num_samples: int = 4,
    temperature: float = 1.0,
    start: int = 2,
    most: int = 6,
    beta: float = 1.0,
    learning_rate: float = 1e-5,
    critic_learning_rate: float = 2e-5,
    epochs: int = 1,  # actor_epochs and critic_epochs 1, the authors' configuration
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """Three steps a round: new problems are tried, the critic learns how that went, and the actor learns from both.

    Args:
        verifier: its score is the reward.
        problems: name of the laboratory's problems.
        num_prompts, num_samples: problems a round at most, and attempts at each.
        temperature: of sampling.
        start, most: difficulty of the first problems, and of the hardest.
        beta: how strongly the actor is held to the model that the round began with.
        learning_rate, critic_learning_rate: of the actor and of the critic, constant.
        epochs, batch_size: of both.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    attempt: Step[Rollout] = Step(
        name="attempt",
        prompts=problems_from_failures(problems, num_prompts, step="attempt", start=start, most=most),
        sample=completions(num_samples, temperature=temperature),
        feedback=verify(verifier),
    )
    critic: Step[Valued] = Step(
        name="critic",
        select=outcomes("attempt"),
        objective=ValueRegression(link="cross-entropy"),
        training=Training(learning_rate=critic_learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        start="critic",
        writes="critic",
    )
    actor = Step(
        name="actor",
        select=surplus("attempt"),
        objective=LogRatioRegression(beta),
        training=Training(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
    )
    first: Step[Valued] = Step(name="first", average={"base": 1.0}, writes="critic")
    return Recipe(name="webrl", setup=(first,), steps=(attempt, critic, actor), keeps=("critic",))
