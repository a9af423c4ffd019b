"""Programs that use up what others need: time, memory, processes, files, output."""

from __future__ import annotations

from dataclasses import replace

from tests.sandbox.abuse import TIGHT, Abuse, ended, refused

_SHORT = replace(TIGHT, wall_seconds=1.0)

AVAILABILITY: list[Abuse] = [
    ended(1, "busy loop", "while True: pass", "timeout"),
    ended(2, "sleep", "time.sleep(600)", "timeout", limits=_SHORT),
    ended(
        3,
        "fork bomb",
        """
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
        """,
        "timeout",
        "memory",
    ),
    ended(
        4,
        "thread bomb",
        """
        import threading
        number = 0
        try:
            while True:
                threading.Thread(target=time.sleep, args=(600,)).start()
                number += 1
        except RuntimeError:
            pass
        if number > 64:
            reached(f"{number} threads")
        time.sleep(600)
        """,
        "timeout",
        limits=_SHORT,
    ),
    ended(5, "memory bomb", "held = []\nwhile True: held.append(bytearray(1 << 20))", "memory"),
    ended(
        6,
        "memory over many processes",
        """
        for _ in range(8):
            if not os.fork():
                held = bytearray(80 << 20)
                for place in range(0, len(held), 4096):
                    held[place] = 1
                time.sleep(600)
        time.sleep(600)
        """,
        "memory",
    ),
    Abuse(
        number=7,
        name="/tmp filled",
        body="""
        total = 0
        try:
            for number in range(1000):
                with open(f"/tmp/{number}", "wb") as file:
                    total += file.write(b"x" * (1 << 20))
        except OSError as error:
            print("refused:", error)
        if total > 4 << 20:
            reached(f"{total} bytes")
        """,
        code=0,
        finishes=True,
    ),
    Abuse(
        number=8,
        name="/dev/shm filled",
        body="""
        total = 0
        try:
            for number in range(1000):
                with open(f"/dev/shm/{number}", "wb") as file:
                    total += file.write(b"x" * (1 << 20))
        except OSError as error:
            print("refused:", error)
        if total > 4 << 20:
            reached(f"{total} bytes")
        """,
        code=0,
        finishes=True,
    ),
    refused(
        9,
        "huge file",
        """
        file = open("/tmp/huge", "wb")
        attempt("a sparse file", lambda: file.truncate(1 << 40))
        attempt("a far end", lambda: os.pwrite(file.fileno(), b"x", 1 << 40))
        attempt("blocks", lambda: os.posix_fallocate(file.fileno(), 0, 1 << 30))
        """,
        outside=False,
    ),
    ended(10, "endless standard output", "while True: print('x' * 1000)", "output"),
    ended(11, "endless standard error", "while True: sys.stderr.write('x' * 1000)", "output"),
    ended(
        12,
        "eight spinning processes",
        """
        for _ in range(3):
            os.fork()
        while True: pass
        """,
        "timeout",
    ),
    ended(
        13,
        "every signal ignored",
        """
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(600)
        """,
        "timeout",
        limits=_SHORT,
    ),
    ended(
        14,
        "deep recursion",
        """
        sys.setrecursionlimit(1 << 30)
        def deeper(step): return deeper(lambda: step())
        deeper(None)
        """,
        "killed",
        "memory",
        "timeout",
    ),
    ended(15, "segmentation fault", "ctypes.string_at(8)", "killed", code=-11),
    ended(16, "growing integer", "number = 3\nwhile True: number *= number", "timeout", "memory"),
    ended(17, "regular expression that backtracks", "re.match(r'(a+)+$', 'a' * 50 + 'b')", "timeout"),
    Abuse(
        number=18,
        name="all file descriptors",
        body="""
        held = []
        try:
            while len(held) < 1000:
                held.append(open("/dev/null"))
            reached("1000 open files")
        except OSError as error:
            print("refused:", error)
        del held
        """,
        code=0,
        finishes=True,
        outside=True,
    ),
    ended(
        19,
        "inode bomb",
        """
        number = 0
        while True:
            open(f"/tmp/{number}", "w").close()
            number += 1
        """,
        "memory",
        "timeout",
    ),
    ended(
        20,
        "compressed bomb",
        """
        import zlib
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
        held = zlib.decompressobj(-15).decompress(block * 64)
        reached(f"{len(held)} bytes")
        """,
        "memory",
        "timeout",
    ),
    Abuse(
        number=51,
        name="control characters, NUL and broken UTF-8",
        body=r"""
        sys.stdout.buffer.write(b"\x1b]0;owned\x07\x1b[2J\x00\xff\xfe\xed\xa0\x80\r\n")
        sys.stderr.buffer.write(b"\x1b[31m\x00\xff")
        print("refused: nothing")
        """,
        code=0,
        finishes=True,
    ),
    Abuse(number=52, name="an end without a word", body="os._exit(0)", code=0),
    refused(
        75,
        "memory of files that nobody sees",
        "attempt('memfd', lambda: os.write(os.memfd_create('x'), b'x'))",
        outside=True,
    ),
    refused(
        76,
        "shared memory that no process shows as its own",
        "import mmap\nattempt('a shared map', lambda: mmap.mmap(-1, 1 << 20).write(b'x'))",
        outside=True,
    ),
    refused(
        77,
        "memory pushed out of sight",
        "import mmap\nheld = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nattempt('pageout', lambda: held.madvise(21))",
        outside=True,
    ),
    Abuse(
        number=78,
        name="memory of sockets and pipes",
        body="""
        total = held = 0
        for _ in range(24):
            if not os.fork():
                break
        pairs = []
        try:
            while True:
                pairs.append(socket.socketpair())
                for end in pairs[-1]:
                    end.setblocking(False)
                    try:
                        while True:
                            total += end.send(bytes(1 << 16))
                    except BlockingIOError:
                        pass
        except OSError:
            print("refused: another pair", flush=True)
        if total * 25 > 256 << 20:
            reached(f"{total} bytes in each of 25 processes")
        time.sleep(0.2)
        os._exit(0)
        """,
        endings=frozenset({"exited", "memory"}),
    ),
    ended(
        79,
        "folders within folders",
        """
        try:
            while True:
                os.mkdir("d")
                os.chdir("d")
        except OSError as error:
            time.sleep(600)
        """,
        "memory",
        "timeout",
        limits=_SHORT,
    ),
    Abuse(
        number=80,
        name="source that breaks compilers",
        body="""
        for text in ("(" * 100000, "-" * 100000 + "1", "a." * 50000 + "b", "[" * 2000 + "]" * 2000):
            try:
                compile(text, "x", "eval")
            except (SyntaxError, MemoryError, RecursionError) as error:
                print("refused:", type(error).__name__)
        """,
        endings=frozenset({"exited", "killed", "memory"}),
    ),
    ended(
        81,
        "memory in bits, by many short lives",
        """
        while True:
            for _ in range(4):
                try:
                    if not os.fork():
                        held = bytearray(40 << 20)
                        if os.fork():
                            os._exit(0)
                except OSError:
                    time.sleep(0.01)
        """,
        "memory",
        "timeout",
    ),
    refused(
        82,
        "the machine's disks made busy",
        "unknown('sync', {'x86_64': 162, 'aarch64': 81}[A['machine']])",
        outside=True,
    ),
    ended(83, "standard output closed, life goes on", "os.close(1)\ntime.sleep(600)", "timeout", limits=_SHORT),
]
