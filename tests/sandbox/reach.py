"""Programs that reach for what is outside: secrets, files, the network, the kernel."""

from __future__ import annotations

from tests.sandbox.abuse import Abuse, ended, refused

REACH: list[Abuse] = [
    refused(
        27,
        "environment",
        """
        spot(repr(os.environ))
        def read(path):
            with open(path) as file:
                spot(file.read())
        for place in ("1", "self", str(os.getppid()), str(A["host"])):
            try:
                read(f"/proc/{place}/environ")
            except OSError as error:
                print("refused:", error)
        """,
        outside=True,
    ),
    refused(
        28,
        "home and passwords",
        """
        for path in (A["home"] + "/file", "/etc/shadow", os.path.expanduser("~/.netrc"), "/root/.ssh/id_rsa", "/home"):
            try:
                spot(open(path).read())
                print("read", path)
            except OSError as error:
                print("refused:", error)
        """,
        outside=True,
    ),
    refused(
        29,
        "every process looked at",
        """
        try:
            for place in os.listdir("/proc"):
                for name in ("environ", "cmdline", "maps"):
                    try:
                        spot(open(f"/proc/{place}/{name}").read())
                    except (OSError, UnicodeDecodeError):
                        pass
        except OSError as error:
            print("refused:", error)
        """,
        outside=True,
    ),
    refused(
        30,
        "the root of another process",
        """
        for place in ("1", str(os.getppid()), str(A["host"]), "self"):
            try:
                spot(open(f"/proc/{place}/root{A['home']}/file").read())
            except OSError as error:
                print("refused:", error)
        """,
        outside=True,
    ),
    refused(
        31,
        "inherited files",
        """
        for number in range(3, 4096):
            try:
                os.fstat(number)
            except OSError:
                continue
            reached(f"descriptor {number}")
        print("refused: no descriptor is open")
        """,
        outside=True,
    ),
    refused(
        32,
        "the kernel's own files",
        """
        open("/dev/null").close()
        for path in ("/dev/kmsg", "/proc/kcore", "/dev/mem", "/dev/port", "/proc/kallsyms"):
            attempt(path, lambda: open(path, "rb"))
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/sys/kernel/uevent_helper"):
            attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)))
        """,
    ),
    refused(
        33,
        "written outside",
        """
        attempt("a new file", lambda: open(A["target"] + "/new", "w"))
        attempt("a file", lambda: open(A["target"] + "/file", "w").write("spoilt"))
        for place in ("/", "/usr", "/etc", "/dev", "/box", "/lib"):
            if not A["outside"]:
                attempt(place, lambda: open(place + "/new", "w"))
        """,
        outside=True,
    ),
    refused(
        34,
        "links",
        """
        place = A["target"] if A["outside"] else "/tmp"
        os.symlink(A["target"] + "/file", place + "/link")
        os.symlink(A["home"] + "/file", place + "/secret")
        attempt("written", lambda: open(place + "/link", "w").write("spoilt"))
        try:
            spot(open(place + "/secret").read())
        except OSError as error:
            print("refused:", error)
        try:
            os.link(sys.executable, place + "/hard")
        except OSError as error:
            print("refused:", error)
        """,
        outside=True,
    ),
    refused(
        35,
        "up and out",
        """
        way = "../" * 40 + A["target"].lstrip("/")
        attempt("written", lambda: open(way + "/file", "w").write("spoilt"))
        here = os.open("/", os.O_RDONLY)
        attempt("from a folder", lambda: os.close(os.open(way + "/file", os.O_WRONLY, dir_fd=here)))
        """,
        outside=True,
    ),
    refused(
        36,
        "out of the root",
        """
        attempt("chroot", lambda: os.chroot("/tmp"))
        unknown("pivot_root", {"x86_64": 155, "aarch64": 41}[A["machine"]], b"/tmp", b"/tmp")
        """,
    ),
    refused(
        37,
        "mounts",
        """
        numbers = {"x86_64": (165, 166, 428, 429, 430, 442), "aarch64": (40, 39, 428, 429, 430, 442)}[A["machine"]]
        mount, umount, *newer = numbers
        unknown("remount", mount, b"none", b"/", None, 0x20, None)
        unknown("proc", mount, b"proc", b"/tmp", b"proc", 0, None)
        unknown("umount", umount, b"/tmp", 2)
        for number in newer:
            unknown(f"call {number}", number, -1, None, 0, None, 0)
        """,
    ),
    refused(
        38,
        "namespaces",
        """
        unshare, setns, clone, clone3 = {"x86_64": (272, 308, 56, 435), "aarch64": (97, 268, 220, 435)}[A["machine"]]
        for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000):
            unknown(f"unshare {flag:x}", unshare, flag)
            unknown(f"clone {flag:x}", clone, flag | signal.SIGCHLD, 0, 0, 0, 0)
        unknown("setns", setns, 0, 0)
        unknown("clone3", clone3, None, 0)
        """,
    ),
    refused(
        39,
        "programs of other users",
        """
        found = []
        for top in ("/usr", "/bin", "/sbin", "/opt"):
            for folder, _, names in os.walk(top):
                for name in names:
                    try:
                        if os.lstat(os.path.join(folder, name)).st_mode & 0o6000:
                            found.append(name)
                    except OSError:
                        pass
        if found:
            reached(repr(found))
        attempt("another user", lambda: os.setuid(0 if not A["outside"] else os.getuid()))
        """,
        outside=True,
    ),
    refused(
        40,
        "devices made",
        "attempt('a disk', lambda: os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0)))\nattempt('memory', lambda: os.mknod('/tmp/mem', 0o20666, os.makedev(1, 1)))",
    ),
    refused(
        41,
        "loopback",
        """
        attempt("IPv4", lambda: socket.create_connection(("127.0.0.1", A["port"]), 2))
        attempt("IPv6", lambda: socket.socket(socket.AF_INET6))
        attempt("a datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
        """,
        outside=True,
    ),
    refused(
        42,
        "local sockets",
        """
        attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect(A["abstract"]))
        attempt("path", lambda: socket.socket(socket.AF_UNIX).connect(A["path"]))
        """,
        outside=True,
    ),
    refused(
        43,
        "other sockets",
        """
        for family in (40, socket.AF_NETLINK, 17, 38, 16, 29, 31):
            attempt(f"family {family}", lambda: socket.socket(family, socket.SOCK_RAW if family != 38 else socket.SOCK_SEQPACKET, 0))
        """,
        outside=True,
    ),
    refused(
        44,
        "System V and POSIX objects",
        """
        for number in {"x86_64": (29, 64, 68, 240), "aarch64": (194, 190, 186, 180)}[A["machine"]]:
            unknown(f"call {number}", number, 0, 1, 0, None)
        """,
        outside=True,
    ),
    refused(
        45,
        "keys",
        """
        for number in {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[A["machine"]]:
            unknown(f"call {number}", number, None, None, None, 0, 0)
        """,
        outside=True,
    ),
    refused(
        46,
        "other processes' memory",
        """
        for number in {"x86_64": (101, 310, 311, 312, 438), "aarch64": (117, 270, 271, 272, 438)}[A["machine"]]:
            unknown(f"call {number}", number, 16 if number in (101, 117) else 1, 1, 0, 0, 0, 0)
        """,
        outside=True,
    ),
    refused(
        47,
        "calls with a history",
        """
        numbers = {"x86_64": (425, 321, 298, 323, 317, 206, 300), "aarch64": (425, 280, 241, 282, 277, 0, 262)}[A["machine"]]
        for number in numbers:
            unknown(f"call {number}", number, None, None, 0, 0, 0)
        """,
        outside=True,
    ),
    refused(
        48,
        "the terminal",
        """
        import fcntl
        for place in ("/dev/tty", "/dev/console", "/dev/ptmx", "/dev/tty0"):
            attempt(place, lambda: open(place))
        for number in (0x5412, 0x541C):
            attempt(hex(number), lambda: fcntl.ioctl(0, number, b"x"))
        """,
    ),
    refused(
        49,
        "host name and clock",
        """
        attempt("name", lambda: socket.sethostname("owned"))
        attempt("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
        """,
    ),
    refused(
        50,
        "control groups",
        """
        for place in ("/sys/fs/cgroup", "/sys", "/proc", "/run"):
            attempt(place, lambda: os.listdir(place))
        """,
        outside=True,
    ),
    ended(
        91,
        "another numbering of system calls",
        "syscall(0x40000000 + 39)\nreached('the x32 calls')",
        "killed",
        code=-31,
        machines=("x86_64",),
    ),
    refused(
        92,
        "what is lying about",
        """
        if sorted(os.listdir("/dev")) != ["null", "random", "shm", "urandom"]:
            reached(repr(os.listdir("/dev")))
        if os.listdir("/tmp") or os.listdir("/dev/shm"):
            reached("files of somebody else")
        import glob
        for found in glob.glob("/usr/lib/python3*/*-packages/*") + glob.glob(os.path.dirname(os.__file__) + "/*-packages/*"):
            reached(found)
        attempt("packages", lambda: os.listdir("/usr/share"))
        """,
        outside=True,
    ),
    refused(
        93,
        "the pipe to whoever runs the boxes",
        """
        import gc
        ends = [found for found in gc.get_objects() if isinstance(found, socket.socket)]
        frame = sys._getframe()
        while frame is not None:
            ends += [found for found in (*frame.f_locals.values(), *frame.f_globals.values()) if isinstance(found, socket.socket)]
            frame = frame.f_back
        for end in ends:
            attempt("an answer of its own", lambda: end.send(b'0 1'))
        print("refused:", len(ends), "sockets")
        """,
    ),
    refused(
        94,
        "device calls on what it has",
        """
        import fcntl
        for number in (0x5410, 0x540E, 0x8008, 0x80086601, 0x40086602, 0xC0105820, 0x5459):
            attempt(hex(number), lambda: fcntl.ioctl(1, number, b"\\0" * 64))
        """,
    ),
    Abuse(
        number=95,
        name="handles of files",
        body="""
        for number in {"x86_64": (303, 304), "aarch64": (264, 265)}[A["machine"]]:
            unknown(f"call {number}", number, -100, b"/", None, None, 0)
        """,
        code=0,
        finishes=True,
        outside=True,
    ),
    Abuse(
        number=96,
        name="the machine's own switches",
        body="""
        calls = {
            "x86_64": {"log": 103, "accounting": 163, "swap": 167, "watch": 300, "pages": 256, "clock": 305},
            "aarch64": {"log": 116, "accounting": 89, "swap": 224, "watch": 262, "pages": 238, "clock": 266},
        }[A["machine"]]
        unknown("log", calls["log"], 9, None, 0)
        unknown("accounting", calls["accounting"], b"/nowhere/file")
        unknown("swap", calls["swap"], b"/nowhere/file", 0)
        unknown("watch", calls["watch"], 0, 0)
        unknown("pages", calls["pages"], 0, 64, b"\\0" * 8, b"\\0" * 8)
        unknown("clock", calls["clock"], -1, None)
        """,
        code=0,
        finishes=True,
        outside=True,
    ),
]
