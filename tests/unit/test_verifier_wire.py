"""What passes between a pool and its workers: the same comes out, in pieces or whole, and nothing else is believed."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.types import Completion, Message, Prompt, Segment, Text
from sharpen.verifiers.verdicts import Verdict
from sharpen.verifiers.wire import Frames, decode_pair, decode_verdict, encode_pair, encode_verdict, frame, read_frame

texts = st.text(st.characters() | st.sampled_from("\ud83c\udf0d\ud800"), max_size=30)  # surrogates, in pairs too
floats = st.floats(allow_nan=False, width=64)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant"]),
    content=st.lists(st.builds(Text, text=texts), max_size=3).map(tuple),
)
prompts = st.builds(
    Prompt,
    messages=st.lists(messages, max_size=3).map(tuple),
    next=st.sampled_from(["assistant", "user", "raw"]),
    target=st.none() | texts,
    options=st.none() | st.lists(texts, max_size=3).map(tuple),
    tags=st.dictionaries(texts, st.none() | texts | st.integers() | floats | st.booleans(), max_size=3),
    parents=st.lists(texts, max_size=2).map(tuple),
)
segments = st.lists(st.integers(0, 50_000), max_size=4).flatmap(
    lambda ids: st.builds(
        Segment,
        source=st.sampled_from(["policy", "injected", "environment"]),
        token_ids=st.just(tuple(ids)),
        logprobs=st.none() | st.lists(floats, min_size=len(ids), max_size=len(ids)).map(tuple),
        weight=floats,
        turn=st.integers(0, 5),
    )
)
completions = st.builds(
    Completion,
    segments=st.lists(segments, max_size=3).map(tuple),
    text=texts,
    finish=st.sampled_from(["stop", "length", "partial", "given"]),
    prompt_id=texts,
    checkpoint=st.none() | texts,
    index=st.integers(0, 100),
    seed=st.integers(0, 2**63),
    temperature=floats,
    truncated=st.booleans(),
    parents=st.lists(texts, max_size=2).map(tuple),
)


@given(prompts, completions)
def test_a_pair_comes_back_equal(prompt, completion):
    (sent,) = Frames(1 << 20).feed(frame(encode_pair(prompt, completion)))
    again = decode_pair(sent)
    assert again == (prompt, completion)
    assert [each.id for each in again] == [prompt.id, completion.id]


verdicts = st.one_of(
    st.builds(Verdict, score=st.floats(0, 1), seconds=st.floats(0, 9)),
    st.builds(Verdict, score=st.none(), reason=texts, detail=st.none() | texts),
)


@given(verdicts, st.integers(0, 10**6))
def test_a_verdict_comes_back_equal(verdict, number):
    (sent,) = Frames(1 << 20).feed(frame(encode_verdict(number, verdict)))
    assert decode_verdict(sent, number) == verdict


@given(st.lists(st.lists(texts, max_size=3), max_size=5), st.integers(1, 9))
def test_frames_arrive_whatever_the_pieces(sent, size):
    data = b"".join(map(frame, sent))
    frames = Frames(1 << 20)
    assert [item for at in range(0, len(data), size) for item in frames.feed(data[at : at + size])] == sent


def test_frames_are_read_from_a_pipe_and_end_with_it():
    reading, writing = os.pipe()
    os.write(writing, frame({"a": 1}) + frame([2])[:3])
    os.close(writing)
    assert read_frame(reading) == {"a": 1}
    assert read_frame(reading) is None
    os.close(reading)


@pytest.mark.parametrize(
    "message",
    [
        [],
        None,
        {},
        {"number": 8, "score": 1.0, "reason": None, "detail": None, "seconds": 0.0},
        {"number": 7, "score": "1.0", "reason": None, "detail": None, "seconds": 0.0},
        {"number": 7, "score": 2.0, "reason": None, "detail": None, "seconds": 0.0},
        {"number": 7, "score": float("nan"), "reason": None, "detail": None, "seconds": 0.0},
        {"number": 7, "score": None, "reason": None, "detail": None, "seconds": 0.0},
        {"number": 7, "score": 1.0, "reason": "both", "detail": None, "seconds": 0.0},
        {"number": 7, "score": 1.0, "reason": None, "detail": 5, "seconds": 0.0},
        {"number": 7, "score": 1.0, "reason": None, "detail": None},
    ],
)
def test_nothing_else_is_a_verdict(message):
    with pytest.raises(ValueError):
        decode_verdict(message, 7)


def test_a_frame_that_is_too_long_or_no_json_is_refused():
    with pytest.raises(ValueError, match="allowed"):
        Frames(10).feed(b"\x7f\xff\xff\xff")
    with pytest.raises(ValueError):
        Frames(10).feed(b"\x00\x00\x00\x04junk")
