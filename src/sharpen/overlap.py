"""Held-out prompts in what was trained on: word for word, or in pieces too long to be there by chance.

Texts are compared by their words, numbers and signs, in small letters and without the punctuation of sentences, so that neither case nor
spacing hides a copy.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpen.examples import Example
from sharpen.types import Prompt

__all__ = ["HeldOut", "Met", "words"]

Keys = NDArray[np.uint64]

_NGRAM = 8  # words of a piece: 8-grams, as Llama 2 and open-instruct count them
_SHARE = 0.5  # of a text's own pieces in one trained text, from which it counts as met: open-instruct
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s]")
_SENTENCE = frozenset(".,;:?\"'`\u2018\u2019\u201c\u201d\u2026")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word is lost modulo 2^64


@dataclass(frozen=True, kw_only=True)
class Met:
    """A held-out prompt that was found in what was trained on.

    Attributes:
        split: `gate` or `final`.
        prompt: its id.
        how: `same` for a training prompt of the same words, `pieces` for a training text with most of its pieces.
        share: of its own pieces that stand in that one text, in [0, 1]; 1 for `same`.
        text: the trained text, its beginning.
    """

    split: str
    prompt: str
    how: str
    share: float
    text: str


class HeldOut:
    """An index of held-out prompts, to be looked up in trained texts, each of which is read once.

    A prompt is met as `same` where a message of a training prompt has the same words. It is met in `pieces` where one trained text, prompt
    or answer, holds at least half of the runs of 8 words that no other held-out prompt has, and all of its numbers: prompts of one template
    share its words and differ in little, so what they share says nothing. Worked targets of 8 words or more are looked for in the same way.
    Shorter ones stand in many texts by chance, and shorter prompts are found as `same` alone.

    Args:
        splits: by name, held-out prompts; the same prompt in two is looked for in the first.

    >>> from sharpen.types import user
    >>> from sharpen.examples import Demonstration, Row
    >>> from sharpen.data.task import given
    >>> shown = user("what is  Seven times nine")
    >>> index = HeldOut({"gate": [user("What is seven times nine?")]})
    >>> [(met.split, met.how) for met in index.met_in([Demonstration(row=Row(prompt=shown, completion=given(shown, "63")))])]
    [('gate', 'same')]
    """

    def __init__(self, splits: Mapping[str, Sequence[Prompt]]) -> None:
        prompts = {prompt.id: (split, prompt) for split, some in reversed(list(splits.items())) for prompt in some}
        self._owners = [(split, prompt.id) for split, prompt in prompts.values()]
        self._same: dict[tuple[str, ...], int] = {}
        self._vocabulary: dict[str, int] = {}
        texts: list[tuple[int, list[str]]] = []
        for owner, (_, prompt) in enumerate(prompts.values()):
            asked = words(prompt.text)
            self._same.setdefault(tuple(asked), owner)
            texts += [(owner, asked), (owner, words(prompt.target or ""))]
        self._texts = [(owner, found) for owner, found in texts if len(found) >= _NGRAM]
        for _, found in self._texts:
            for word in found:
                self._vocabulary.setdefault(word, len(self._vocabulary) + 1)
        self._numbers = [frozenset(filter(_is_number, found)) for _, found in self._texts]
        self._keys, self._of, self._sizes = self._own_pieces()

    def _own_pieces(self) -> tuple[Keys, NDArray[np.int64], NDArray[np.int64]]:
        """The pieces that stand in the texts of one prompt alone, sorted, whose they are, and how many each text has."""
        pieces = [np.unique(self._pieces(found)) for _, found in self._texts]
        keys = np.concatenate([*pieces, np.empty(0, np.uint64)])
        of = np.repeat(np.arange(len(pieces)), [len(one) for one in pieces])
        order = np.argsort(keys, kind="stable")
        keys, of = keys[order], of[order]
        owners = np.array([owner for owner, _ in self._texts], np.int64)[of] if len(of) else of
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.empty(0, np.int64)
        lowest, highest = (np.minimum.reduceat(owners, starts), np.maximum.reduceat(owners, starts)) if len(keys) else (of, of)
        kept = starts[lowest == highest]
        return keys[kept], of[kept], np.bincount(of[kept], minlength=len(self._texts))

    def _pieces(self, found: Sequence[str]) -> Keys:
        """Of a text each run of 8 words as one number; what holds a word that no held-out text has is left out."""
        ids = np.array([self._vocabulary.get(word, 0) for word in found], np.uint64)
        count = len(ids) - _NGRAM + 1
        if count < 1:
            return np.empty(0, np.uint64)
        keys, known = np.zeros(count, np.uint64), np.ones(count, bool)
        for place in range(_NGRAM):
            some = ids[place : place + count]
            keys = (keys + some) * _BASE
            keys ^= keys >> np.uint64(29)
            known &= some > 0
        return keys[known]

    def met_in(self, examples: Iterable[Example]) -> list[Met]:
        """The held-out prompts that stand in these examples, each once, by the text that shows it best."""
        best: dict[int, Met] = {}
        seen: set[str] = set()
        for example in examples:
            for row in example.rows:
                for text in {message.text for message in row.prompt.messages} - seen:
                    seen.add(text)  # prompts come again and again, and there are few of them; answers do not
                    self._look(text, best, is_prompt=True)
                self._look(row.completion.text, best, is_prompt=False)
        return [best[owner] for owner in sorted(best)]

    def _look(self, text: str, best: dict[int, Met], *, is_prompt: bool) -> None:
        found = words(text)
        same = self._same.get(tuple(found)) if is_prompt else None
        if same is not None:
            best[same] = self._met(same, "same", 1.0, text)
        pieces = np.unique(self._pieces(found))
        if not len(pieces) or not len(self._keys):
            return
        places = np.minimum(np.searchsorted(self._keys, pieces), len(self._keys) - 1)
        hits = Counter(self._of[places[self._keys[places] == pieces]].tolist())
        numbers = frozenset(filter(_is_number, found)) if hits else frozenset()
        for number, count in hits.items():
            owner, share = self._texts[number][0], count / int(self._sizes[number])
            if share >= _SHARE and self._numbers[number] <= numbers and (owner not in best or best[owner].share < share):
                best[owner] = self._met(owner, "pieces", share, text)

    def _met(self, owner: int, how: str, share: float, text: str) -> Met:
        split, prompt = self._owners[owner]
        return Met(split=split, prompt=prompt, how=how, share=share, text=text[:200])


def words(text: str) -> list[str]:
    """Words, numbers and signs of a text in small letters, without the punctuation of sentences; signs of arithmetic stay.

    >>> words("What is 1,200 + 3.5?"), words("WHAT is 1,200+3.5")
    (['what', 'is', '1,200', '+', '3.5'], ['what', 'is', '1,200', '+', '3.5'])
    """
    return [word for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()) if word not in _SENTENCE]


def _is_number(word: str) -> bool:
    return word[0].isdigit()
