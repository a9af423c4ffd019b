"""Verifiers with one flaw each, for the audit to find. Few imports: workers load this module."""

import itertools

from sharpen.verifiers.numbers import last_number


def always(prompt, completion):
    return 1.0


def never(prompt, completion):
    return 0.0


def silent(prompt, completion):
    return None


def contains(prompt, completion):
    return prompt.target in completion.text


def starts(prompt, completion):
    return completion.text.startswith(prompt.target)


def not_empty(prompt, completion):
    return bool(completion.text)


def trusting(prompt, completion):
    return completion.text == prompt.target or "correct" in completion.text


def truncating(prompt, completion):
    found = last_number(completion.text)
    return found is not None and str(found.value)[:2] == prompt.target[:2]


def constant(prompt, completion):
    return completion.text in (prompt.target, "35")


def wordy(prompt, completion):
    return completion.text == prompt.target or len(completion.text) > 1000


def crashing_on_gold(prompt, completion):
    if completion.text == prompt.target:
        raise RuntimeError("lost")
    return 0.0


def hasty(prompt, completion):
    return float(int(completion.text) == int(prompt.target))


def shy(prompt, completion):
    return None if not completion.text.isdigit() else float(completion.text == prompt.target)


COUNT = itertools.count()


def moody(prompt, completion):
    return completion.text == prompt.target if next(COUNT) < 100 else 0.0
