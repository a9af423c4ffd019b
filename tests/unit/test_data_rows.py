from __future__ import annotations

import datetime
import decimal
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.data import read_rows
from sharpen.data.fields import DataRow
from sharpen.errors import DataError
from sharpen.types import Message, Text, user


def one(**row: object) -> DataRow:
    return read_rows([row]).rows[0]


def message(role: str, content: object, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


ASKED = [message("system", "Be brief."), message("user", "2 + 2?")]
ANSWER = message("assistant", "4")


def roles(row: DataRow) -> list[tuple[str, str]]:
    return [(m.role, m.text) for m in row.prompt.messages]


def test_a_text_prompt_is_one_user_message() -> None:
    assert one(prompt="2 + 2?").prompt == user("2 + 2?")


def test_conversations_are_read_in_both_shapes() -> None:
    expected = [("system", "Be brief."), ("user", "2 + 2?")]
    assert roles(one(prompt=ASKED)) == roles(one(messages=ASKED)) == expected
    ended = one(messages=[*ASKED, ANSWER])
    assert (roles(ended), ended.completion) == (expected, "4")
    parts = [{"type": "text", "text": "2 + "}, {"type": "text", "text": "2?"}]
    assert one(prompt=[message("user", parts)]).prompt == user("2 + 2?")
    assert one(prompt=[message("user", "2 + 2?", tool_calls=None, name=None)]).prompt == user("2 + 2?")


def test_given_answers_are_read_as_text_or_messages() -> None:
    assert (
        one(prompt="q", completion="a").completion == one(prompt="q", completion=[message("assistant", "a")]).completion == "a"
    )
    pair = one(prompt="q", chosen="a", rejected="b")
    assert (pair.chosen, pair.rejected, pair.completion) == ("a", "b", None)
    shared = one(chosen=[*ASKED, ANSWER], rejected=[*ASKED, message("assistant", "5")])
    assert (roles(shared), shared.chosen, shared.rejected) == (roles(one(prompt=ASKED)), "4", "5")


def test_raw_prompts_are_gone_on_from() -> None:
    row = read_rows([{"prompt": "Once upon"}], raw=True).rows[0]
    assert row.prompt.next == "raw"
    assert row.prompt.id != one(prompt="Once upon").prompt.id
    with pytest.raises(DataError, match="a raw prompt is one text"):
        read_rows([{"prompt": ASKED}], raw=True)


@pytest.mark.parametrize(("value", "text"), [("4", "4"), (4, "4"), (-1.5, "-1.5"), (None, None), (10**30, "1" + "0" * 30)])
def test_a_target_is_text_or_a_number(value: object, text: str | None) -> None:
    assert one(prompt="q", target=value).prompt.target == text


def test_options_are_a_list_of_labels_also_in_a_csv_cell(tmp_path: Path) -> None:
    assert one(prompt="q", options=["yes", "no"], target="no").prompt.options == ("yes", "no")
    table = tmp_path / "a.csv"
    table.write_text('prompt,options\nq,"[""yes"", ""no""]"\n')
    assert read_rows(table).rows[0].prompt.options == ("yes", "no")


def test_other_columns_become_tags_and_nothing_is_lost() -> None:
    row = one(
        prompt="q",
        id=7,
        level=3,
        hard=True,
        share=0.5,
        absent=None,
        steps=["a", {"b": 1}],
        when=datetime.date(2020, 1, 2),
        price=decimal.Decimal("1.50"),
    )
    assert row.prompt.tags == {
        "id": "7",
        "level": 3,
        "hard": True,
        "share": 0.5,
        "steps": '["a", {"b": 1}]',
        "when": "2020-01-02",
        "price": "1.50",
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "q"}, "no 'prompt' and no 'messages'.*columns={'prompt': 'question'}"),
        ({"promt": "q"}, "columns={'prompt': 'promt'}"),
        ({"xyz": "q"}, "columns={'prompt': 'NAME'}"),
        ({}, "no 'prompt' and no 'messages'"),
        ({"prompt": None}, "no 'prompt' and no 'messages'"),
        ({"prompt": ""}, "is empty"),
        ({"prompt": "  \n"}, "is empty"),
        ({"prompt": 5}, "is neither text nor a list of messages"),
        ({"prompt": []}, "is neither text nor a list of messages"),
        ({"prompt": ["a"]}, "holds str where a message"),
        ({"prompt": [message("tool", "x")]}, "has role 'tool'"),
        ({"prompt": [message("user", None)]}, "is NoneType, not text"),
        ({"prompt": [message("user", [{"type": "image"}])]}, "content of kind 'image'"),
        ({"prompt": [message("user", "x", tool_calls=[1])]}, "a message has 'tool_calls'"),
        ({"prompt": [message("user", "x"), ANSWER]}, "does not end with the user"),
        ({"messages": [ANSWER]}, "does not end with the user"),
        ({"messages": [message("system", "x")]}, "does not end with the user"),
        ({"prompt": "q", "messages": ASKED}, "both 'prompt' and 'messages'"),
        ({"messages": [*ASKED, ANSWER], "completion": "4"}, "ends with an answer and another is given"),
        ({"prompt": "q", "completion": ""}, "is empty"),
        ({"prompt": "q", "completion": [message("user", "a")]}, "ends with user"),
        ({"prompt": "q", "chosen": "a"}, "has 'chosen' alone"),
        ({"prompt": "q", "rejected": "a"}, "has 'rejected' alone"),
        ({"prompt": "q", "completion": "a", "chosen": "a", "rejected": "b"}, "'completion' beside 'chosen'"),
        ({"chosen": [*ASKED, ANSWER], "rejected": [message("user", "other"), ANSWER]}, "differ before the answer"),
        ({"prompt": "q", "target": True}, "'target': is bool"),
        ({"prompt": "q", "target": ["a"]}, "'target': is list"),
        ({"prompt": "q", "options": "yes"}, "not a JSON list"),
        ({"prompt": "q", "options": ["yes"]}, "two different labels"),
        ({"prompt": "q", "options": ["yes", "yes"]}, "two different labels"),
        ({"prompt": "q", "options": ["yes", ""]}, "not a list of texts"),
        ({"prompt": "q", "options": ["yes", "no"], "target": "maybe"}, "is none of the options"),
        ({"prompt": "q", "id": 1.5}, "an id is text or a whole number"),
        ({"prompt": "q", "id": ""}, "is empty, longer than 200"),
        ({"prompt": "q", "id": "a\nb"}, "not printable"),
        ({"prompt": "q", "id": "x" * 201}, "longer than 200"),
        ({"prompt": "q", "picture": b"\x89PNG"}, "column 'picture': holds bytes"),
        ({"prompt": "q", "picture": {"bytes": b"\x89PNG"}}, "column 'picture': holds bytes"),
        ({"prompt": float("nan")}, "holds nan"),
        ("text", "holds str, not an object"),
    ],
)
def test_a_row_that_cannot_be_used_is_one_sentence(row: object, words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        read_rows([{"prompt": "fine"}, row])  # type: ignore[list-item]
    assert str(raised.value).startswith("row 2")
    assert "\n" not in str(raised.value)


def test_columns_map_our_names_to_theirs() -> None:
    row = {"question": "2 + 2?", "answer": 4, "prompt_id": "a"}
    found = read_rows([row], {"prompt": "question", "target": "answer", "id": "prompt_id"}).rows[0].prompt
    assert (found.text, found.target, found.tags) == ("2 + 2?", "4", {"id": "a"})
    assert read_rows([{"prompt": "q", "target": "1"}], {"target": "target"}).rows[0].prompt.target == "1"


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"no column 'anwser' for 'target'; it has \['answer', 'prompt'\]; did you mean 'answer'\?"
    ):
        read_rows([{"prompt": "q", "answer": "1"}], {"target": "anwser"})
    with pytest.raises(ValueError, match=r"columns maps 'goal', which is none of prompt, "):
        read_rows([{"prompt": "q"}], {"goal": "x"})
    with pytest.raises(ValueError, match=r"'answer', which is none of .*; did you mean 'target'\?"):
        read_rows([{"prompt": "q"}], {"answer": "x"})
    with pytest.raises(DataError, match="has 'target', and columns maps 'answer' to it"):
        read_rows([{"prompt": "q", "target": "1", "answer": "2"}], {"target": "answer"})


def test_an_answer_column_is_never_guessed_but_hinted_at() -> None:
    rows = read_rows([{"prompt": "q", "answer": "1"}])
    assert rows.rows[0].prompt.target is None
    assert rows.rows[0].prompt.tags == {"answer": "1"}
    with pytest.raises(DataError, match=r"row 1: has no target .* if 'answer' holds it, say columns={'target': 'answer'}"):
        read_rows([{"prompt": "q", "answer": "1"}], targets=True)
    with pytest.raises(DataError, match=r"add a column 'target'"):
        read_rows([{"prompt": "q"}], targets=True)
    assert read_rows([{"prompt": "q", "target": "1"}], targets=True).prompts


def test_duplicate_ids_are_refused_with_both_places() -> None:
    with pytest.raises(DataError, match=r"row 3: id '1' is that of row 1 too"):
        read_rows([{"prompt": "a", "id": 1}, {"prompt": "b", "id": "2"}, {"prompt": "c", "id": "1"}])


def test_a_repeated_prompt_is_dropped_and_counted() -> None:
    rows = read_rows([{"prompt": "a", "target": "1"}, {"prompt": "a", "target": "1"}, {"prompt": "b", "target": "1"}])
    assert [row.where for row in rows.rows] == ["row 1", "row 3"]
    assert rows.dropped == {"repeated row": 1}
    assert rows.source["num_rows"] == 3


def test_a_repeated_prompt_with_another_target_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 2: asks the same as row 1 \('a'\) with the target '2' instead of '1'"):
        read_rows([{"prompt": "a", "target": "1"}, {"prompt": "a", "target": "2"}])
    with pytest.raises(DataError, match=r"row 3: asks the same as row 1"):
        read_rows([{"prompt": "a", "target": "1", "completion": "x"}, {"prompt": "a"}, {"prompt": "a", "target": "2"}])


def test_a_target_that_one_row_gives_holds_for_all_rows_of_its_prompt() -> None:
    rows = read_rows([{"prompt": "a", "completion": "x"}, {"prompt": "a", "target": "1", "completion": "y"}])
    assert [row.prompt.target for row in rows.rows] == ["1", "1"]
    assert len(rows.prompts) == 1


def test_the_same_prompt_may_have_many_given_answers() -> None:
    rows = read_rows([{"prompt": "a", "completion": c} for c in ("x", "y", "x")])
    assert [row.completion for row in rows.rows] == ["x", "y"]
    assert rows.dropped == {"repeated row": 1}
    assert len(rows.prompts) == 1


def test_pairs_of_equal_texts_teach_nothing_and_are_counted() -> None:
    pairs = [{"prompt": "a", "chosen": "x", "rejected": "x"}, {"prompt": "a", "chosen": "x", "rejected": "y"}]
    rows = read_rows(pairs)
    assert rows.dropped == {"chosen equals rejected": 1}
    with pytest.raises(DataError, match="in all 1 rows of rows the chosen text equals"):
        read_rows(pairs[:1])


def test_the_source_says_which_file_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a"}\n')
    rows = read_rows(str(path))
    assert rows.name == "mine"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert rows.source == {"file": str(path), "sha256": sha256, "num_rows": 1}


TEXTS = st.sampled_from(["a", "b", "c", "d", "e"])
ROW = st.fixed_dictionaries({"prompt": TEXTS}, optional={"completion": TEXTS}) | st.fixed_dictionaries(
    {"prompt": TEXTS, "chosen": TEXTS, "rejected": TEXTS}
)


@given(st.lists(ROW, min_size=1, max_size=30))
def test_every_row_is_kept_or_counted(table: list[Mapping[str, object]]) -> None:
    try:
        rows = read_rows(table)
    except DataError as error:
        assert "chosen text equals" in str(error)
        return
    assert len(rows.rows) + sum(rows.dropped.values()) == len(table) == rows.source["num_rows"]
    kept = [(row.prompt.id, row.completion, row.chosen, row.rejected) for row in rows.rows]
    assert len(set(kept)) == len(kept)
    shuffled = read_rows(table[::-1])
    assert sorted(map(str, kept)) == sorted(str((r.prompt.id, r.completion, r.chosen, r.rejected)) for r in shuffled.rows)
    assert shuffled.dropped == rows.dropped


def test_a_message_is_what_the_rest_of_the_program_takes() -> None:
    assert one(prompt=ASKED).prompt.messages[0] == Message(role="system", content=(Text(text="Be brief."),))
