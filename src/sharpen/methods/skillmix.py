"""Instruct-SkillMix: a model names skills, writes requests that need random pairs of them, answers these, and is trained on its answers."""

from __future__ import annotations

from sharpen.cards import Card
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Recipe, recipe
from sharpen.prompts.skill_mix import Skilled, skill_mixed
from sharpen.sample.framed import framed_completions
from sharpen.select import finished

__all__ = ["CARD", "skillmix"]

CARD = Card(
    title="Instruct-SkillMix",
    paper="Kaur et al., 2024",
    arxiv="2408.14774",
    claim="Plain fine-tuning on a few thousand answers to requests that need random pairs of skills makes a strong assistant.",
    trains_on="demonstrations",
    departs=(
        "the model is its own teacher; in the source a much stronger one writes the data, so no more than variety can be claimed",
        "request and answer are written in two calls, the second with the skills behind the request; the source asks for both at once",
        "all requests are in our words, and temperatures are ours",
        "cut answers, and requests that are there already, are left out; the source names no filter",
    ),
    shelf="faithful",
    oracle="tests/methods/test_skillmix.py::test_every_pair_of_different_skills_is_as_likely_as_any_other",
)


def skillmix(
    *,
    num_instructions: int = 1000,  # 1K to 4K pairs in the source
    num_skills: int = 2,  # k = 2, the source
    num_asks: int = 4,
    temperature: float = 0.7,
    learning_rate: float = 2e-5,
    epochs: int = 3,
    batch_size: int = 16,
    lora_rank: int | None = None,
) -> Recipe:
    """One sampled answer to each of `num_instructions` self-written requests, trained without what was said of skills.

    Args:
        num_instructions: requests asked for; the skills of each are drawn anew.
        num_skills: skills that one needs at once.
        num_asks: lists of topics and of kinds of requests.
        temperature: of answers.
        learning_rate, epochs, batch_size: of training, linear decay with warm-up 0.1.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="skillmix",
        prompts=skill_mixed(num_instructions, num_skills=num_skills, num_asks=num_asks),
        sample=framed_completions(Skilled(), temperature=temperature),
        select=finished(),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        rounds=1,
    )
