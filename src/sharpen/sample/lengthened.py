"""Answers that another role makes longer in two halves: the first anew, the rest as what follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharpen.conversation import with_text
from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sample.long_texts import Sound, drop_short, first_half, num_words, two_thirds
from sharpen.sample.said import said
from sharpen.sample.templates import filled
from sharpen.types import Completion, Group, Prompt

__all__ = ["EXTEND", "SOUND", "extending", "lengthened"]

EXTEND = (
    "Below are a request and an answer to it. Write the answer again at much greater length: with more detail, more examples and further "
    "points, in the same order. Write the longer answer alone.\n\nRequest: {question}\n\nAnswer: {answer}"
)
SOUND = Sound()


def extending(prompt: Prompt, answer: str, ask: str = EXTEND) -> Prompt:
    """The request to write an answer to a prompt at greater length."""
    asked = with_text(prompt, filled(ask, question=prompt.text, answer=answer))
    return dataclasses.replace(asked, target=None, options=None)


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """An answer, and the longest sound text that was made of it."""

    prompt: Prompt
    made: Completion
    best: str

    @property
    def text(self) -> str:
        return self.made.text.strip()


@part(reads=("{role}", "{extender}"), writes=("long",), needs=("generate", "continue", "chat"))
def lengthened(
    num_samples: int = 2,
    *,
    num_tries: int = 3,
    num_passes: int = 3,
    min_growth: float = 1.2,
    sound: Sound = SOUND,
    temperature: float = 0.7,
    max_new_tokens: int | None = None,
    role: str = "current",
    extender: str = "extender",
    ask: str = EXTEND,
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A group of drafts a prompt, and behind them what they were made to, under the score `long`: 1 for long answers that stay.

    Each draft is extended in passes: the extender writes its first half at greater length; the first two thirds of that begin the new
    answer, and the extender goes on from there with the whole draft in sight. A sound and longer text takes the draft's place in the next
    pass. Where the last is not `min_growth` times as long as the draft it is tried again. Short ones are dropped among drafts and among
    long answers of the round: see `drop_short`. What is dropped, unsound or a draft scores 0; a long answer names its draft as its parent.
    Self-Lengthen (Quan et al. 2024, arXiv 2410.23933, the authors' code).

    Args:
        num_samples: drafts a prompt.
        num_tries: how often an unsound draft, or one that did not grow, is tried again, the first time included.
        num_passes: how often a draft is extended in one try.
        min_growth: words of the long answer over those of its draft, to be surpassed.
        sound: whether a text is a whole answer.
        temperature: of sampling.
        max_new_tokens: tokens of an answer at most; None takes the task's limit.
        role: who drafts.
        extender: who extends.
        ask: text with `{question}` and `{answer}` in it.

    Raises:
        ValueError: a number is below 1.
    """
    if min(num_samples, num_tries, num_passes) < 1:
        raise ValueError(f"num_samples {num_samples}, num_tries {num_tries} and num_passes {num_passes} are at least 1")

    def drafted(prompts: Sequence[Prompt], policy: Policy, sampling: Sampling, seed: int) -> list[Completion]:
        """The first sound draft of each place, or the last try of it."""
        places = [(prompt, number) for prompt in prompts for number in range(num_samples)]
        found: dict[int, Completion] = {}
        for attempt in range(num_tries):
            open_ = [at for at in range(len(places)) if at not in found or not _whole(found[at], sound)]
            requests = [Request(prompt=places[at][0], index=places[at][1] + attempt * num_samples, seed=seed) for at in open_]
            made = policy.generate(requests, sampling) if requests else ()
            found.update(zip(open_, made, strict=True))
        return [found[at] for at in range(len(places))]

    def extended(drafts: Sequence[_Draft], policy: Policy, sampling: Sampling, seed: int, start: int) -> list[_Draft]:
        """Each draft with a longer text where one came about; one pass over all."""
        halves = [first_half(one.best) for one in drafts]
        asked = [extending(one.prompt, half, ask) for one, half in zip(drafts, halves, strict=True) if half]
        firsts = iter(said(asked, policy, sampling, seed=seed, start=start))
        heads = [two_thirds(next(firsts)) if half else "" for half in halves]
        requests = [
            Request(prompt=asked, index=start + place, seed=seed, partial=_begun(asked, head, policy))
            for place, (asked, head) in enumerate(
                (extending(one.prompt, one.best, ask), head) for one, head in zip(drafts, heads, strict=True)
            )
        ]
        made = policy.generate(requests, sampling) if requests else ()
        return [
            dataclasses.replace(one, best=new.text.strip())
            if _whole(new, sound) and num_words(new.text) > num_words(one.best)
            else one
            for one, new in zip(drafts, made, strict=True)
        ]

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        sampling = Sampling(
            temperature=temperature, top_p=0.8, top_k=20, max_new_tokens=max_new_tokens or round.max_new_tokens
        )  # top_p 0.8 and top_k 20, the authors' code
        drafts = drafted(prompts, round.policy(role), sampling, round.seed)
        whole = [place for place, one in enumerate(drafts) if _whole(one, sound)]
        kept = drop_short([len(drafts[place].text) for place in whole], round.rng("drafts"))
        first = {
            whole[at]: _Draft(
                prompt=prompts[whole[at] // num_samples], made=drafts[whole[at]], best=drafts[whole[at]].text.strip()
            )
            for at in kept
        }
        grown: dict[int, _Draft] = {}
        for attempt in range(num_tries):
            left = {place: one for place, one in first.items() if place not in grown}
            now = list(left.values())
            for number in range(num_passes):
                start = (attempt * num_passes + number) * len(drafts)
                now = extended(now, round.policy(extender), sampling, round.seed, start)
            grown |= {
                place: one
                for place, one in zip(left, now, strict=True)
                if num_words(one.best) > min_growth * num_words(one.text)
            }
        order = sorted(grown)
        stay = {order[at] for at in drop_short([len(grown[place].best) for place in order], round.rng("long"))}
        return [
            _group(prompt, drafts, range(place * num_samples, (place + 1) * num_samples), grown, stay)
            for place, prompt in enumerate(prompts)
        ]

    return stage


def _whole(made: Completion, sound: Sound) -> bool:
    return made.finish == "stop" and sound(made.text.strip())


def _begun(prompt: Prompt, head: str, policy: Policy) -> Completion | None:
    """The beginning of an answer, to be gone on from; None where it is empty."""
    if not head:
        return None
    empty = Completion(segments=(), text="", finish="given", prompt_id=prompt.id)
    ended = policy.appended(empty, head).segments[-1]
    open_ = dataclasses.replace(ended, token_ids=ended.token_ids[:-1])  # its last token is the end of the turn
    return dataclasses.replace(empty, segments=(open_,), text=head, finish="partial")


def _group(
    prompt: Prompt, drafts: Sequence[Completion], places: Sequence[int], grown: dict[int, _Draft], stay: set[int]
) -> Group:
    made = [place for place in places if place in grown]
    long = [
        Completion(
            segments=(),
            text=grown[place].best,
            finish="given",
            prompt_id=prompt.id,
            index=drafts[place].index,
            parents=(drafts[place].id,),
        )
        for place in made
    ]
    held = Group(prompt=prompt, completions=(*(drafts[place] for place in places), *long))
    return held.with_scores(long=[0.0] * len(places) + [float(place in stay) for place in made])
