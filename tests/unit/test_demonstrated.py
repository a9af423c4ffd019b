"""Prompts after worked examples: as turns of a conversation, or in the text that is continued."""

from __future__ import annotations

import dataclasses

from sharpen.sample import given_answer, with_demonstrations
from sharpen.types import Message, Prompt, Text, user


def said(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


def test_demonstrations_are_earlier_turns_and_a_prompt_is_not_shown_its_own() -> None:
    asked = user("3 + 3?")
    shown = [given_answer(user("1 + 1?"), "2"), given_answer(asked, "6")]
    assert said(with_demonstrations(asked, shown)) == [("user", "1 + 1?"), ("assistant", "2"), ("user", "3 + 3?")]


def test_a_system_message_stays_first_and_is_not_said_again() -> None:
    rule = Message(role="system", content=(Text(text="Be brief."),))
    asked, other = (dataclasses.replace(user(text), messages=(rule, *user(text).messages)) for text in ("3 + 3?", "1 + 1?"))
    found = with_demonstrations(asked, [given_answer(other, "2")])
    assert said(found) == [("system", "Be brief."), ("user", "1 + 1?"), ("assistant", "2"), ("user", "3 + 3?")]


def test_a_raw_prompt_holds_its_demonstrations_in_the_text_that_is_continued() -> None:
    asked, other = user("Q: 3 + 3?\nA:", next="raw"), user("Q: 1 + 1?\nA:", next="raw")
    found = with_demonstrations(asked, [given_answer(other, "2")])
    assert found.next == "raw"
    assert found.text == "Q: 1 + 1?\nA: 2\n\nQ: 3 + 3?\nA:"
