"""Answers that a policy judges, criticises and refines by itself, with how sure it is that the last one will do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.conversation import turns
from sharpen.feedback.p_true import between
from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sample.said import said
from sharpen.sample.templates import filled
from sharpen.types import Completion, Group, Prompt, user

__all__ = ["META_SKILLS", "MetaSkills", "self_evolved"]


@dataclass(frozen=True, kw_only=True)
class MetaSkills:
    """How a policy is asked to judge, to criticise and to refine an answer.

    Attributes:
        judge: text with `{question}` and `{answer}` in it, to be answered by Yes where the answer will do, or No.
        criticise: what the user says to an answer.
        refine: what the user says to the criticism.
    """

    judge: str = (
        "Question: {question}\n\nAnswer: {answer}\n\nIs the answer right and good enough to be given? Answer Yes or No."
    )
    criticise: str = "What is wrong with your answer, and why? If nothing is, say so."
    refine: str = "Answer the question again, with what you found in mind. Write the new answer alone."

    def judged(self, prompt: Prompt, answer: str) -> Prompt:
        """The question whether an answer will do, in a conversation of its own."""
        told = filled(self.judge, question=prompt.text, answer=answer)
        return user(told, options=("Yes", "No"), parents=(prompt.id,))

    def criticised(self, prompt: Prompt, answer: str) -> Prompt:
        """The conversation up to the request for criticism."""
        return _after(prompt, (answer, self.criticise))

    def refined(self, prompt: Prompt, answer: str, criticism: str) -> Prompt:
        """The conversation up to the request for a new answer."""
        return _after(prompt, (answer, self.criticise), (criticism, self.refine))


META_SKILLS = MetaSkills()


@part(reads=("{role}",), writes=("accepted",), needs=("generate", "options", "chat"))
def self_evolved(
    *,
    skills: MetaSkills = META_SKILLS,
    min_accepted: float = 0.5,
    temperature: float = 0.7,
    max_new_tokens: int = 256,
    role: str = "current",
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Every completion, or what it was refined to, with the policy's probability that it will do as the score `accepted`.

    The policy judges each answer by the probability of Yes against No, and criticises it. One below `min_accepted` is answered anew after
    the criticism, and the new answer, which takes its place, is judged once more (SELF: Lu et al. 2023, arXiv 2310.00533). Where there is
    no criticism, or it was cut, the answer stays, with its low score. Earlier scores are dropped. The signal `refined` counts the new
    answers of a group. Groups keep the plain prompts; a refined answer names the conversation that it was sampled in.

    Args:
        skills: how it is asked.
        min_accepted: the least probability that an answer will do; below it is refined.
        temperature: of refined answers; criticism is greedy.
        max_new_tokens: tokens of criticism at most.
        role: who answered, judges and refines.
    """

    def probabilities(answers: Sequence[tuple[Prompt, Completion]], policy: Policy) -> list[float]:
        asked = [skills.judged(prompt, one.text) for prompt, one in answers]
        return [between(yes, no) for yes, no in policy.options(asked)] if asked else []

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        policy = round.policy(role)
        now = [(group.prompt, one) for group in groups for one in group.completions]
        scores = probabilities(now, policy)
        greedy = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
        criticism = said([skills.criticised(prompt, one.text) for prompt, one in now], policy, greedy)
        places = [place for place, score in enumerate(scores) if score < min_accepted and criticism[place]]
        requests = [
            Request(prompt=skills.refined(prompt, one.text, criticism[place]), index=one.index, seed=round.seed)
            for place, (prompt, one) in zip(places, (now[place] for place in places), strict=True)
        ]
        sampling = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        made = policy.generate(requests, sampling) if requests else ()
        better = [(now[place][0], one) for place, one in zip(places, made, strict=True)]
        for place, pair, score in zip(places, better, probabilities(better, policy), strict=True):
            now[place], scores[place] = pair, score
        return _grouped(groups, [one for _, one in now], scores, frozenset(places))

    return stage


def _after(prompt: Prompt, *pairs: tuple[str, str]) -> Prompt:
    """The prompt with further turns: each what the assistant says, and what the user says to it."""
    return Prompt(messages=(*prompt.messages, *turns(*pairs)), parents=(*prompt.parents, prompt.id))


def _grouped(
    groups: Sequence[Group], answers: Sequence[Completion], scores: Sequence[float], refined: frozenset[int]
) -> list[Group]:
    found, start = [], 0
    for group in groups:
        end = start + len(group.completions)
        count = sum(place in refined for place in range(start, end))
        held = dataclasses.replace(group, completions=tuple(answers[start:end]), scores={}, token_scores={})
        found.append(held.with_scores(accepted=scores[start:end]).with_signals(refined=float(count)))
        start = end
    return found
