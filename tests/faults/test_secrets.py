"""Keys planted in the environment: after a whole run with a served judge they are in no file, log, page or output."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tests.faults.artefacts import files_that_tell

from cli_runs import TINY, sharpen
from sharpen.child_environment import MORE
from sharpen.errors import ModelError
from sharpen.types import Completion, user
from sharpen.verifiers import VerifierPool, load_verifier

KEY = "sk-canary-5f1d7c"
CLOUD = "canary-cloud-93ab"
ALLOWED = "wanted-7e21"


class Gossip(BaseHTTPRequestHandler):
    """A server that repeats the key wherever it can: in answers, in errors, in headers and in status lines."""

    protocol_version = "HTTP/1.1"
    attempts: ClassVar[Counter[str]] = Counter()
    refuses = False
    keys: ClassVar[set[str]] = set()

    def do_POST(self) -> None:  # the name is http.server's
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers.get("Authorization", "")
        type(self).keys.add(key)
        attempts, this = type(self).attempts, self.headers["Idempotency-Key"]
        attempts[this] += 1
        mark = str(int(hashlib.sha256(this.encode()).hexdigest(), 16) % 6)
        choice = {"index": 0, "message": {"role": "assistant", "content": mark}, "finish_reason": "stop"}
        status, said = (
            200,
            {"id": key, "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "debug": key},
        )
        if attempts[this] == 1:
            choice["message"] = {"role": "assistant", "content": f"{mark} {key}"}
        elif attempts[this] == 2:
            status, said = 500, {"error": {"message": f"bad key {key}"}}
        if type(self).refuses:
            status, said = 401, {"error": {"message": f"unknown key {key}"}}
        body = json.dumps(said).encode()
        self.send_response(status, f"echo {key}")
        for name, value in (("Content-Type", "application/json"), ("X-Key", key), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told: object) -> None:
        """Nothing: what is looked through is ours."""


@pytest.fixture
def gossip() -> Iterator[str]:
    Gossip.attempts, Gossip.keys, Gossip.refuses = Counter(), set(), False
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"endpoint:m@http://127.0.0.1:{server.server_port}/v1,key=JUDGE_KEY"
    server.shutdown()
    thread.join()
    server.server_close()


SPY = """
import os, sys
from pathlib import Path

def check(prompt, completion):
    seen = "\\n".join(f"{name}={value}" for name, value in os.environ.items())
    print(seen, file=sys.stderr)
    with Path(__file__).with_name("spied").open("a") as file:
        file.write(seen + Path("/proc/self/environ").read_text())
    return float(completion.text == prompt.target)
"""


def test_no_key_is_anywhere_after_a_run(
    gossip: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"JUDGE_KEY": KEY, "OPENAI_API_KEY": CLOUD, "AWS_SECRET_ACCESS_KEY": CLOUD, "HF_TOKEN": CLOUD}.items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "place"
    place.mkdir()
    (place / "spy.py").write_text(SPY)
    said = []
    sizes = "--num-train 24 --num-gate 24 --num-final 24 --num-prompts 12 --num-samples 4 --rounds 1 --no-controls"
    with caplog.at_level(logging.DEBUG):
        command = f"{TINY} {sizes} --verifier {place / 'spy.py'}:check --judge judge --verdict-from generate"
        run = sharpen(f"run self_rewarding {command} --roles judge={gossip} --out {place / 'run'}")
        said += [run.out, run.err]
        assert run.code == 0, run.err
        for words in ("show", "show --json", "report", "export --out " + str(place / "exported")):
            name, _, more = words.partition(" ")
            told = sharpen(f"{name} {place / 'run'} {more}")
            said += [told.out, told.err]
        said += [repr(one) for one in caplog.records]
    said += [caplog.text, *capfd.readouterr()]
    assert Gossip.keys == {f"Bearer {KEY}"}, "the key was not sent, so nothing was tried"
    assert (place / "spied").stat().st_size > 1000
    assert "repeats the key" in "".join(said) or files_that_tell(place, "repeats the key")
    for secret in (KEY, KEY[-8:], CLOUD):
        assert not any(secret in text for text in said)
        assert files_that_tell(place, secret) == []
    assert files_that_tell(place / "run", "judge"), "what is looked through is not what a run leaves"


def test_a_search_finds_a_key_that_is_there(tmp_path: Path) -> None:
    """The control of the test above: each kind of file is really read."""
    folder, rows = tmp_path / "run", tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{KEY} {number}", "target": "x"}}\n' for number in range(24)))
    sizes = "--num-gate 8 --num-final 8 --num-prompts 8 --num-samples 2 --rounds 1 --no-controls"
    run = sharpen(
        f"run rft {TINY.replace('--task tiny', f'--task {rows}')} --verifier exact {sizes} --max-new-tokens 8 --out {folder}"
    )
    assert run.code == 0, run.err
    assert {path.suffix for path in files_that_tell(folder, KEY)} >= {".parquet", ".html", ".sqlite"}


def test_an_error_shows_no_key_even_with_all_its_variables(gossip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    Gossip.refuses = True
    with pytest.raises(ModelError, match="the key is not accepted") as raised:
        sharpen(f"--debug solve hi --model {gossip}")
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "Secret(...)" in shown
    assert KEY not in shown
    for model in (gossip.replace("JUDGE_KEY", KEY), f"{gossip},key={KEY}", gossip.replace("http://", f"http://u:{KEY}@")):
        told = sharpen(f"solve hi --model {model}")
        assert told.code != 0
        assert KEY not in told.out + told.err


def test_a_verifiers_process_has_no_keys_but_those_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CLOUD)
    monkeypatch.setenv("MY_DATABASE", ALLOWED)
    (tmp_path / "spy.py").write_text(SPY)
    pair = (user("a", target="b"), Completion(segments=(), text="b", finish="given", prompt_id=""))

    def spied(*_: object) -> float:
        with (tmp_path / "spied").open("a") as file:
            file.write(str(dict(os.environ)))
        return 1.0

    for verifier in (load_verifier(f"{tmp_path / 'spy.py'}:check"), spied):
        for more, seen in (("", False), ("MY_DATABASE", True)):
            monkeypatch.setenv(MORE, more)
            with VerifierPool(verifier) as pool:
                assert pool.verify([pair])[0].score == 1.0
            text = (tmp_path / "spied").read_text()
            (tmp_path / "spied").unlink()
            assert CLOUD not in text
            assert (ALLOWED in text) is seen
            assert "PATH" in text
