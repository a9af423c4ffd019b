"""A headless Chromium driven through its DevTools pipe: no driver, no package, nothing but the browser itself."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
WAIT_S = 200.0  # a machine that is busy with other tests is slow to paint
LAUNCH = """import os, sys
pipes = [os.dup(int(pipe)) for pipe in sys.argv[1:3]]  # copies first: the originals may be 3 and 4 themselves
for number, pipe in zip((3, 4), [os.dup(pipe) for pipe in pipes]):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])"""


def find_chromium() -> str | None:
    """The browser's path: `$SHARPEN_CHROMIUM`, or the first that is installed."""
    named = os.environ.get("SHARPEN_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """An open tab, with everything that went wrong in it.

    Attributes:
        problems: uncaught exceptions, console errors, and whatever the browser logged (policy violations among it).
        requests: every address that was asked for.
    """

    process: subprocess.Popen[bytes]
    to_browser: int
    from_browser: int
    session: str = ""
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _buffer: bytes = b""
    _number: int = 0
    _loaded: bool = False

    def call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        """One DevTools command and its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer.get("result", {}))

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, settle: bool = True) -> None:
        """Go to an address and wait until it is loaded and, with `settle`, until its scripts have run and it is painted."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self._loaded = False
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._read()
        if settle:
            self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:  # Any: whatever the expression gives
        """The value of a JavaScript expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def reset(self) -> None:
        """Forget what happened and show an empty page, with scripts allowed."""
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        self.open("about:blank", settle=False)
        self.problems.clear()
        self.requests.clear()

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def press_enter(self) -> None:
        """Press the return key, as a button takes it."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save the page (or what the window shows of it) as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> Mapping[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.from_browser], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self.from_browser, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError(f"the browser {'ended' if ready else f'said nothing for {WAIT_S:.0f} s'}")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: Mapping[str, Any] = json.loads(message)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, method: str, told: Mapping[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.problems.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.problems.append(str(told["args"]))
            case "Log.entryAdded":
                self.problems.append(str(told["entry"]))
            case "Page.javascriptDialogOpening":
                self.problems.append(f"dialog: {told['message']}")
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True


@contextmanager
def browser(chromium: str) -> Iterator[Page]:
    """A tab of a fresh headless browser, ended with the block."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    profile = tempfile.mkdtemp(prefix="sharpen-browser-")
    command = [
        sys.executable,
        "-Sc",
        LAUNCH,
        str(read_commands),
        str(write_answers),
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, pass_fds=(read_commands, write_answers), stdin=quiet, stdout=quiet, stderr=quiet)
    os.close(read_commands)
    os.close(write_answers)
    page = Page(process=process, to_browser=write_commands, from_browser=read_answers)
    try:
        targets = page.call("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        page.session = page.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        process.terminate()
        process.wait(timeout=WAIT_S)
        os.close(write_commands)
        os.close(read_answers)
        shutil.rmtree(profile, ignore_errors=True)
