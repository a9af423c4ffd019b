"""Programs that want to outlive their end, or to end others."""

from __future__ import annotations

from tests.sandbox.abuse import BENIGN, Abuse, ended, refused

LIFETIME: list[Abuse] = [
    Abuse(
        number=21,
        name="daemon",
        body="""
        if not os.fork():
            os.setsid()
            if not os.fork():
                for number in range(3): os.close(number)
                time.sleep(600)
            os._exit(0)
        os.wait()
        print("refused: nothing yet")
        """,
        code=0,
        finishes=True,
    ),
    Abuse(
        number=22,
        name="daemon that holds the pipe",
        body="""
        if not os.fork():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.setsid()
            time.sleep(600)
        print("refused: nothing yet")
        """,
        code=0,
        finishes=True,
        limits=BENIGN,
        seconds=0.0,
    ),
    Abuse(
        number=23,
        name="everyone killed",
        body="""
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError as error:
            print("refused:", error)
        print("refused: survived it")
        """,
        code=0,
        finishes=True,
    ),
    Abuse(
        number=24,
        name="parent and first process killed",
        body="""
        for target in (os.getppid(), 1):
            os.kill(target, signal.SIGKILL)
        time.sleep(0.2)
        os.kill(1, 0)
        print("refused: it is still there")
        """,
        code=0,
        finishes=True,
    ),
    Abuse(
        number=25,
        name="parent stopped",
        body="""
        for number in (signal.SIGSTOP, signal.SIGTSTP):
            os.kill(os.getppid(), number)
        print("refused: nothing to be seen of it")
        """,
        code=0,
        finishes=True,
        seconds=0.0,
    ),
    refused(
        26,
        "limits raised",
        """
        import resource
        for name in ("AS", "CPU", "FSIZE", "NPROC", "NOFILE", "CORE", "MEMLOCK", "MSGQUEUE", "SIGPENDING"):
            kind = getattr(resource, "RLIMIT_" + name)
            attempt(name, lambda: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)), (OSError, ValueError))
        """,
    ),
    Abuse(
        number=69,
        name="the first process made sick",
        body="""
        import fcntl
        for number in range(1, 65):
            try:
                os.kill(1, number)
            except OSError:
                pass
        ends = os.pipe()
        fcntl.fcntl(ends[0], fcntl.F_SETOWN, 1)
        fcntl.fcntl(ends[0], 10, signal.SIGKILL)  # F_SETSIG
        fcntl.fcntl(ends[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(ends[1], b"x")
        time.sleep(0.1)
        os.kill(1, 0)
        print("refused: it is still there")
        """,
        code=0,
        finishes=True,
    ),
    refused(
        84,
        "limits of the first process lowered",
        """
        import resource
        target = os.getpid() if A["outside"] else 1
        attempt("files", lambda: resource.prlimit(target, resource.RLIMIT_NOFILE, (64, 64)))
        attempt("time", lambda: resource.prlimit(target, resource.RLIMIT_CPU, (100, 100)))
        """,
        outside=True,
    ),
    refused(
        85,
        "priorities and processors",
        """
        target = 0 if A["outside"] else 1
        attempt("affinity", lambda: os.sched_setaffinity(target, os.sched_getaffinity(0)))
        attempt("scheduler", lambda: os.sched_setscheduler(target, os.SCHED_BATCH, os.sched_param(0)))
        attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, target, 19))
        attempt("priority of the user", lambda: os.setpriority(os.PRIO_USER, 0, 19))
        """,
        outside=True,
    ),
    ended(
        86,
        "always on the run",
        """
        for _ in range(4):
            if not os.fork():
                while True:
                    try:
                        if os.fork():
                            os._exit(0)
                        os.setsid()
                    except OSError:
                        time.sleep(0.001)
        time.sleep(0.3)
        print("refused: nothing yet")
        """,
        "exited",
        "timeout",
    ),
    Abuse(
        number=87,
        name="core file",
        body="""
        import resource
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
        except (OSError, ValueError) as error:
            print("refused:", error)
        os.chdir("/tmp")
        if not os.fork():
            os.abort()
        _, status = os.wait()
        if os.WCOREDUMP(status) or os.listdir("/tmp"):
            reached("a core file")
        """,
        code=0,
        finishes=True,
    ),
    refused(
        88,
        "process settings",
        """
        library = ctypes.CDLL(None, use_errno=True)
        def prctl(*arguments):
            if library.prctl(*arguments):
                raise OSError(ctypes.get_errno(), "prctl")
        attempt("subreaper", lambda: prctl(36, 1, 0, 0, 0))
        attempt("dumpable", lambda: prctl(4, 1, 0, 0, 0))
        attempt("a filter of its own", lambda: prctl(22, 2, 0, 0, 0) if not A["outside"] else None)
        """,
        outside=True,
    ),
    Abuse(
        number=89,
        name="a new interpreter in its place",
        body="""
        sys.stdout.flush()
        program = "import os; print('refused:', os.path.exists(%r), flush=True); print('finished', flush=True)" % A["home"]
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", program])
        """,
        code=0,
        finishes=True,
    ),
    Abuse(
        number=90,
        name="time in a child that is waited for",
        body="""
        while True:
            if not os.fork():
                until = time.process_time() + 0.2
                while time.process_time() < until: pass
                os._exit(0)
            os.wait()
        """,
        endings=frozenset({"timeout"}),
    ),
]
