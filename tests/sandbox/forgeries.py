"""Programs that solve nothing and try to be passed all the same: one function a trick, each a text for any problem.

The authors of these know our code: they read the server's frames, guess its nonces and write to its pipes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import dedent, indent

__all__ = ["FORGERIES", "Problem", "forged_program"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem with its tests, as its package has it."""

    id: str
    context: str
    entry_point: str
    canonical: str
    test: str


Forgery = Callable[[random.Random], str]
"""The body of the function that answers calls, with `args` and `right` (the right answer's function) in reach."""

_SERVER = """
import sys, os, json, struct
def _server():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "serve":
        frame = frame.f_back
    return frame.f_locals if frame is not None else {"replies": 1, "requests": 0, "message": {"number": 1, "nonce": "0" * 16}}
def _say(**reply):
    data = json.dumps(reply).encode()
    os.write(_server()["replies"], struct.pack(">I", len(data)) + data)
def _said():
    return {key: _server()["message"][key] for key in ("number", "nonce")}
"""

_ANYTHING = """
class Anything(BASE):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __bool__(self): return True
    def __hash__(self): return 0
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __abs__(self): return 0
    def __len__(self): return 0
    def __contains__(self, item): return True
    def __iter__(self): return iter(())
    def __instancecheck__(self, other): return True
"""


def _frame_walk(rng: random.Random) -> str:
    names = rng.sample(["candidate", "check", "expected", "result", "METADATA", "passed", "suite", "session"], 4)
    return f"""
import sys
frame = sys._getframe()
while frame is not None:
    for space in (frame.f_locals, frame.f_globals):
        for name in {names!r}:
            if name in space:
                try:
                    space[name] = lambda *a, **k: None
                except Exception:
                    pass
    frame.f_globals["check"] = lambda candidate: None
    for space in (frame.f_locals, frame.f_globals):
        if isinstance(space.get("result"), list):
            space["result"].insert(0, "passed")
    frame = frame.f_back
return None
"""


def _frame_replaces_comparison(rng: random.Random) -> str:
    return """
import sys
frame = sys._getframe(1)
while frame is not None:
    for key, value in list(frame.f_globals.items()):
        if callable(value) and key in ("check", "_tested", "examine", "judge"):
            frame.f_globals[key] = lambda *a, **k: True
    frame = frame.f_back
"""


def _gc_scan(rng: random.Random) -> str:
    return """
import gc, types
for one in gc.get_objects():
    if isinstance(one, types.FunctionType) and one.__name__ in ("check", "_value", "_checked", "_tested", "judge"):
        one.__code__ = (lambda *a, **k: True).__code__
    if isinstance(one, dict) and "check" in one:
        one["check"] = lambda candidate: None
    if isinstance(one, dict) and isinstance(one.get("result"), list):
        one["result"].insert(0, "passed")
return None
"""


def _gc_expected(rng: random.Random) -> str:
    return """
import gc
for one in gc.get_objects():
    if isinstance(one, (list, tuple)) and len(one) == 2 and one[0] == args:
        return one[1]
    if isinstance(one, str) and "assert" in one:
        return one
return None
"""


def _always_equal(rng: random.Random) -> str:
    return _ANYTHING.replace("BASE", "object") + "return Anything()"


def _subclass(rng: random.Random) -> str:
    return _ANYTHING.replace("BASE", rng.choice(["int", "str", "float", "list", "dict", "tuple", "set", "bytes"])) + "return Anything()"


def _nested_subclass(rng: random.Random) -> str:
    wrap = rng.choice(["[Anything()]", "(Anything(),)", "{'a': Anything()}", "{Anything(): 1}", "[[Anything()], Anything()]"])
    return _ANYTHING.replace("BASE", rng.choice(["int", "str", "float"])) + f"return {wrap}"


def _pretends_its_class(rng: random.Random) -> str:
    return _ANYTHING.replace("BASE", "object") + f"Anything.__class__ = property(lambda self: {rng.choice(['int', 'str', 'list'])})\nreturn Anything()"


def _settrace(rng: random.Random) -> str:
    return """
return None
#LOAD
import dis, sys, threading
def skip(frame, event, argument):
    if frame.f_code.co_name != "check":
        return skip if event == "call" else None
    if event == "line":
        last = max(line for _, line in dis.findlinestarts(frame.f_code))
        if frame.f_lineno < last:
            frame.f_lineno = last
        frame.f_back.f_globals["passed"] = True
        result = frame.f_back.f_globals.get("result")
        if isinstance(result, list):
            result.insert(0, "passed")
    return skip
sys.settrace(skip)
threading.settrace(skip)
"""


def _builtins(rng: random.Random) -> str:
    names = rng.sample(["abs", "all", "any", "isinstance", "len", "sorted", "set", "AssertionError", "type", "float", "int", "list"], 5)
    return f"""
import builtins
for name in {names!r}:
    setattr(builtins, name, (lambda *a, **k: True) if name != "AssertionError" else SystemExit)
return None
#LOAD
import atexit, os, sys
sys.excepthook = lambda *a: os._exit(0)
atexit.register(os._exit, 0)
"""


def _libraries(rng: random.Random) -> str:
    module = rng.choice(["json", "math", "copy", "struct", "random"])
    return f"""
import {module}
for name in dir({module}):
    if not name.startswith("_"):
        try:
            setattr({module}, name, lambda *a, **k: True)
        except Exception:
            pass
return None
"""


def _exit(rng: random.Random) -> str:
    way = rng.choice(["sys.exit(0)", "sys.exit()", "os._exit(0)", "raise SystemExit(0)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 15)", "os.abort()", "exit(0)"])
    return f"import sys, os, builtins\nexit = sys.exit\n{way}"


def _exit_while_loading(rng: random.Random) -> str:
    return "return None\n#LOAD\nimport os, sys\n" + rng.choice(["os._exit(0)", "sys.exit(0)", "raise SystemExit"])


def _printed_replies(rng: random.Random) -> str:
    value = rng.choice(["True", "1", "None", "'ok'"])
    return f"""
return None
#LOAD
import json, os, struct
for number in range(1, {rng.randint(5, 50)}):
    for nonce in ("", "0" * 16, "{rng.getrandbits(64):016x}"):
        data = json.dumps({{"number": number, "nonce": nonce, "value": {value}}}).encode()
        for descriptor in range(1, 12):
            try:
                os.write(descriptor, struct.pack(">I", len(data)) + data)
            except OSError:
                pass
"""


def _twice(rng: random.Random) -> str:
    value = rng.choice(["True", "False", "1", "[]", "'a'"])
    return _SERVER + f"""
for _ in range({rng.randint(1, 4)}):
    _say(**_said(), value={value})
return {value}
"""


def _next_replies(rng: random.Random) -> str:
    return _SERVER + f"""
said = _said()
_say(**said, value=True)
for ahead in range(1, {rng.randint(2, 9)}):
    _say(number=said["number"] + ahead, nonce=said["nonce"], value=True)
"""


def _out_of_order(rng: random.Random) -> str:
    return _SERVER + f"""
said = _said()
_say(number=said["number"] {rng.choice(["+", "-"])} 1, nonce=said["nonce"], value=True)
_say(**said, value=True)
"""


def _verdict_in_reply(rng: random.Random) -> str:
    extra = rng.choice(["passed=True", "kind='pass'", "score=1.0", "verdict={'score': 1.0}", "stopped=None", "value=True, passed=True"])
    return _SERVER + f"_say(**_said(), {extra})"


def _broken_reply(rng: random.Random) -> str:
    reply = rng.choice(
        [
            'b\'{"number":%d,"nonce":"%s","value":NaN}\' % tuple(_said().values())',
            'b\'{"number":%d,"nonce":"%s","value":1e999}\' % (_said()["number"], _said()["nonce"].encode())',
            "b'[' * 100000 + b']' * 100000",
            'b\'{"number":1,"number":2,"nonce":"","value":true}\'',
            "b'\\xff\\xfe' * 10",
            "b'null'",
            "b'{}'",
            "b''",
            "b'pass'",
        ]
    )
    return _SERVER + f"data = {reply}\nos.write(_server()['replies'], struct.pack('>I', len(data)) + data)"


def _broken_frame(rng: random.Random) -> str:
    head = rng.choice(["b'\\xff\\xff\\xff\\xff'", "b'\\x00\\x00\\x00\\x00'", "b'\\x00'", "b'PASS\\n'", "b'\\x00\\x00\\x00\\x10{'", "os.urandom(64)"])
    return _SERVER + f"os.write(_server()['replies'], {head})\nos._exit(0)"


def _marks(rng: random.Random) -> str:
    value = rng.choice(
        [
            "{'t': 5}", "{'d': [[[], 1]]}", "{'s': [[]]}", "{'i': 'zz'}", "{'f': 'nan'}", "{'f': '1e3'}", "{'x': 1}", "{'b': 'xyz'}",
            "{'t': [], 'd': []}", "{}", "{'d': [[1]]}", "{'i': 7}", "{'d': 'ab'}", "{'t': [{'f': 'nan'}]}",
        ]
    )  # fmt: skip
    return _SERVER + f"_say(**_said(), value={value})"


def _large(rng: random.Random) -> str:
    return rng.choice(["return 'x' * 10_000_000", "return [0] * 1_000_000", "return {n: n for n in range(300_000)}", "return 7 ** 3_000_000"])


def _deep(rng: random.Random) -> str:
    return f"deep = []\nfor _ in range({rng.choice([100, 10_000, 100_000])}):\n    deep = [deep]\nreturn deep"


def _not_a_value(rng: random.Random) -> str:
    return rng.choice(
        [
            "return float('nan')", "return [float('nan')]", "return (one for one in ())", "return iter([])", "return object()", "return len",
            "loop = []\nloop.append(loop)\nreturn loop", "loop = {}\nloop[1] = loop\nreturn loop", "return 1j", "return range(3)",
            "return NotImplemented", "return ...", "return type", "return {float('nan'): 1}", "return bytearray(b'a')", "return {}.keys()",
        ]
    )  # fmt: skip


def _mutates(rng: random.Random) -> str:
    return """
for one in args:
    for name in ("clear", "reverse", "sort"):
        if hasattr(one, name):
            try:
                getattr(one, name)()
            except Exception:
                pass
    try:
        one.append(one)
    except Exception:
        pass
return args[0] if args else None
"""


def _raises(rng: random.Random) -> str:
    kinds = [
        "AssertionError", "StopIteration", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "StopAsyncIteration", "Warning",
        "BaseException", "StoppedError", "Unsupported", "CandidateError", "TimeoutError", "BoxClosed", "RefusedValueError", "MemoryError",
        "NotImplementedError", "BrokenPipeError", "EOFError", "Verdict", "Passed",
    ]  # fmt: skip
    kind = rng.choice(kinds)
    return f"""
import builtins
kind = getattr(builtins, {kind!r}, None) or type({kind!r}, (Exception,), {{}})
raise kind({rng.choice(["", "'pass'", "True", "0"])})
"""


def _raised_reply(rng: random.Random) -> str:
    told = rng.choice(["['StopIteration', '']", "['__import__', 'os']", "[1, 2]", "'AssertionError'", "['SystemExit', '0']", "[]", "['open', 'x']"])
    return _SERVER + f"_say(**_said(), raised={told})"


def _first_call_only(rng: random.Random) -> str:
    return "seen = globals().setdefault('_seen', [])\nseen.append(1)\nreturn right(*args, **keywords) if len(seen) == 1 else None"


def _all_but_one(rng: random.Random) -> str:
    return f"seen = globals().setdefault('_seen', [])\nseen.append(1)\nreturn object() if len(seen) == {rng.randint(1, 2)} else right(*args, **keywords)"


def _reads_tests(rng: random.Random) -> str:
    return """
import glob, linecache, os, sys, inspect
texts = [*map(str, sys.argv), str(dict(os.environ)), str(list(linecache.cache.values()))]
for pattern in ("/in/*", "/proc/self/cmdline", "/proc/1/cmdline", "/proc/*/environ", "/proc/self/fd/*", "/tmp/*", "/work/*", "./*"):
    for name in glob.glob(pattern)[:50]:
        try:
            if "/fd/" not in name:
                with open(name, "rb") as file:
                    texts.append(file.read(100_000).decode("latin-1"))
        except OSError:
            pass
frame = sys._getframe()
while frame is not None:
    try:
        texts.append(inspect.getsource(frame))
    except (OSError, TypeError):
        pass
    frame = frame.f_back
for text in texts:
    for line in text.splitlines():
        if "assert candidate" in line and repr(args)[1:-1].rstrip(",") in line:
            return eval(line.partition("==")[2])
return None
"""


def _says_pass(rng: random.Random) -> str:
    said = rng.choice(["PASS", "passed", "OK", '{"score": 1.0}', "All tests passed", "1.0"])
    return f"""
import os, sys
print({said!r}, flush=True)
sys.stderr.write({said!r})
for descriptor in (1, 2, 3, 4, 5, 6):
    try:
        os.write(descriptor, {said!r}.encode())
    except OSError:
        pass
return None
"""


def _server_patched(rng: random.Random) -> str:
    value = rng.choice(["True", "{'t': []}", "message['arguments'][0] if message['arguments'] else None"])
    return f"""
import sys
main = sys.modules["__main__"]
frame = sys._getframe()
while frame is not None and frame.f_code.co_name != "serve":
    frame = frame.f_back
space = frame.f_globals if frame is not None else vars(main)
space["_reply"] = lambda message, work: space["pack"]({{"number": message["number"], "nonce": message["nonce"], "value": {value}}})
space["encode"] = lambda value: True
"""


def _nonce_prophecy(rng: random.Random) -> str:
    return """
import random, secrets
random.seed(0)
secrets.token_hex = lambda size: "0" * 2 * size
return None
"""


def _fork(rng: random.Random) -> str:
    return """
import os
try:
    os.fork()
except OSError:
    pass
return True
"""


def _thread(rng: random.Random) -> str:
    return _SERVER + """
import threading
replies, said = _server()["replies"], _said()
def flood():
    for number in range(said["number"], said["number"] + 20):
        data = json.dumps({"number": number, "nonce": said["nonce"], "value": True}).encode()
        os.write(replies, struct.pack(">I", len(data)) + data)
for _ in range(3):
    threading.Thread(target=flood, daemon=True).start()
return True
"""


def _reads_ahead(rng: random.Random) -> str:
    return _SERVER + """
os.set_blocking(_server()["requests"], False)
try:
    more = os.read(_server()["requests"], 65536)
except BlockingIOError:
    more = b""
_say(**_said(), value=True)
for text in more.split(b"nonce"):
    _say(number=_said()["number"] + 1, nonce=text[3:19].decode("latin-1"), value=True)
"""


def _closes_pipe(rng: random.Random) -> str:
    return _SERVER + rng.choice(["os.close(_server()['replies'])", "os.close(_server()['requests'])\nreturn None", "os.closerange(0, 50)"])


def _constant(rng: random.Random) -> str:
    return "return " + rng.choice(["float('inf')", "-float('inf')", "10 ** 400", "''", "b''", "()", "frozenset()", "{}", "-0.0", "'\\ud800'", "object"])


def _entry_is_no_function(rng: random.Random) -> str:
    kind = rng.choice(["type('T', (), {'__call__': lambda self, *a: self, '__eq__': lambda s, o: True})()", "1", "None", "type", "print"])
    return f"return None\n#LOAD\nENTRY = {kind}"


def _collisions(rng: random.Random) -> str:
    return f"return {{n * (2 ** 61 - 1): 0 for n in range({rng.choice([500, 1000, 2000, 9000])})}}"


FORGERIES: Mapping[str, Forgery] = {
    "53 frame walk": _frame_walk,
    "53 frame walk, comparison": _frame_replaces_comparison,
    "54 gc scan": _gc_scan,
    "54 gc scan for what is expected": _gc_expected,
    "55 always equal": _always_equal,
    "55 class that pretends to be plain": _pretends_its_class,
    "56 trace": _settrace,
    "57 builtins": _builtins,
    "57 libraries": _libraries,
    "58 subclass": _subclass,
    "58 subclass inside": _nested_subclass,
    "59 exit in the call": _exit,
    "59 exit while loading": _exit_while_loading,
    "60 printed replies": _printed_replies,
    "61 reply twice": _twice,
    "61 replies to the next calls": _next_replies,
    "61 replies out of order": _out_of_order,
    "62 large value": _large,
    "62 deep value": _deep,
    "63 no value": _not_a_value,
    "64 mutated arguments": _mutates,
    "65 exceptions": _raises,
    "65 exceptions in the reply": _raised_reply,
    "66 right once": _first_call_only,
    "66 wrong once": _all_but_one,
    "67 reads the tests": _reads_tests,
    "68 says PASS": _says_pass,
    "verdict in the reply": _verdict_in_reply,
    "broken reply": _broken_reply,
    "broken frame": _broken_frame,
    "false marks": _marks,
    "patched server": _server_patched,
    "guessed nonces": _nonce_prophecy,
    "two processes answer": _fork,
    "threads answer": _thread,
    "reads ahead": _reads_ahead,
    "closed pipe": _closes_pipe,
    "extreme constants": _constant,
    "no function": _entry_is_no_function,
    "colliding keys": _collisions,
}
"""By name, with the number of TRUST's list where it has one."""


def forged_program(name: str, problem: Problem, rng: random.Random) -> str:
    """The program of one attempt."""
    body, _, load = FORGERIES[name](rng).partition("#LOAD\n")
    right = problem.canonical.replace(f"def {problem.entry_point}(", "def right(")
    answer = f"def {problem.entry_point}(*args, **keywords):\n{indent(dedent(body).strip() or 'pass', '    ')}\n"
    return f"{right}\n\n{answer}\n{load.replace('ENTRY', problem.entry_point)}"
