"""Prompts, answers and pairs for the tests of verifiers."""

from sharpen.types import Completion, Prompt, user


def answer(text: str, prompt: Prompt | None = None) -> Completion:
    return Completion(segments=(), text=text, finish="given", prompt_id=prompt.id if prompt else "")


def pair(text: str, target: str | None = "right", **tags: str) -> tuple[Prompt, Completion]:
    prompt = user("What is asked?", target=target, tags=tags)
    return prompt, answer(text, prompt)
