"""Prompts to token ids, exactly as the model was trained to read them; foreign text to tokens, once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sharpen.digest import digest
from sharpen.errors import DataError, ModelError
from sharpen.types import Completion, Prompt, Segment

__all__ = ["Renderer"]


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """A tokenizer with its chat template and the tokens that end an answer.

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
    def has_template(self) -> bool:
        """Whether prompts can be rendered as a conversation."""
        return self.tokenizer.chat_template is not None

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt as the model reads it, generation header included.

        Raises:
            ModelError: the prompt is a conversation and the model has no chat template.
        """
        if prompt.next == "raw":
            ids: list[int] = self.tokenizer(prompt.text)["input_ids"]
            return self._without_final_stop(ids)
        rendered = self.rendered(prompt)
        return list(self.tokenizer(rendered, add_special_tokens=False)["input_ids"])

    def rendered(self, prompt: Prompt) -> str:
        """The prompt as text, exactly what is sent.

        Raises:
            ModelError: the prompt is a conversation and the model has no chat template.
        """
        if prompt.next == "raw":
            return prompt.text
        if not self.has_template:
            raise ModelError(
                "this model has no chat template, so a conversation cannot be put to it; use an instruct model, or prompts "
                "with next='raw' (`--raw`), whose text is continued as it is"
            )
        messages = [{"role": message.role, "content": message.text} for message in prompt.messages]
        if prompt.next == "user":
            # The conversation rendered with an empty user turn, cut at the point where the user would speak.
            mark = "\u2063user-speaks-here\u2063"
            text = str(self.tokenizer.apply_chat_template([*messages, {"role": "user", "content": mark}], tokenize=False))
            return text.split(mark)[0]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def text(self, ids: list[int]) -> str:
        """The text of sampled ids, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def encode(self, prompt: Prompt, text: str) -> Completion:
        """Foreign text as a completion of that prompt: tokenised here, once, ended by the model's stop token.

        The segment is `injected`, has no log-probabilities, and is trained on in full.
        """
        ids = self._turn_ids(prompt, text)
        segment = Segment(source="injected", token_ids=tuple(ids))
        return Completion(segments=(segment,), text=text, finish="given", prompt_id=prompt.id)

    def enter(self, prompt: Prompt, completion: Completion) -> Completion:
        """The completion itself, or its text tokenised where it is given text that has no tokens yet."""
        if completion.segments:
            return completion
        return dataclasses.replace(self.encode(prompt, completion.text), prompt_id=completion.prompt_id)

    def check_length(self, prompt: Prompt, max_new_tokens: int) -> int:
        """Tokens of the prompt.

        Raises:
            DataError: prompt and answer together do not fit the model's context.
        """
        length = len(self.prompt_ids(prompt))
        if length + max_new_tokens > self.max_length:
            raise DataError(
                f"prompt {prompt.tags.get('id', prompt.id)!r} has {length} tokens; with {max_new_tokens} for the answer it "
                f"exceeds the model's {self.max_length}: shorten it, or lower max_new_tokens"
            )
        return length

    def _turn_ids(self, prompt: Prompt, text: str) -> list[int]:
        before = self.prompt_ids(prompt)
        if prompt.next == "assistant":
            messages = [{"role": message.role, "content": message.text} for message in prompt.messages]
            messages.append({"role": "assistant", "content": text})
            whole_text = str(self.tokenizer.apply_chat_template(messages, tokenize=False))
            whole = list(self.tokenizer(whole_text, add_special_tokens=False)["input_ids"])
            after = whole[len(before) :]
            stops = [place for place, token in enumerate(after) if token in self.stop_ids]
            if whole[: len(before)] == before and stops:
                return after[: stops[-1] + 1]
        plain = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return [*plain, self.stop_ids[0]]

    def _without_final_stop(self, ids: list[int]) -> list[int]:
        """Some tokenizers append their end token to any text; a prompt must not end with it."""
        return ids[:-1] if len(ids) > 1 and ids[-1] in self.stop_ids else list(ids)
