"""What passes between a pool and its workers: frames of JSON behind a length, never a pickle."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

from sharpen.types import Completion, Message, Prompt, Segment, Text
from sharpen.verifiers.verdicts import Verdict

__all__ = ["MAX_REPLY", "Frames", "decode_pair", "decode_verdict", "encode_pair", "encode_verdict", "frame", "read_frame"]

_HEAD = struct.Struct(">I")
MAX_REPLY = 1 << 20  # bytes; a longer reply is no verdict of ours

JSON = Mapping[str, Any]  # Any: decoded JSON


def frame(message: JSON | list[Any]) -> bytes:  # Any: plain JSON
    """The bytes of one message."""
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return _HEAD.pack(len(data)) + data


def read_frame(descriptor: int) -> Any:  # Any: decoded JSON
    """The next message, or None where the other side is gone."""
    head = _read(descriptor, _HEAD.size)
    data = None if head is None else _read(descriptor, _HEAD.unpack(head)[0])
    return None if data is None else _message(data)


def _message(data: bytes) -> Any:  # Any: decoded JSON
    return json.loads(data.decode("utf-8", "surrogatepass"))


def _read(descriptor: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Frames:
    """Bytes as they arrive, cut into messages."""

    def __init__(self, max_size: int) -> None:
        self._bytes = bytearray()
        self._max_size = max_size

    def feed(self, data: bytes) -> list[Any]:  # Any: decoded JSON
        """The messages that are complete with these bytes.

        Raises:
            ValueError: what arrived is no message; the stream cannot be read on.
        """
        self._bytes += data
        found: list[Any] = []
        while len(self._bytes) >= _HEAD.size:
            size = _HEAD.unpack_from(self._bytes)[0]
            if size > self._max_size:
                raise ValueError(f"a frame announces {size} bytes; {self._max_size} are allowed")
            if len(self._bytes) < _HEAD.size + size:
                break
            found.append(_message(bytes(self._bytes[_HEAD.size : _HEAD.size + size])))
            del self._bytes[: _HEAD.size + size]
        return found


def encode_pair(prompt: Prompt, completion: Completion) -> list[Any]:  # Any: plain JSON
    """A prompt and a completion as plain JSON; nothing of them is lost."""
    messages = [[message.role, [part.text for part in message.content]] for message in prompt.messages]
    segments = [[s.source, s.token_ids, s.logprobs, s.weight, s.turn] for s in completion.segments]
    c = completion
    return [
        [messages, prompt.next, prompt.target, prompt.options, dict(prompt.tags), prompt.parents],
        [segments, c.text, c.finish, c.prompt_id, c.checkpoint, c.index, c.seed, c.temperature, c.truncated, c.parents],
    ]


def decode_pair(pair: list[Any]) -> tuple[Prompt, Completion]:  # Any: decoded JSON
    """What `encode_pair` was given: equal, and nobody else's."""
    (messages, next_, target, options, tags, parents), (segments, text, finish, prompt_id, *rest) = pair
    checkpoint, index, seed, temperature, truncated, completion_parents = rest
    prompt = Prompt(
        messages=tuple(Message(role=role, content=tuple(Text(text=part) for part in parts)) for role, parts in messages),
        next=next_,
        target=target,
        options=None if options is None else tuple(options),
        tags=tags,
        parents=tuple(parents),
    )
    completion = Completion(
        segments=tuple(
            Segment(
                source=source,
                token_ids=tuple(token_ids),
                logprobs=None if logprobs is None else tuple(logprobs),
                weight=weight,
                turn=turn,
            )
            for source, token_ids, logprobs, weight, turn in segments
        ),
        text=text,
        finish=finish,
        prompt_id=prompt_id,
        checkpoint=checkpoint,
        index=index,
        seed=seed,
        temperature=temperature,
        truncated=truncated,
        parents=tuple(completion_parents),
    )
    return prompt, completion


def encode_verdict(number: int, verdict: Verdict) -> JSON:
    """A verdict with the number of the pair that it is about."""
    return {
        "number": number,
        "score": verdict.score,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "seconds": verdict.seconds,
    }


def decode_verdict(message: Any, number: int) -> Verdict:  # Any: decoded JSON, from a process that foreign code shares
    """The verdict on the pair of that number.

    Raises:
        ValueError: the message is something else.
    """
    if not isinstance(message, dict) or message.get("number") != number:
        raise ValueError(f"the worker replied {str(message)[:80]!r} where the verdict on pair {number} was due")
    score, reason, detail, seconds = (message.get(key) for key in ("score", "reason", "detail", "seconds"))
    plain = isinstance(score, (float, type(None))) and isinstance(reason, (str, type(None)))
    if not plain or not isinstance(detail, (str, type(None))) or not isinstance(seconds, (float, int)):
        raise ValueError(f"the worker replied {str(message)[:80]!r}, which is no verdict")
    if score is not None and not 0.0 <= score <= 1.0:
        raise ValueError(f"the worker replied with score {score}, which is outside [0, 1]")
    return Verdict(score=score, reason=reason, detail=detail, seconds=float(seconds))
