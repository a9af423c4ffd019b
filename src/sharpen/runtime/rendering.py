"""Prompts to token ids, exactly as the model was trained to read them; foreign text to tokens, once."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sharpen.digest import digest
from sharpen.errors import DataError, ModelError
from sharpen.runtime.templates import TemplateError, rendered
from sharpen.types import Completion, Prompt, Segment

__all__ = ["Renderer"]

_USER_SPEAKS = "\u2063user-speaks-here\u2063"
_ASSISTANT_SPOKE = "\u2063assistant-spoke-here\u2063"
_FIRST_MARK = 0xF0000  # private characters stand for special tokens that a text spells out, while a template runs
_MARKS = "\U000f0000-\U000ffffd"
_REMEMBERED = 4096  # conversations whose rendered text is kept


@dataclass
class _Literals:
    """Special tokens spelt out in given text: data, never control. Each is replaced by a private character until it is tokenised."""

    pattern: re.Pattern[str]
    found: list[str] = field(default_factory=list)

    def hide(self, text: str) -> str:
        """The text with a private character for each special token."""
        return self.pattern.sub(self._mark, text)

    def as_is(self, text: str) -> str:
        """The text with its special tokens in force; only characters that would be taken for ours are hidden."""
        return re.sub(f"[{_MARKS}]", self._mark, text)

    def _mark(self, match: re.Match[str]) -> str:
        self.found.append(match.group())
        return chr(_FIRST_MARK + len(self.found) - 1)

    def split(self, text: str) -> list[tuple[str, bool]]:
        """Pieces of text in order, and whether each is one of the literals."""
        pieces = re.split(f"([{_MARKS}])", text)
        literal = [bool(number % 2) for number in range(len(pieces))]
        return [
            (self.found[ord(piece) - _FIRST_MARK] if is_literal else piece, is_literal)
            for piece, is_literal in zip(pieces, literal, strict=True)
            if piece
        ]


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """A tokenizer with its chat template and the tokens that end an answer.

    A special token that a message spells out (`<|im_end|>` in a row of data) is tokenised as plain text: data cannot end a turn
    or begin one. Everything else is what transformers' `apply_chat_template(tokenize=True)` gives.

    Attributes:
        tokenizer: a transformers tokenizer.
        stop_ids: ids that end a turn; a sampled stop token is kept as the completion's last token.
        max_length: tokens that prompt and completion may take together.
    """

    tokenizer: Any  # transformers tokenizers have no useful static type
    stop_ids: tuple[int, ...]
    max_length: int

    @property
    def template_digest(self) -> str:
        """Identifies the chat template; part of a checkpoint's identity."""
        return digest("template", self.tokenizer.chat_template or "")

    @property
    def template(self) -> str:
        """The text of the chat template that conversations are rendered with.

        Raises:
            ValueError: there is none, or several and no default.
        """
        return str(self.tokenizer.get_chat_template())

    @property
    def has_template(self) -> bool:
        """Whether prompts can be rendered as a conversation."""
        return self.tokenizer.chat_template is not None

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt as the model reads it, generation header included.

        Raises:
            DataError: the prompt has no tokens, or the chat template refuses it.
            ModelError: the prompt is a conversation and the model has no chat template.
        """
        literals = self._literals()
        if prompt.next == "raw":
            ids = [*self._start_ids, *self._ids(literals.as_is(prompt.text), literals)]
        else:
            ids = self._ids(self._conversation(prompt, literals), literals)
        if not ids:
            raise DataError(f"prompt {_name(prompt)} has no tokens, so there is nothing to go on from; give it some text")
        return ids

    def rendered(self, prompt: Prompt) -> str:
        """The prompt as text, exactly what is sent.

        Raises:
            DataError: the chat template refuses the prompt.
            ModelError: the prompt is a conversation and the model has no chat template.
        """
        if prompt.next == "raw":
            return prompt.text
        literals = self._literals()
        return "".join(piece for piece, _ in literals.split(self._conversation(prompt, literals)))

    def text(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def full_text(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, special tokens written out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def spells_special(self, text: str) -> bool:
        """Whether a text spells out a special token, so that it can be found only where those are written out."""
        return self._literal_pattern.search(text) is not None

    def encode(self, prompt: Prompt, text: str) -> Completion:
        """Foreign text as a completion of that prompt: tokenised here, once, ended by the model's stop token.

        The segment is `injected`, has no log-probabilities, and is trained on in full.
        """
        ids = self._turn_ids(prompt, text)
        segment = Segment(source="injected", token_ids=tuple(ids))
        return Completion(segments=(segment,), text=text, finish="given", prompt_id=prompt.id)

    def follow_up(self, prompt: Prompt, completion: Completion, message: str) -> Completion:
        """The completion with a further turn of the user's behind it, to be gone on from by the assistant.

        What lies between two answers (the end of the first turn where it was cut, the user's turn, the header of the next) is one
        injected segment of weight 0, of the turn that begins; every token that was there stays as it is.

        Raises:
            DataError: the chat template refuses the conversation.
            ModelError: the model has no chat template, and the prompt is not raw.
        """
        literals = self._literals()
        if prompt.next == "raw":
            ids = self._ids(literals.hide(message), literals)
        else:
            spoken = {"role": "assistant", "content": _ASSISTANT_SPOKE}
            messages = [*self._messages(prompt, literals), spoken, {"role": "user", "content": literals.hide(message)}]
            ids = self._ids(self._template(prompt, messages, header=True).split(_ASSISTANT_SPOKE)[-1], literals)
            if ids[:1] and ids[0] in self.stop_ids and completion.token_ids[-1:] and completion.token_ids[-1] in self.stop_ids:
                ids = ids[1:]  # the policy has ended its turn itself
        turn = completion.turns[-1] + 1 if completion.token_ids else 1
        between = Segment(source="injected", token_ids=tuple(ids), weight=0.0, turn=turn, text=message)
        text = self.text([*completion.token_ids, *ids])
        return dataclasses.replace(
            completion, segments=(*completion.segments, between), text=text, finish="partial", parents=(completion.id,)
        )

    def appended(self, completion: Completion, text: str) -> Completion:
        """The completion with given text behind it in the same turn, and the stop token after that.

        The policy's own tokens stay as they were sampled, but for a stop token at their end: the turn goes on now. The text is an injected
        segment that is trained on; give the others weight 0 where they should not be.
        """
        segments = list(completion.segments)
        if segments and segments[-1].token_ids[-1:] and segments[-1].token_ids[-1] in self.stop_ids:
            last = segments[-1]
            logprobs = last.logprobs[:-1] if last.logprobs is not None else None
            segments[-1] = dataclasses.replace(last, token_ids=last.token_ids[:-1], logprobs=logprobs)
            stop = last.token_ids[-1]
        else:
            stop = self.stop_ids[0]
        literals = self._literals()
        turn = segments[-1].turn if segments else 0
        new = Segment(source="injected", token_ids=(*self._ids(literals.hide(text), literals), stop), turn=turn, text=text)
        return dataclasses.replace(
            completion,
            segments=(*segments, new),
            text=f"{completion.text}{text}",
            finish="given",
            parents=(completion.id,),
        )

    def enter(self, prompt: Prompt, completion: Completion) -> Completion:
        """The completion itself, or its text tokenised where it is given text that has no tokens yet."""
        if completion.segments:
            return completion
        return dataclasses.replace(self.encode(prompt, completion.text), prompt_id=completion.prompt_id)

    def check_length(self, prompt: Prompt, length: int, max_new_tokens: int) -> None:
        """Check that a context of `length` tokens leaves room for the answer.

        Raises:
            DataError: they do not fit the model's context together; nothing is ever cut.
        """
        if length + max_new_tokens > self.max_length:
            raise DataError(
                f"prompt {_name(prompt)} has {length} tokens; with {max_new_tokens} for the answer it "
                f"exceeds the model's {self.max_length}: shorten it, or lower max_new_tokens"
            )

    def _conversation(self, prompt: Prompt, literals: _Literals) -> str:
        messages = self._messages(prompt, literals)
        if prompt.next == "assistant":
            return self._template(prompt, messages, header=True)
        # The conversation rendered with a marked user turn, cut at the point where the user would speak.
        text = self._template(prompt, [*messages, {"role": "user", "content": _USER_SPEAKS}], header=False)
        return text.split(_USER_SPEAKS)[0]

    def _template(self, prompt: Prompt, messages: list[dict[str, str]], *, header: bool) -> str:
        if not self.has_template:
            raise ModelError(
                "this model has no chat template, so a conversation cannot be put to it; use an instruct model, or prompts "
                "with next='raw' (`--raw`), whose text is continued as it is"
            )
        if not messages:
            raise DataError(f"prompt {_name(prompt)} has no messages, so there is nothing to put to the model; give it one")
        try:
            return self._by_template(tuple((one["role"], one["content"]) for one in messages), header)
        except TemplateError as error:
            raise DataError(f"the model's chat template refuses prompt {_name(prompt)}: {error}") from error

    @cached_property
    def _by_template(self) -> Callable[[tuple[tuple[str, str], ...], bool], str]:
        """What the template makes of who said what, with the next header or without; a text that was asked for before is remembered."""
        template = self.template
        special = {
            name: token if isinstance(token, list) else str(token) for name, token in self.tokenizer.special_tokens_map.items()
        }

        @functools.lru_cache(maxsize=_REMEMBERED)
        def made(turns: tuple[tuple[str, str], ...], header: bool) -> str:
            messages = [{"role": role, "content": content} for role, content in turns]
            values = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": header}
            return rendered(template, special | values)

        return made

    def _messages(self, prompt: Prompt, literals: _Literals) -> list[dict[str, str]]:
        return [{"role": message.role, "content": literals.hide(message.text)} for message in prompt.messages]

    def _literals(self) -> _Literals:
        return _Literals(self._literal_pattern)

    @cached_property
    def _literal_pattern(self) -> re.Pattern[str]:
        special = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        longest_first = sorted(special, key=len, reverse=True)
        return re.compile("|".join([*map(re.escape, longest_first), f"[{_MARKS}]"]))

    @cached_property
    def _start_ids(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text of no template: its BOS token, or nothing. What it appends is left out."""
        whole, plain = self.tokenizer("a")["input_ids"], self.tokenizer("a", add_special_tokens=False)["input_ids"]
        starts = [start for start in range(len(whole)) if whole[start : start + len(plain)] == plain]
        return tuple(whole[: starts[0]]) if starts else ()

    def _ids(self, text: str, literals: _Literals) -> list[int]:
        """Token ids of a text whose control tokens count, with the hidden literals as plain text."""
        ids: list[int] = []
        for piece, is_literal in literals.split(text):
            how = {"split_special_tokens": True} if is_literal else {}
            ids += self.tokenizer(piece, add_special_tokens=False, **how)["input_ids"]
        return ids

    def _turn_ids(self, prompt: Prompt, text: str) -> list[int]:
        """The tokens that follow the prompt's, as the template writes this turn, up to and with its stop token.

        Where the template changes what came before (it drops earlier thoughts, or the first letters join the header's last token)
        or changes the text itself, the text's own tokens follow the prompt: what was generated after is what is trained after.
        """
        before, literals = self.prompt_ids(prompt), self._literals()
        content = literals.hide(text)
        if prompt.next == "raw":
            whole = [*self._start_ids, *self._ids(literals.as_is(prompt.text) + content, literals)]
            kept = whole[: len(before)] == before
            return [*(whole[len(before) :] if kept else self._ids(content, literals)), self.stop_ids[0]]
        messages = [*self._messages(prompt, literals), {"role": prompt.next, "content": content}]
        whole = self._ids(self._template(prompt, messages, header=False), literals)
        stops = [place for place, token in enumerate(whole) if token in self.stop_ids]
        if whole[: len(before)] == before:
            for place in stops:
                turn = whole[len(before) : place + 1]
                if turn and text.strip() in self.text(turn):
                    return turn
        return [*self._ids(content, literals), whole[stops[-1]] if stops else self.stop_ids[0]]


def _name(prompt: Prompt) -> str:
    return repr(prompt.tags.get("id", prompt.id))
