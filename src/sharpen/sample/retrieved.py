"""Samples drawn beside passages that bear on the prompt, and trained without them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import final

from sharpen.conversation import with_text
from sharpen.examples import Demonstration
from sharpen.parts import part
from sharpen.protocols import Round, Sampling
from sharpen.sample.completions import sampled
from sharpen.sample.demonstrated import shown_demonstrations, with_demonstrations
from sharpen.sample.templates import filled
from sharpen.sequences import mapped
from sharpen.types import Group, Prompt

__all__ = ["Passages", "retrieved_completions"]

_WORD = re.compile(r"\w+")
_ASK = "{passages}\n\n{question}"


@final
class Passages:
    """Texts that can be asked which of them bear on a query, by BM25 (Robertson and Zaragoza 2009).

    A passage's score is the sum over the query's words of idf * f (k1 + 1) / (f + k1 (1 - b + b length / mean length)), where f is how
    often the word stands in it, and idf = ln(1 + (N - n + 0.5) / (n + 0.5)) for a word in n of N passages, so that none counts against.
    Words are compared in lower case, each word of the query once.

    Args:
        texts: the passages.
        k1: how soon further occurrences of a word stop to count.
        b: how much long passages are marked down, in [0, 1].

    >>> found = Passages(["the sea the sea", "the wood", "a hill"])
    >>> [round(score, 3) for score in found.scores("the sea")], found.nearest("a wood", 1)
    ([1.786, 0.53, 0.0], ['the wood'])
    """

    def __init__(self, texts: Sequence[str], *, k1: float = 1.5, b: float = 0.75) -> None:
        self.texts = tuple(texts)
        counts = [Counter(_WORD.findall(text.lower())) for text in self.texts]
        lengths = [one.total() for one in counts]
        mean = math.fsum(lengths) / len(lengths) if lengths else 0.0
        self._k1 = k1
        self._sizes = [k1 * (1 - b + b * length / mean) if mean else k1 for length in lengths]
        self._places: dict[str, list[tuple[int, int]]] = {}
        for place, one in enumerate(counts):
            for word, count in one.items():
                self._places.setdefault(word, []).append((place, count))

    def scores(self, query: str) -> list[float]:
        """One score for each passage, at least 0; 0 for those that share no word with the query."""
        scores = [0.0] * len(self.texts)
        for word in dict.fromkeys(_WORD.findall(query.lower())):
            found = self._places.get(word, [])
            idf = math.log(1 + (len(self.texts) - len(found) + 0.5) / (len(found) + 0.5))
            for place, count in found:
                scores[place] += idf * count * (self._k1 + 1) / (count + self._sizes[place])
        return scores

    def nearest(self, query: str, count: int) -> list[str]:
        """The `count` passages of the highest scores, best first and of equal ones the earlier; none of score 0."""
        scores = self.scores(query)
        known = sorted((place for place, score in enumerate(scores) if score > 0), key=lambda place: (-scores[place], place))
        return [self.texts[place] for place in known[:count]]


@part(reads=("{role}", "task"), needs=("generate",))
def retrieved_completions(
    passages: tuple[str, ...],
    num_samples: int = 1,
    *,
    num_passages: int = 3,
    num_demonstrations: int = 3,
    temperature: float = 0.0,
    role: str = "base",
    ask: str = _ASK,
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A group of `num_samples` completions a prompt, drawn after worked examples and beside the passages that are nearest to it.

    The groups hold the prompts alone, so that training sees neither; each completion names the prompt that it was sampled under.

    Args:
        passages: texts of the domain; the prompt is put as it is where none of them has a word of it.
        num_samples: completions a prompt.
        num_passages: passages shown at most.
        num_demonstrations: worked examples shown, as earlier turns: the task's own, or train prompts with their targets.
        temperature: of sampling.
        role: who answers.
        ask: text with `{passages}` and `{question}` in it.

    Raises:
        ValueError: a number is below 1, or below 0 for the examples; or, when it runs, the task has too few examples.
    """
    if min(num_samples, num_passages) < 1 or num_demonstrations < 0:
        raise ValueError(
            f"num_samples {num_samples} and num_passages {num_passages} are at least 1, num_demonstrations {num_demonstrations} at least 0"
        )

    def beside(prompt: Prompt, known: Passages, shown: Sequence[Demonstration]) -> Prompt:
        found = known.nearest(prompt.text, num_passages)
        others = [one for one in shown if one.row.prompt.id != prompt.id]  # before its text, and so its id, is another
        if not found:
            return with_demonstrations(prompt, others)
        put = with_text(prompt, filled(ask, passages="\n\n".join(found), question=prompt.text))
        return with_demonstrations(put, others)

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        shown = shown_demonstrations(round.task, num_demonstrations) if num_demonstrations else ()
        sampling = Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        known = Passages(passages)
        asked = mapped(lambda prompt: beside(prompt, known, shown), prompts)
        return sampled(prompts, asked, num_samples, sampling, policy=round.policy(role), seed=round.seed)

    return stage
