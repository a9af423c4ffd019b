"""Checks one record: every field must be the target's."""


def fields(text):
    return [field.strip() for field in text.strip().split("|")]


def check(prompt, completion):
    """1.0 where every field is right, else 0.0; None, which counts as no verdict, where the target is unknown."""
    if prompt.target is None:
        return None
    return float(fields(completion.text) == fields(prompt.target))
