"""Verifiers in killable processes: what hangs, crashes or lies abstains with a reason, and only where it did so."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import planted_verifiers
import pytest
from planted_verifiers import Longer, here
from test_verifier_functions import write  # noqa: F401  # a fixture
from verifier_builders import answer, pair

from sharpen.errors import VerifierError
from sharpen.types import Segment, user
from sharpen.verifiers import VerifierPool, as_verifier, load_verifier, number, pattern

PLANTED = f"{Path(__file__).with_name('planted_verifiers.py')}:unruly"
COLUMNS = f"{Path(__file__).with_name('planted_verifiers.py')}:columns"


def local(verifier):
    """The same verifier as one that only this process has, so that it is forked."""
    return lambda prompt, completion: verifier(prompt, completion)


@pytest.fixture(params=["spawned", "forked"])
def unruly(request):
    verifier = load_verifier(PLANTED)
    return verifier if request.param == "spawned" else local(verifier)


def told(pool, *texts):
    return [(verdict.score, verdict.reason) for verdict in pool.verify([pair(text) for text in texts])]


def gone(process):
    """Whether a process has ended; waits for it a little."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
    return False


def test_right_and_wrong_in_order(unruly):
    with VerifierPool(unruly) as pool:
        assert told(pool, "right", "wrong", "yes", "right") == [(1.0, None), (0.0, None), (1.0, None), (1.0, None)]
        assert told(pool) == []
        assert pool.abstained == {}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("raise", "raised ZeroDivisionError"),
        ("deep", "raised RecursionError"),
        ("memory", "raised MemoryError"),
        ("interrupt", "raised KeyboardInterrupt"),
        ("sys.exit", "raised SystemExit"),
        ("read", "raised EOFError"),
        ("nan", "returned nan"),
        ("inf", "returned inf"),
        ("text", "returned str"),
        ("list", "returned list"),
        ("high", "returned out of range"),
        ("low", "returned out of range"),
        ("none", "abstained"),
        ("segfault", "crashed SIGSEGV"),
        ("abort", "crashed SIGABRT"),
        ("killed", "crashed SIGKILL"),
        ("exit", "exited 3"),
        ("close", "raised"),
    ],
)
def test_pitfall_23_a_failure_is_an_abstention_with_its_reason_and_the_others_are_judged(unruly, command, reason):
    with VerifierPool(unruly, num_workers=1) as pool:
        before, failed, after = pool.verify([pair("right"), pair(command), pair("wrong")])
    assert (before.score, after.score) == (1.0, 0.0)
    assert failed.score is None
    if command != "close":  # a worker without its pipes cannot say anything
        assert failed.reason == reason
        assert pool.abstained == {reason: 1}


@pytest.mark.parametrize("command", ["hang", "sleep"])
def test_users_19_a_hang_costs_the_pair_that_caused_it_and_no_other(unruly, command):
    with VerifierPool(unruly, num_workers=1, timeout_s=1.0) as pool:
        start = time.monotonic()
        assert told(pool, "right", command, "wrong", "right") == [(1.0, None), (None, "timeout"), (0.0, None), (1.0, None)]
        assert time.monotonic() - start < 30
        assert told(pool, "right") == [(1.0, None)]


def test_pitfall_23_many_failures_of_many_kinds_among_many_pairs():
    commands = ["segfault", "hang", "exit", "raise", "nan", "abort"]
    pairs = [pair(commands[i // 40] if i % 40 == 7 else "right" if i % 2 else "wrong") for i in range(240)]
    with VerifierPool(load_verifier(PLANTED), timeout_s=1.0) as pool:
        verdicts = pool.verify(pairs)
    for (_, completion), verdict in zip(pairs, verdicts, strict=True):
        assert verdict.score == {"right": 1.0, "wrong": 0.0}.get(completion.text)
    assert pool.abstained == {
        "crashed SIGSEGV": 1,
        "timeout": 1,
        "exited 3": 1,
        "raised ZeroDivisionError": 1,
        "returned nan": 1,
        "crashed SIGABRT": 1,
    }


def test_the_detail_says_where():
    with VerifierPool(load_verifier(PLANTED), timeout_s=1.0) as pool:
        raised, hung, died = pool.verify([pair("raise"), pair("hang"), pair("segfault")])
    assert raised.detail.startswith("ZeroDivisionError: division by zero (")
    assert "planted_verifiers.py:" in raised.detail
    assert hung.detail == "no verdict within 1 s"
    assert died.detail == "the process of the verifier ended (crashed SIGSEGV)"


def test_what_dies_of_its_neighbour_is_tried_again():
    """`later` answers and then lets its process die: the pair that is then being judged is not to blame."""
    pairs = [pair("later"), *[pair("right") for _ in range(3000)]]
    with VerifierPool(load_verifier(PLANTED), num_workers=1) as pool:
        verdicts = pool.verify(pairs)
    assert {verdict.score for verdict in verdicts} == {1.0}


def test_a_verifier_that_always_fails_is_given_up():
    with VerifierPool(load_verifier(PLANTED), max_failures=3) as pool:
        verdicts = pool.verify([pair("exit") for _ in range(500)])
        assert pool.abstained["exited 3"] + pool.abstained["given up"] == 500
        assert 3 <= pool.abstained["exited 3"] <= 4
        assert {verdict.score for verdict in verdicts} == {None}
        assert told(pool, "right") == [(1.0, None)]


def test_prints_and_shells_do_not_reach_the_protocol(unruly, tmp_path, capfd):
    log = tmp_path / "printed.txt"
    with VerifierPool(unruly, num_workers=1, log=log) as pool:
        assert told(pool, "right", "shout", "wrong") == [(1.0, None), (1.0, None), (0.0, None)]
    assert "a line for people" in log.read_text(errors="replace")
    assert "echo" not in log.read_text(errors="replace")
    assert "from a shell" in log.read_text(errors="replace")
    with VerifierPool(unruly, num_workers=1) as pool:
        assert told(pool, "shout") == [(1.0, None)]
    assert capfd.readouterr() == ("", "")


def test_junk_in_the_pipe_is_no_verdict(unruly):
    with VerifierPool(unruly, num_workers=1) as pool:
        (right, _), (score, reason), (wrong, _) = told(pool, "right", "junk", "wrong")
        assert (right, wrong) == (1.0, 0.0)
        assert (score, reason) in ((None, "broken reply"), (1.0, None))
        assert told(pool, "right") == [(1.0, None)]


def test_a_child_that_outlives_its_verdict_is_killed_with_the_worker(unruly, tmp_path):
    pids = tmp_path / "pids"
    with VerifierPool(unruly, num_workers=1) as pool:
        prompt, completion = pair("outlive", pids=str(pids))
        assert pool.verify([(prompt, completion)])[0].score == 1.0
        until = time.monotonic() + 10
        while not (pids.exists() and pids.read_text()) and time.monotonic() < until:
            os.sched_yield()
        child = int(pids.read_text())
        assert Path(f"/proc/{child}").exists()
    assert gone(child)


def test_a_fork_that_comes_back_twice_answers_once(unruly):
    with VerifierPool(unruly, num_workers=1) as pool:
        assert told(pool, "fork", "right", "wrong") == [(1.0, None), (1.0, None), (0.0, None)]


def test_a_worker_that_crashes_beside_a_living_child_is_seen_at_once(unruly, tmp_path):
    with VerifierPool(unruly, num_workers=1, timeout_s=60) as pool:
        prompt, completion = pair("outlive", pids=str(tmp_path / "pids"))
        start = time.monotonic()
        verdicts = pool.verify([(prompt, completion), pair("segfault"), pair("right")])
        assert [verdict.score for verdict in verdicts] == [1.0, None, 1.0]
        assert time.monotonic() - start < 30


def test_nothing_is_left_after_closing(unruly, tmp_path):
    pids = tmp_path / "pids"
    descriptors = len(os.listdir("/dev/fd"))
    with VerifierPool(unruly, timeout_s=0.5) as pool:
        for _ in range(2):
            pool.verify([pair("note", pids=str(pids)) for _ in range(8)] + [pair("hang"), pair("exit")])
    assert len(os.listdir("/dev/fd")) == descriptors
    workers = {int(line) for line in pids.read_text().split()}
    assert os.getpid() not in workers
    assert not [process for process in workers if Path(f"/proc/{process}").exists()]  # no zombie either
    pool.close()
    assert told(pool, "right") == [(1.0, None)]
    pool.close()


def slow(prompt, completion):
    time.sleep(0.4)
    return completion.text == "right"


def test_being_stopped_with_all_workers_and_going_on_is_no_timeout():
    """As `docker pause` and a debugger do it; the stop is longer than any limit."""
    with VerifierPool(local(slow), num_workers=2, timeout_s=1.0) as pool:
        pool.verify([pair("right")] * 2)
        others = [worker._process.pid for worker in pool._workers]
        stopped = [os.getpid(), *others]
        child = os.fork()
        if not child:
            time.sleep(0.5)
            for number, pause in ((signal.SIGSTOP, 5), (signal.SIGCONT, 0)):
                for process in stopped:
                    os.kill(process, number)
                time.sleep(pause)
            os._exit(0)
        assert [verdict.score for verdict in pool.verify([pair("right")] * 8)] == [1.0] * 8
        os.waitpid(child, 0)


def test_ctrl_c_leaves_a_pool_that_can_be_used(unruly):
    def stop(number, frame):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, stop)
    try:
        with VerifierPool(unruly, num_workers=1, timeout_s=60) as pool:
            assert told(pool, "right") == [(1.0, None)]
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                pool.verify([pair("right"), pair("sleep")])
            assert told(pool, "wrong", "right") == [(0.0, None), (1.0, None)]
    finally:
        signal.signal(signal.SIGALRM, old)


def test_everything_of_prompt_and_completion_arrives():
    prompt = user(
        "Gr\u00fc\u00dfe \ud83c\udf0d \ud800",
        target="\u4e2d",
        options=("\u4e2d", "b"),
        tags={"a": 1.5, "b": None},
        parents=("p",),
    )
    completion = answer("x" * 1_000_000 + "\u4e2d\udfff", prompt)
    completion = type(completion)(
        segments=(Segment(token_ids=(1, 2), logprobs=(-0.1, -1e-300)), Segment(source="injected", token_ids=(3,), weight=0.0)),
        text=completion.text,
        finish="length",
        prompt_id=prompt.id,
        checkpoint="c",
        index=3,
    )
    wanted = (prompt, completion, prompt.id, completion.id)
    verifier = as_verifier(lambda p, c: (p, c, p.id, c.id) == wanted and os.getpid() != parent)
    parent = os.getpid()
    with VerifierPool(verifier) as pool:
        assert pool.verify([(prompt, completion)] * 3)[2].score == 1.0


def test_huge_texts_pass():
    with VerifierPool(pattern(r"(?P<answer>\w+)$")) as pool:
        huge = "\u4e2d \U0001f30d" * 1_000_000
        verdicts = pool.verify([pair(f"{huge} right"), pair("right"), pair(f"{huge} wrong")])
    assert [verdict.score for verdict in verdicts] == [1.0, 1.0, 0.0]


def leaking(prompt, completion):
    """A verifier that keeps what it allocates; `huge` asks for more than there is."""
    import os

    size = 2**34 if completion.text == "huge" else 48 * 2**20
    KEPT.append(bytearray(os.urandom(1) * size))
    return 1.0


KEPT = []


def test_a_verifier_that_leaks_costs_new_processes_and_no_verdict():
    with VerifierPool(local(leaking), num_workers=1, max_memory=256 * 2**20) as pool:
        verdicts = told(pool, *["leak"] * 12, "huge", *["leak"] * 3)
    assert verdicts == [(1.0, None)] * 12 + [(None, "raised MemoryError")] + [(1.0, None)] * 3


def test_users_19_a_pattern_of_exponential_time_is_cut():
    with VerifierPool(pattern(r"^(a+)+$"), timeout_s=1.0) as pool:
        assert told(pool, "a" * 40 + "b", "aaa", "b") == [(None, "timeout"), (1.0, None), (0.0, None)]


def test_the_shape_of_other_trainers():
    with VerifierPool(load_verifier(COLUMNS)) as pool:
        assert told(pool, "right", "wrong", "tuple") == [(1.0, None), (0.0, None), (1.0, None)]
        assert told(pool, "two", "empty", "text", "number", "nan", "none") == [
            (None, "returned 2 values"),
            (None, "returned 0 values"),
            (None, "returned str"),
            (None, "returned float"),
            (None, "returned nan"),
            (None, "abstained"),
        ]


def test_columns_that_the_rows_lack_are_named():
    with VerifierPool(lambda completions, solution: [1.0]) as pool:
        (verdict,) = pool.verify([pair("x", level="3")])
    assert verdict.reason == "raised TypeError"
    assert "asks for column 'solution', which the rows lack; they have completion_ids, completions, level" in verdict.detail


def test_a_function_of_an_importable_module_is_spawned_and_one_of_this_process_forked():
    planted_verifiers.STATE["right"] = "left"
    try:
        with VerifierPool(here) as pool:  # a new interpreter imports the module anew
            assert told(pool, "right", "left") == [(1.0, None), (0.0, None)]
        with VerifierPool(lambda prompt, completion: here(prompt, completion)) as pool:
            assert told(pool, "right", "left") == [(0.0, None), (1.0, None)]
        with VerifierPool(Longer(4)) as pool:
            assert told(pool, "right", "left") == [(1.0, None), (0.0, None)]
    finally:
        planted_verifiers.STATE["right"] = "right"


def test_forked_workers_hold_none_of_our_locks_and_files(tmp_path):
    path = tmp_path / "lock"
    with VerifierPool(local(load_verifier(PLANTED))) as pool:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert told(pool, "right") == [(1.0, None)]
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_trusted_verifiers_stay_in_this_process_and_still_never_raise():
    with VerifierPool(number()) as pool:
        verdicts = pool.verify([pair("it is 4", "4"), pair("5", "4"), pair("4", None), pair("4", "four")])
        assert [(verdict.score, verdict.reason) for verdict in verdicts] == [
            (1.0, None),
            (0.0, None),
            (None, "abstained"),
            (None, "abstained"),
        ]
        assert pool.abstained == {"abstained": 2}


IN_WORKER = "'sharpen.verifiers.worker' in sys.modules"


@pytest.mark.parametrize(
    ("text", "message", "start_timeout_s"),
    [
        (f"import os, sys\nif {IN_WORKER}: os._exit(4)\n", "exited 4", 60.0),
        (f"import sys, time\nif {IN_WORKER}: time.sleep(600)\n", "not imported within 1 s", 1.0),
        (f"import sys\nif {IN_WORKER}: 1 / 0\n", "ZeroDivisionError: division by zero", 60.0),
        (f"import sys\nif {IN_WORKER}: del check\n", "has no 'check'", 60.0),
    ],
)
def test_a_verifier_that_cannot_start_is_an_error_not_an_abstention(write, monkeypatch, text, message, start_timeout_s):  # noqa: F811
    monkeypatch.delitem(sys.modules, "sharpen.verifiers.worker", raising=False)  # a test that forked has imported it here
    path = write("def check(prompt, completion):\n    return 1.0\n" + text)
    verifier = load_verifier(f"{path}:check")
    with VerifierPool(verifier, start_timeout_s=start_timeout_s) as pool, pytest.raises(VerifierError, match=message):
        pool.verify([pair("x")])


def test_a_file_that_is_edited_meanwhile_is_an_error(write):  # noqa: F811  # the fixture
    path = write("def check(prompt, completion):\n    return 1.0\n")
    verifier = load_verifier(f"{path}:check")
    with VerifierPool(verifier) as pool:
        assert told(pool, "x") == [(1.0, None)]
        path.write_text("def check(prompt, completion):\n    return 0.0\n")
        assert told(pool, "x") == [(1.0, None)]
        pool.close()
        with pytest.raises(VerifierError, match=r"mine\.py was changed after the run had read it"):
            pool.verify([pair("x")])


@pytest.mark.parametrize("bad", [{"num_workers": 0}, {"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"max_failures": -1}])
def test_senseless_limits_are_refused(bad):
    with pytest.raises(ValueError, match="it is more than 0"):
        VerifierPool(number(), **bad)


def test_a_tag_that_is_not_plain_is_the_callers_mistake():
    with VerifierPool(load_verifier(PLANTED)) as pool:
        with pytest.raises(TypeError, match="a tag of prompt 'q7', or of one behind it, is not plain"):
            pool.verify([(user("?", tags={"id": "q7", "bad": object()}), answer("right"))])
        assert told(pool, "right") == [(1.0, None)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_verdicts_do_not_depend_on_the_number_of_workers(workers):
    pairs = [pair(text) for text in ["right", "wrong", "nan", "raise", "yes"] * 30]
    with VerifierPool(load_verifier(PLANTED), num_workers=workers) as pool:
        verdicts = pool.verify(pairs)
    assert [(verdict.score, verdict.reason) for verdict in verdicts[:5]] * 30 == [(v.score, v.reason) for v in verdicts]


def test_two_thousand_verdicts_take_seconds(unruly):
    with VerifierPool(unruly) as pool:
        told(pool, "right")
        start = time.monotonic()
        verdicts = pool.verify([pair("right" if i % 3 else "wrong") for i in range(2000)])
        assert time.monotonic() - start < 20  # measured: 0.3 s on two idle cores
    assert sum(verdict.score for verdict in verdicts) == 1333
    assert all(0 <= verdict.seconds < 5 for verdict in verdicts)


SCRIPT = """
import os
import sys
import sharpen.verifiers as v
from sharpen.types import Completion, user

def check(prompt, completion):
    if completion.text == "hang":
        while True:
            pass
    return completion.text == RIGHT

RIGHT = "right"
print("the script runs")

def said(text):
    return user("?", target="x"), Completion(segments=(), text=text, finish="given", prompt_id="")

with v.VerifierPool(check, timeout_s=1.0, num_workers=1) as pool:
    print([(verdict.score, verdict.reason) for verdict in pool.verify([said("right"), said("hang"), said("wrong")])])
"""


def test_a_function_of_a_script_works_and_the_script_runs_once(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    run = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    assert run.stdout == "the script runs\n[(1.0, None), (None, 'timeout'), (0.0, None)]\n"


def test_users_19_a_hung_worker_ends_though_its_pool_was_killed(tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from sharpen.verifiers import VerifierPool, load_verifier
        from verifier_builders import pair
        with VerifierPool(load_verifier({PLANTED!r}), num_workers=1, timeout_s=2.0) as pool:
            pool.verify([pair("note", pids={str(tmp_path / "pids")!r})])
            print("ready", flush=True)
            pool.verify([pair("hang")])
        """
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "ready\n"
    run.kill()
    run.communicate()
    assert gone(int((tmp_path / "pids").read_text()))


def test_workers_start_without_heavy_imports():
    program = (
        "import sys, sharpen.verifiers.worker\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'pyarrow', 'pydantic', 'sympy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120).stdout == "[]\n"


def test_a_reward_function_of_trl_works_as_it_is():
    half = user("A half?", tags={"solution": r"$\frac{1}{2}$"})
    with VerifierPool(load_verifier("trl.rewards:accuracy_reward"), num_workers=1, start_timeout_s=300, timeout_s=60) as pool:
        verdicts = pool.verify([(half, answer(text)) for text in (r"\boxed{0.5}", r"\boxed{0.6}", "nothing")])
        lacking = pool.verify([pair(r"\boxed{0.5}")])
    assert [verdict.score for verdict in verdicts] == [1.0, 0.0, 0.0]
    assert "asks for column 'solution', which the rows lack" in lacking[0].detail
