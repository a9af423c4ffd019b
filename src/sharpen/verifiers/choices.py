"""Which of a closed set of options an answer names."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

from sharpen.digest import digest
from sharpen.identity import code_digest
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.texts import after_mark, boxed, normal

__all__ = ["choice"]

_BEFORE = 32  # characters that a negation is looked for in
_NEGATED = re.compile(
    r"(?:\b(?:not|never|neither|nor|no|than|[a-z]+n['\u2019]t)\s+(?:(?:a|an|the)\s+)?)[\"'\u201c\u2018*_(]*$", re.IGNORECASE
)
_LEAD = re.compile(r"(?:[\s*_\"'\u201c\u2018`$:]|\\text\{|\b(?:the|option|choice|letter)\b)*", re.IGNORECASE)
_AND = re.compile(
    r"[\s*_)\]\"'\u201d\u2019.}]*+(?:(?:[,;/|&]|\bor\b|\band\b)[\s*_\"'\u201c\u2018]*+)++(?:\b(?:the|option|choice)\b\s*)*+",
    re.IGNORECASE,
)
_THEN = re.compile(r"[\s*_).:\]-]*")


@dataclass(frozen=True)
class choice:
    r"""A verifier: the answer names the right option, and only that one.

    The options are `prompt.options`; without them the answers are letters and the target is one of A to Z. Where the prompt's
    text shows letters ("(A)", "B.", "C:"), each letter names the option of its place, in answers and in targets.

    The answer is read where it says so first: the last `\boxed{...}`, then behind the last "answer is" or "Answer:", then the whole
    answer, then its last line. Failing these, the text must mention one option and no second one:

    - an answer that lists options ("A, B or C") names none;
    - a mention is a whole word, longest option first ("not spam" is no "spam"), and does not follow "not", "never" or "than";
    - a letter within a sentence counts only with its mark ("(B)", "B)", "B.", "**B**", "option B"): "A cat" is no A.

    An answer that names no option is wrong (0.0). A missing target, or one that is no option, abstains; so does a prompt whose
    options differ only in form.
    """

    @property
    def key(self) -> str:
        """Identifies its code."""
        return digest("verifier", repr(self), code_digest(__name__))

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """1.0 where the target's option is named, 0.0 where not, None where the target is no option."""
        labels = _labels_of(prompt)
        target = None if prompt.target is None or labels is None else labels.whole(prompt.target)
        if target is None or labels is None:
            return None
        return float(labels.named(completion.text) == target)

    def answer(self, prompt: Prompt, completion: Completion, /) -> str | None:
        """The option that the answer names, as the prompt lists it; None where it names none or several.

        >>> from sharpen.types import user
        >>> from sharpen.verifiers.audit import given
        >>> prompt = user("Where? (A) Rome (B) Oslo", options=("Rome", "Oslo"))
        >>> choice().answer(prompt, given(prompt, "It must be (B).")), choice().answer(prompt, given(prompt, "Rome or Oslo"))
        ('Oslo', None)
        """
        labels = _labels_of(prompt)
        place = None if labels is None else labels.named(completion.text)
        return None if place is None else _options_of(prompt)[place]


def _options_of(prompt: Prompt) -> tuple[str, ...]:
    return prompt.options or tuple(string.ascii_uppercase)


def _labels_of(prompt: Prompt) -> _Labels | None:
    options = _options_of(prompt)
    return _labels(options, shown=prompt.options is not None and _shows_letters(prompt.text, len(options)))


@dataclass(frozen=True, kw_only=True)
class _Labels:
    """What names an option: its text, its letter, and the expressions that find both."""

    texts: Mapping[str, int]
    letters: Mapping[str, int]
    bare: re.Pattern[str]
    marked: re.Pattern[str]

    def named(self, text: str) -> int | None:
        inside = boxed(text)
        if inside is not None:
            return self.only(self.leading(inside))
        if found := self.leading(after_mark(text) or ""):
            return self.only(found)
        lines = text.split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        for part in (text, last):
            if (place := self.whole(part)) is not None:
                return place
        return self.only(self.mentioned(text))

    @staticmethod
    def only(found: frozenset[int]) -> int | None:
        return next(iter(found)) if len(found) == 1 else None

    def whole(self, text: str) -> int | None:
        """The option that the whole text is, form aside; "(B) Oslo" where letter and text agree."""
        if len(text) > 10_000:
            return None
        bare = normal(text)
        for form in (bare, bare.strip("()[]{}.: ")):
            if (place := self.texts.get(form, self.letters.get(form))) is not None:
                return place
        found = re.fullmatch(r"\(?([a-z])[).:\]]+\s*(\S.*)", bare)
        by_letter = self.letters.get(found[1]) if found else None
        return by_letter if found and by_letter is not None and by_letter == self.texts.get(normal(found[2])) else None

    def leading(self, text: str) -> frozenset[int]:
        """The options that the text begins with: one, or all of "A, B or C"."""
        first = text.split("\n", maxsplit=1)[0]
        if (place := self.whole(first)) is not None:
            return frozenset({place})
        found: set[int] = set()
        at = _end(_LEAD, text, 0)
        while match := self.bare.match(text, at):
            found.add(self.place(match))
            following = self.bare.match(text, _end(_THEN, text, match.end())) if match["letter"] else None
            if following and following["text"]:  # "(B) Oslo"
                found.add(self.place(following))
                match = following
            joined = _AND.match(text, match.end())
            if joined is None:
                break
            at = joined.end()
        return frozenset(found)

    def mentioned(self, text: str) -> frozenset[int]:
        """The options that occur anywhere and are not denied."""
        return frozenset(
            self.place(match)
            for match in self.marked.finditer(text)
            if not _NEGATED.search(text[max(0, match.start() - _BEFORE) : match.start()])
        )

    def place(self, match: re.Match[str]) -> int:
        letter = next((group for name, group in match.groupdict().items() if name.startswith("letter") and group), None)
        return self.letters[letter.casefold()] if letter else self.texts[normal(match["text"])]


@functools.lru_cache(maxsize=1024)
def _labels(options: tuple[str, ...], *, shown: bool) -> _Labels | None:
    """The labels of these options, or None where two of them differ only in form."""
    forms = [normal(option) for option in options]
    if len(set(forms)) != len(forms) or not all(forms):
        return None
    are_letters = all(len(form) == 1 and form in string.ascii_lowercase for form in forms)
    texts = {} if are_letters else {form: place for place, form in enumerate(forms)}
    letters = {form: place for place, form in enumerate(forms)} if are_letters else {}
    if shown and not are_letters:
        letters = {string.ascii_lowercase[place]: place for place in range(min(len(options), 26))}
    longest = sorted((() if are_letters else options), key=len, reverse=True)
    text = f"(?P<text>{'|'.join(map(_word, longest))})" if longest else r"(?P<text>(?!))"
    some = "".join(letters)
    upper = f"[{some.upper()}]" if some else "(?!)"
    either = f"[{some}{some.upper()}]" if some else "(?!)"
    bare = rf"{text}|\(?(?P<letter>{upper}(?![\w'\u2019])|(?<=\(){either}(?=\)))\)?"
    marked = (
        rf"{text}|\((?P<letter>{either})\)|(?<![\w'\u2019.])(?P<letter2>{upper})(?:[):]|\.(?=\s|$))|\*\*(?P<letter3>{upper})\*\*"
        rf"|\b(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s+(?P<letter4>{upper})(?!\w)"
    )
    return _Labels(texts=texts, letters=letters, bare=re.compile(bare), marked=re.compile(marked))


def _word(option: str) -> str:
    """An expression for the option as a whole word, in any case; letters of scripts without spaces need no boundary."""
    words = r"\s+".join(map(re.escape, normal(option, ignore_case=False).split()))
    before = r"(?<!\w)(?<!\d[.,])" if _spaced(option[0]) else ""
    after = r"(?!\w|[.,]\d)" if _spaced(option.rstrip(".")[-1:] or ".") else ""
    return rf"{before}(?i:{words}){after}"


def _spaced(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"


def _shows_letters(text: str, num_options: int) -> bool:
    """Whether the prompt marks its options with letters from A on."""
    found = re.findall(r"(?:^|[\s(*])([A-Z])[).:]", text)
    return num_options <= 26 and set(string.ascii_uppercase[:num_options]) <= set(found)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start
