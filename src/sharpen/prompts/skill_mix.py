"""Instructions that each need a few skills at once, drawn by chance from those that a model names itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.conversation import with_text
from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.said import listed, said
from sharpen.sample.templates import filled
from sharpen.types import Prompt, user

__all__ = ["Mix", "Skilled", "mixes", "names_in", "skill_mixed"]

_TOPICS = "List topics that people ask an assistant about. Write one topic a line, in a few words, and nothing else."
_KINDS = "List kinds of requests that people make of an assistant. Write one kind a line, in a few words, and nothing else."
_SKILLS = "List skills that one needs to answer requests about {topic} well. Write one skill a line, in a few words, and nothing else."
_WRITE = (
    "Write one request to an assistant. It is of this kind: {kind}. Whoever answers it well needs all of these skills at once: {skills}. "
    "It does not name them, it is hard for a language model, and it says all that is needed to answer it. Write the request alone."
)
_ANSWER = (
    "{question}\n\n(Answer this as well as it can be answered, without talk about yourself. A good answer shows these "
    "skills: {skills}.)"
)
_MOST_WORDS = 8


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What one instruction is asked for: different skills, and a kind of request."""

    skills: tuple[str, ...]
    kind: str


def names_in(texts: Sequence[str]) -> list[str]:
    r"""The names that stand on lines of their own, without bullets, numbers and marks at the end; of those that differ in case the first.

    Lines of more than 8 words are no names.

    >>> names_in(["1. Clear headings\n- Humour.\n", "humour\nThis line is far too long to be a name of anything"])
    ['Clear headings', 'Humour']
    """
    found: dict[str, str] = {}
    for line in listed(texts):
        name = line.rstrip(".:;,")
        if name and len(name.split()) <= _MOST_WORDS:
            found.setdefault(name.lower(), name)
    return list(found.values())


def mixes(skills: Sequence[str], kinds: Sequence[str], num_skills: int, count: int, rng: np.random.Generator) -> list[Mix]:
    """`count` draws of `num_skills` different skills, each set of them as likely as any other, and of one kind.

    Without enough skills, or without kinds, there are none.
    """
    if len(skills) < num_skills or not kinds:
        return []
    found = []
    for _ in range(count):
        places = rng.choice(len(skills), size=num_skills, replace=False).tolist()
        found.append(Mix(skills=tuple(skills[place] for place in places), kind=kinds[int(rng.integers(len(kinds)))]))
    return found


@dataclass(frozen=True, kw_only=True)
class Skilled:
    """A frame for answers: the prompt, and behind it the skills that a good answer shows."""

    ask: str = _ANSWER

    def __call__(self, prompt: Prompt) -> Prompt:
        """The prompt as it is answered."""
        told = filled(self.ask, skills=str(prompt.tags["skills"]), question=prompt.text)
        return with_text(prompt, told)


@part(reads=("{role}",), needs=("generate", "chat"))
def skill_mixed(
    count: int,
    *,
    num_skills: int = 2,
    num_asks: int = 4,
    temperature: float = 1.0,
    max_new_tokens: int = 256,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """Instructions that a policy writes for random sets of skills (Instruct-SkillMix: Kaur et al. 2024, arXiv 2408.14774).

    It lists topics, skills for each topic, and kinds of requests, and then writes one instruction for each of `count` draws. Their tags say
    for which `skills` and `kind`. Left out are texts that are cut, empty, or there already. The prompts that come in are not looked at.

    Args:
        count: instructions asked for.
        num_skills: skills of one.
        num_asks: lists of topics, and of kinds, that are sampled; skills are listed once for each topic.
        temperature, max_new_tokens: of lists and instructions.
        role: who writes.

    Raises:
        ValueError: a number is below 1.
    """
    if min(count, num_skills, num_asks) < 1:
        raise ValueError(f"count {count}, num_skills {num_skills} and num_asks {num_asks} are at least 1")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)

        def asked(texts: Sequence[str]) -> list[str]:
            return said([user(text) for text in texts], round.policy(role), sampling, seed=round.seed)

        topics, kinds = (names_in(asked([ask] * num_asks)) for ask in (_TOPICS, _KINDS))
        skills = names_in(asked([_SKILLS.replace("{topic}", topic) for topic in topics]))
        drawn = mixes(skills, kinds, num_skills, count, round.rng("mixes"))
        wanted = [filled(_WRITE, kind=one.kind, skills="; ".join(one.skills)) for one in drawn]
        found: dict[str, Prompt] = {}
        for mix, text in zip(drawn, asked(wanted), strict=True):
            if text:
                made = user(text, tags={"made": "skill mix", "skills": "; ".join(mix.skills), "kind": mix.kind})
                found.setdefault(made.id, made)
        return list(found.values())

    return stage
