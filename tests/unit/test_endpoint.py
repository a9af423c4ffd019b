"""A served model: what a user may write, where a request may go, what a reply must be, and what shows of a key."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import socket
import sqlite3
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sharpen.calls import Request, Sampling
from sharpen.endpoint import Account, EndpointRuntime, parse_served
from sharpen.endpoint.account import ACCOUNT, Answer, damage_in_account, spending_in
from sharpen.endpoint.address import place_of
from sharpen.endpoint.asking import Asking, Patience
from sharpen.endpoint.pace import Pace, back_off
from sharpen.endpoint.secret import Secret, secret_of
from sharpen.endpoint.wire import Reply, asked, read_reply
from sharpen.errors import LedgerError, ModelError
from sharpen.types import Completion, Message, Prompt, Segment, Text, user

LOCAL = "endpoint:m@http://127.0.0.1:9/v1"
JSON = {"content-type": "application/json"}


def test_a_spec_says_who_is_asked_where_and_how() -> None:
    found = parse_served(
        "endpoint:org/a:b@c@HTTPS://API.Example.org:444/v1/,key=K_1,input=0.15,output=0.6,at_once=3,private=yes"
    )
    assert (found.model, found.url, found.key) == ("org/a:b@c", "https://api.example.org:444/v1", "K_1")
    assert (found.input, found.output, found.at_once, found.private) == (Decimal("0.15"), Decimal("0.6"), 3, True)
    assert found.cost(1_000_000, 1_000_000) == 750_000_000_000  # 0.75 dollars, exactly
    assert (
        parse_served(LOCAL).id
        == parse_served(f"{LOCAL},at_once=2,input=1,output=1").id
        != parse_served("endpoint:n@http://127.0.0.1:9/v1").id
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("endpoint:m", "is written endpoint:MODEL@URL"),
        ("endpoint:m@ftp://h/v1", "is written endpoint:MODEL@URL"),
        ("endpoint:m@http://user:sk-secret@h/v1", "has a user, a query or a fragment"),
        ("endpoint:m@http://h/v1?key=sk-secret", "has a user, a query or a fragment"),
        ("endpoint:m@http://h:99999/v1", "cannot be read"),
        (f"{LOCAL},key=sk-secret", "takes the name of an environment variable"),
        (f"{LOCAL},sk-secret", "has a dial that is none of"),
        (f"{LOCAL},sk-secret=1", "has a dial that is none of"),
        (f"{LOCAL},at_once=2,at_once=3", "takes at_once=VALUE, once"),
        (f"{LOCAL},at_once=two", "has at_once='two', which cannot be read"),
        (f"{LOCAL},at_once=0", "at_once is 0; it is at least 1"),
        (f"{LOCAL},input=1", "only one of the prices"),
        (f"{LOCAL},input=-1,output=1", "at least 0, of six decimals"),
        (f"{LOCAL},input=0.0000001,output=1", "six decimals at most"),
        (f"{LOCAL},input=nan,output=1", "at least 0, of six decimals"),
        (f"{LOCAL},timeout=0", "timeout is 0.0"),
        (f"{LOCAL},limit=n", "it is one of max_tokens, max_completion_tokens"),
    ],
)
def test_a_wrong_spec_is_refused_in_words_that_repeat_no_key(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parse_served(spec)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "255.255.255.255",
        "[::169.254.169.254]",
        "[::ffff:0:169.254.169.254]",
        "169.254.0.1",
        "168.63.129.16",
    ],
)
def test_addresses_of_metadata_and_of_no_host_are_refused_always(host: str) -> None:
    with pytest.raises(ModelError, match="is not asked: its host stands for"):
        place_of(parse_served(f"endpoint:m@http://{host}/v1,private=yes"))


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name stand for these addresses; the names that are looked up."""
    asked_for: list[str] = []

    def looked_up(host: str, port: int, **_: Any) -> list[Any]:
        asked_for.append(host)
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return asked_for


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), ("127.0.0.1",), ("8.8.8.8", "192.168.0.1"), ("::1",), ("::ffff:10.0.0.1",)]
)
def test_a_name_for_this_machine_or_a_private_network_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    named(monkeypatch, *addresses)
    with pytest.raises(ModelError, match="this machine or a private network; write the address itself, or add private=yes"):
        place_of(parse_served("endpoint:m@http://models.example.org/v1"))
    assert place_of(parse_served("endpoint:m@http://models.example.org/v1,private=yes")).host == "models.example.org"


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "017700000001"])
def test_other_spellings_of_this_machine_count_as_names(host: str) -> None:
    with pytest.raises(ModelError, match=r"stands for 127\.0\.0\.1|cannot be found"):
        place_of(parse_served(f"endpoint:m@http://{host}/v1"))


def test_a_name_is_looked_up_once_and_its_address_is_then_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = named(monkeypatch, "93.184.216.34")
    place = place_of(parse_served("endpoint:m@https://models.example.org/v1"))
    assert asked_for == ["models.example.org"]
    assert (place.url, place.host) == ("https://93.184.216.34:443/v1/chat/completions", "models.example.org")
    assert (place.name, place.is_local) == ("models.example.org", False)
    assert place_of(parse_served("endpoint:m@http://[::1]:80/v1")).url == "http://[::1]:80/v1/chat/completions"
    assert place_of(parse_served(LOCAL)).is_local
    named(monkeypatch, "64:ff9b::5db8:d822")  # the same address, as a network without version 4 writes it
    assert not place_of(parse_served("endpoint:m@https://models.example.org/v1")).is_local


def test_a_key_goes_over_plain_http_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "sk-canary-123")
    model = EndpointRuntime(parse_served("endpoint:m@http://8.8.8.8/v1,key=K"))
    with pytest.raises(ModelError, match="plain http, for everybody between to read; use https"):
        model.load(model.base).generate([Request(prompt=user("a"))], Sampling())
    assert model.account.spending.attempts == 0


def test_a_key_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "sk-canary-123")
    secret = secret_of("K")
    assert secret() == "sk-canary-123"
    assert "canary" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert "canary" not in secret.hidden_in("Incorrect API key provided: sk-canar***")
    assert secret.hidden_in("the model is not there") == "the model is not there"
    for text, message in (("", "is not set"), ("sk-a\nX: 1", "so it is no key"), ("sk a", "so it is no key")):
        monkeypatch.setenv("K", text)
        with pytest.raises(ModelError, match=message):
            secret_of("K")
    assert repr(Secret("ab")) == "Secret(...)"


def said(**changes: Any) -> bytes:
    choice = {"message": {"content": "four"}, "finish_reason": "stop", **changes.pop("choice", {})}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}, **changes}).encode()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (said(), Reply(text="four", tokens=(3, 1))),
        (said(choice={"finish_reason": "length"}), Reply(text="four", cut=True, tokens=(3, 1))),
        (
            said(choice={"message": {"content": [{"type": "text", "text": "fo"}, {"text": "ur"}]}}),
            Reply(text="four", tokens=(3, 1)),
        ),
        (said(usage=None), Reply(text="four")),
        (said(usage={"prompt_tokens": True, "completion_tokens": 1}), Reply(text="four")),
        (said(usage={"prompt_tokens": 3, "completion_tokens": 1.0}), Reply(text="four")),
        (said(usage={"prompt_tokens": 10**15, "completion_tokens": 1}), Reply(text="four")),
        (said(choice={"finish_reason": None}), Reply(kind="parse", reason="no finish reason: half an answer", tokens=(3, 1))),
        (
            said(choice={"finish_reason": "tool_calls"}),
            Reply(kind="parse", reason="a finish reason that is not known", tokens=(3, 1)),
        ),
        (said(choice={"message": {"content": 4}}), Reply(kind="parse", reason="the content is no text", tokens=(3, 1))),
        (said(choice={"message": {"content": "\ud800"}}), Reply(kind="parse", reason="the content is no text", tokens=(3, 1))),
        (said(choice={"message": {"content": None}}), Reply(kind="content", reason="empty", tokens=(3, 1))),
        (said(choice={"message": None}), Reply(kind="parse", reason="no message in it", tokens=(3, 1))),
        (said(choices={}), Reply(kind="parse", reason="no choices in it", tokens=(3, 1))),
        (b"[]", Reply(kind="parse", reason="no choices in it")),
        (b'{"choices": [NaN]}', Reply(kind="parse", reason="no valid JSON")),
        (b'{"choices": [' + b"9" * 9999 + b"]}", Reply(kind="parse", reason="no valid JSON")),
        (b"[" * 100_000, Reply(kind="parse", reason="no valid JSON")),
        (b'{"choices": "\xff"}', Reply(kind="parse", reason="no valid JSON")),
        (b"", Reply(kind="parse", reason="no valid JSON")),
    ],
)
def test_a_reply_is_a_whole_answer_or_a_fault_with_a_name(body: bytes, wanted: Reply) -> None:
    assert read_reply(200, JSON, body) == wanted


@pytest.mark.parametrize(
    ("status", "headers", "body", "wanted"),
    [
        (429, {"retry-after": "7"}, b"", Reply(kind="transport", reason="status 429", charge="none", wait=7.0)),
        (429, {"retry-after": "soon"}, b"", Reply(kind="transport", reason="status 429", charge="none")),
        (500, {}, b"", Reply(kind="transport", reason="status 500", charge="unknown")),
        (
            302,
            {"location": "http://else"},
            b"",
            Reply(kind="transport", reason="302, a redirect, which is never followed", charge="none"),
        ),
        (
            401,
            {},
            b'{"error": {"message": "sk-x"}}',
            Reply(kind="content", reason="401, the key is not accepted", charge="none", again=False, fatal=True),
        ),
        (
            400,
            {},
            b'{"error": {"message": "too\\u0007 long"}}',
            Reply(kind="content", reason="status 400: too  long", charge="none", again=False),
        ),
        (422, {}, b"<html>", Reply(kind="content", reason="status 422: no reason given", charge="none", again=False)),
    ],
)
def test_a_refusal_is_no_answer(status: int, headers: dict[str, str], body: bytes, wanted: Reply) -> None:
    assert read_reply(status, headers, body) == wanted


def test_other_forms_of_reply_are_refused() -> None:
    assert read_reply(200, {"content-type": "text/event-stream"}, said()).reason == "wrong content type"
    assert read_reply(200, {**JSON, "content-encoding": "gzip"}, said()).reason == "packed, which was not asked for"
    date = read_reply(429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")
    assert date.wait == 0.0


def test_what_it_cannot_do_is_refused_and_nothing_is_left_out() -> None:
    served, sampling = parse_served(LOCAL), Sampling(max_new_tokens=5, stop=("a",), temperature=0.5, top_p=0.9)
    body = json.loads(asked(served, Request(prompt=user("hé"), seed=1, index=2), sampling).body)
    seed = body.pop("seed")
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hé"}],
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a"],
    }
    keys = {asked(served, Request(prompt=user("hé"), seed=a, index=b), sampling).key for a in (1, 2) for b in (1, 2)}
    assert len(keys) == 4
    assert json.loads(asked(served, Request(prompt=user("x"), seed=1, index=2), sampling).body)["seed"] == seed
    other = asked(parse_served(f"{LOCAL},limit=max_completion_tokens"), Request(prompt=user("hé")), Sampling(max_new_tokens=7))
    assert json.loads(other.body)["max_completion_tokens"] == other.most_output == 7
    raw = Prompt(messages=(Message(role="user", content=(Text(text="a"),)),), next="raw")
    partial = Completion(segments=(Segment(token_ids=(1,)),), text="a", finish="partial", prompt_id="p")
    for request, how, message in (
        (Request(prompt=raw), sampling, "conversations alone"),
        (Request(prompt=user("a"), partial=partial), sampling, "cannot go on from a partial answer"),
        (Request(prompt=user("a")), Sampling(top_k=3), "top_k is 3, which this interface does not take"),
        (Request(prompt=user("a")), Sampling(stop=("a", "b", "c", "d", "e")), "5 stop strings"),
    ):
        with pytest.raises(ModelError, match=message):
            asked(served, request, how)


def test_it_generates_and_does_nothing_else() -> None:
    model = EndpointRuntime(parse_served(LOCAL))
    policy = model.load(model.base)
    assert model.capabilities == {"generate", "chat"}
    for call in (lambda: policy.score([]), lambda: policy.options([]), lambda: policy.embed([])):
        with pytest.raises(ModelError, match="neither log-probabilities nor vectors"):
            call()
    for call in (lambda: model.average({}, "", model.load), lambda: model.export(model.base, Path())):  # type: ignore[arg-type, return-value]
        with pytest.raises(ModelError, match="is a served model, which cannot be"):
            call()
    with pytest.raises(ValueError, match="and m@http://127.0.0.1:9/v1 has no prices"):
        EndpointRuntime(parse_served(LOCAL), account=Account(max_cost=1.0))


def test_an_account_sets_aside_before_and_knows_after(tmp_path: Path) -> None:
    path = tmp_path / "run" / "served.sqlite"
    account = Account(path, max_cost=1e-10)  # 100 picodollars
    first, second = account.reserve("a", "e", 60), account.reserve("b", "e", 40)
    assert account.reserve("c", "e", 1) is None
    assert first is not None
    assert second is not None
    account.settle(first, "charged", 10, tokens=(1, 2))
    assert account.spent == 50
    assert account.reserve("c", "e", 51) is None
    third = account.reserve("c", "e", 50)
    assert third is not None
    with pytest.raises(AssertionError, match="settled twice"):
        account.settle(first, "free", 0)
    account.keep("a", "e", Answer(text="x", finish="given"))
    account.keep("b", "e", Answer(text="content: empty", finish="failed"))
    account.close()  # as if it was stopped here: two attempts have no end
    assert dict(Account(path).answers(["a", "b", "c"])) == {"a": Answer(text="x", finish="given")}
    reopened = Account(path, max_cost=1e-10)
    assert reopened.spent == 100
    assert reopened.reserve("d", "e", 1) is None
    found = reopened.spending
    assert (found.answered, found.failed, found.attempts, found.charged, found.assumed) == (1, 1, 3, 10, 90)
    assert found.faults == {("transport", "stopped before its end"): 2}
    reopened.close()
    assert spending_in(path.parent) == found
    assert spending_in(tmp_path) is None
    for bad in ({"max_cost": 0.0}, {"max_hours": -1.0}):
        with pytest.raises(ValueError, match="it is above 0"):
            Account(**bad)


def _spent(path: Path) -> Account:
    account = Account(path)
    for key in ("a", "b"):
        attempt = account.reserve(key, "e", 60)
        assert attempt is not None
        account.settle(attempt, "charged", 40, tokens=(3, 4))
        account.keep(key, "e", Answer(text=f"answer {key}", finish="given"))
    account.close()
    return account


def _change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(statement).rowcount == 1
    database.close()


def test_a_damaged_answer_is_taken_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / ACCOUNT
    account = _spent(path)
    assert damage_in_account(tmp_path) == []
    _change(path, "UPDATE answers SET text = 'answer B' WHERE key = 'b'")
    assert damage_in_account(tmp_path) == [f"{ACCOUNT}: answers: 1 of its rows do not match their checksums"]
    assert list(dict(account.answers(["a", "b"]))) == ["a"]
    found = account.spending
    assert (found.answered, found.charged, found.damaged, found.as_json()["damaged"]) == (1, 80, 1, 1)
    assert "1 answers were damaged on the disk and are asked again" in str(found)
    account.close()
    assert damage_in_account(tmp_path) == []
    assert account.spending.damaged == 1, "once, however often it is opened"


@pytest.mark.parametrize(
    "change", ["text = CAST(text AS BLOB)", "finish = CAST(finish AS BLOB)", "input = CAST(X'ff' AS TEXT)"]
)
def test_an_answer_of_another_type_is_damaged(tmp_path: Path, change: str) -> None:
    account = _spent(tmp_path / ACCOUNT)
    _change(tmp_path / ACCOUNT, f"UPDATE answers SET {change} WHERE key = 'a'")
    assert list(dict(account.answers(["a", "b"]))) == ["b"]
    assert account.spending.damaged == 1


def test_a_damaged_index_of_answers_costs_no_answer_and_no_spending(tmp_path: Path) -> None:
    path = tmp_path / ACCOUNT
    account = _spent(path)
    bits = path.read_bytes()
    with sqlite3.connect(path) as database:
        page, size = (
            database.execute(statement).fetchone()[0]
            for statement in (
                "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_answers_1'",
                "PRAGMA page_size",
            )
        )
    database.close()
    index = bytearray(bits[(page - 1) * size : page * size])
    index[index.rindex(b"b")] = ord("z")
    path.write_bytes(bits[: (page - 1) * size] + index + bits[page * size :])
    assert any("answers: SQLite says" in one for one in damage_in_account(tmp_path))
    assert list(dict(account.answers(["a", "b"]))) == ["a", "b"]
    assert (account.spending.damaged, account.spent) == (0, 80)
    account.close()
    assert damage_in_account(tmp_path) == []


def test_a_file_without_its_tables_is_damaged(tmp_path: Path) -> None:
    account = _spent(tmp_path / ACCOUNT)
    with sqlite3.connect(tmp_path / ACCOUNT) as database:
        database.execute("DROP TABLE totals")
    database.close()
    assert damage_in_account(tmp_path) == [f"{ACCOUNT}: totals: it has none of the tables that its format has"]
    with pytest.raises(LedgerError, match="none of the tables"):
        account.reserve("c", "e", 1)


def test_a_file_that_is_no_database_is_damage_too(tmp_path: Path) -> None:
    _spent(tmp_path / ACCOUNT)
    (tmp_path / ACCOUNT).write_bytes(b"x" * 5000)
    (sentence,) = damage_in_account(tmp_path)
    assert "cannot be read or written" in sentence


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE attempts SET cost = 4 WHERE key = 'a'", "attempts: 1 of its rows"),
        ("UPDATE attempts SET reason = 'x' WHERE key = 'a'", "attempts: 1 of its rows"),
        ("UPDATE totals SET spent = 8", "totals: 1 of its rows"),
        ("UPDATE totals SET seconds = 8", "totals: 1 of its rows"),
        ("UPDATE attempts SET outcome = CAST(outcome AS BLOB) WHERE key = 'a'", "attempts: 1 of its rows"),
        ("UPDATE attempts SET cost = CAST(CAST('~' AS BLOB) AS TEXT) WHERE key = 'a'", "attempts: 1 of its rows"),
        ("DELETE FROM attempts WHERE key = 'a'", "totals: 80 picodollars were spent, and the attempts cost 40"),
    ],
)
def test_nothing_is_spent_where_it_cannot_be_told_what_was(tmp_path: Path, statement: str, told: str) -> None:
    account = _spent(tmp_path / ACCOUNT)
    _change(tmp_path / ACCOUNT, statement)
    with pytest.raises(LedgerError, match=f"{told}.*move the file away to begin at 0") as held:
        account.reserve("c", "e", 1)
    with sqlite3.connect(tmp_path / ACCOUNT, timeout=0) as database:
        database.execute("BEGIN IMMEDIATE")
    database.close()
    assert held.value, "an error that is held on to holds no lock"


def test_an_account_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / ACCOUNT
    account = _spent(path)
    with sqlite3.connect(path) as database:  # as the first version wrote it
        for table in ("answers", "attempts", "totals"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN seal")
        database.execute("ALTER TABLE totals DROP COLUMN damaged")
        database.execute("PRAGMA user_version = 0")
    database.close()
    before = spending_in(tmp_path)
    assert before is not None
    assert (before.charged, before.damaged, damage_in_account(tmp_path)) == (80, 0, [])
    assert dict(account.answers(["a"])) == {"a": Answer(text="answer a", finish="given")}
    account.close()
    assert spending_in(tmp_path) == before
    _change(path, "UPDATE totals SET seconds = 8")
    assert damage_in_account(tmp_path), "it has checksums now"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    assert damage_in_account(tmp_path)[0].endswith("its format is numbered 9, and what it holds is of format 2")
    with pytest.raises(LedgerError, match="by a newer sharpen .format 9, this one knows 2.; update sharpen"):
        Account(path).reserve("c", "e", 1)


def test_a_count_above_what_was_set_aside_stops_all(tmp_path: Path) -> None:
    served = parse_served(f"{LOCAL},input=1,output=1")
    account = Account(max_cost=1.0)
    asking = Asking(served=served, account=account, patience=Patience(), pace=Pace(), tell=lambda one, answer: None)
    one = asked(served, Request(prompt=user("a")), Sampling(max_new_tokens=4))

    async def settled() -> None:
        asking._stopping, asking._settled = asyncio.Event(), asyncio.Event()
        attempt = account.reserve(one.key, served.id, served.cost(one.most_input, one.most_output))
        assert attempt is not None
        asking._settle(attempt, one, Reply(text="x", tokens=(5000, 4)), None)

    asyncio.run(settled())
    assert "counts 5000 tokens read and 4 written where" in str(asking._error)
    assert account.spent == served.cost(5000, 4)


def test_turns_are_even_and_a_pause_holds_all_back() -> None:
    pace = Pace(per_minute=600)
    assert pace.turn(1) == 0
    assert 0.05 < pace.turn(1) <= 0.1
    by_tokens = Pace(tokens_per_minute=6000)
    assert by_tokens.turn(50) == 0
    assert 0.4 < by_tokens.turn(50) <= 0.5
    pace.pause(1e9)
    assert 590 < pace.turn(1) <= 600
    began = time.monotonic()
    waits = [back_off(tries, 0.5, random.Random(1)) for tries in (1, 2, 3, 99)]
    assert all(low / 2 <= wait <= low for wait, low in zip(waits, (0.5, 1, 2, 30), strict=True))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.16689662", "0xA9.254.43518", "①⑥⑨.254.169.254"]
)
@pytest.mark.parametrize("private", ["", ",private=yes"])
def test_other_spellings_of_a_metadata_address_are_refused_always(host: str, private: str) -> None:
    with pytest.raises(
        (ModelError, ValueError), match=r"stands for 169\.254\.169\.254|cannot be found|is none that can be asked"
    ):
        place_of(parse_served(f"endpoint:m@http://{host}/v1{private}"))


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0", "fd00:ec2::254"]
)
def test_a_name_that_turns_to_a_metadata_address_is_refused_at_the_next_call(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    served = parse_served("endpoint:m@https://models.example.org/v1,private=yes")
    named(monkeypatch, "93.184.216.34")
    assert place_of(served).url.startswith("https://93.184.216.34:443/")
    named(monkeypatch, "93.184.216.34", address)
    with pytest.raises(ModelError, match="is not asked: its host stands for"):
        place_of(served)


def test_proxies_and_credentials_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A request goes to the address that was tested, whatever proxy is set, and takes nothing out of a .netrc."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 401 no\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary-user password canary-pass\n")
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        model = EndpointRuntime(parse_served(f"endpoint:m@http://127.0.0.1:{server.getsockname()[1]}/v1,at_once=1,timeout=20"))
        with pytest.raises(ModelError, match="the key is not accepted"):
            model.load(model.base).generate([Request(prompt=user("a"))], Sampling())
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert seen
    assert seen[0].startswith(b"POST /v1/chat/completions ")
    assert b"canary" not in seen[0]
    assert b"authorization" not in seen[0].lower()
