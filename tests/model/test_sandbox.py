"""Programs that nobody has read harm nothing: every kind of mischief is stopped, nothing of it is left, and the next program runs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.sandbox import check_sandbox, run_program
from model.sandboxed import ALLOWED, allow_list
from schemas.errors import RequestError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guards are Linux's")


def processes() -> set[int]:
    """Those that run `sandboxed.py` and are ours, or nobody's any more."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in (1, os.getpid()) and b"sandboxed.py" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_programs_run_to_their_end() -> None:
    assert run_program("import math, re, collections, datetime, decimal, heapq\nassert math.sqrt(4) == 2").passed
    assert run_program("def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nassert f(15) == 610").passed
    assert run_program("assert __name__ == '__main__'\nassert '北京'[0] == '北'").passed


@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("assert 1 == 2", "failed", "AssertionError"),
        ("def f(:", "failed", "SyntaxError"),
        ("raise SystemExit(0)", "failed", "SystemExit"),
        ("import os\nos._exit(0)", "failed", "ended before its tests did"),
        ("def f(): f()\nf()", "failed", "RecursionError"),
        ("class E(Exception):\n  def __str__(self): raise self\nraise E", "failed", "an error that can't be told"),
        ("x = [0] * 10**10", "memory", "MemoryError"),
        ("x = 'a'\nwhile True: x += x", "memory", "MemoryError"),
        ("while True: pass", "timeout", "more than 1 seconds"),
        ("while True: print('x' * 10**6)", "timeout", "more than 1 seconds"),
        ("import ctypes\nctypes.string_at(0)", "killed", "SIGSEGV"),
    ],
)
def test_the_outcome_of_what_does_not_pass(program: str, reason: str, detail: str) -> None:
    outcome = run_program(program, seconds=1)
    assert outcome.reason == reason and detail in outcome.detail and not outcome.passed


@pytest.mark.parametrize(
    "program",
    [
        "while True: os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import threading; threading.Thread(target=print).start()",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import socket; socket.socket()",
        "import socket; socket.socketpair()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
        "os.kill(os.getppid(), 9)",
        "os.killpg(os.getpgid(os.getppid()), 9)",
        "os.kill(-1, 9)",
        "os.setsid()",
        "os.setuid(0)",
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "os.listdir('/')",
        "open('here', 'w')",
        "open('/tmp/gristmill-was-here', 'w')",
        "open('/dev/shm/gristmill-was-here', 'w')",
        "os.mkdir('folder')",
        "os.unlink(SECRET)",
        "os.rename(SECRET, SECRET + '2')",
        "os.chmod(SECRET, 0)",
        "os.truncate(SECRET, 0)",
        "os.symlink('/', 'link')",
        "os.link(SECRET, 'link')",
        "os.mkfifo('fifo')",
        "os.chdir('/')",
        "open(SECRET).read()",
        "open(os.path.expanduser('~/.profile')).read()",
        "os.memfd_create('x')",
        "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.ptrace(16, os.getppid(), 0, 0) == 0",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.prctl(1, 0, 0, 0, 0) == 0",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.shmget(7, 4096, 0o1666) >= 0",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.unshare(0x10000000) == 0",
        "os.open('/dev/null', os.O_RDONLY | os.O_TRUNC)",
        "os.open('/dev/null', os.O_RDWR)",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.creat(b'/dev/null', 0) >= 0",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.syscall(437, -100, b'/dev/null', bytes(24), 24) >= 0",
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.syscall(425, 8, bytearray(120)) >= 0  # io_uring_setup",
    ],
)
def test_mischief_fails(program: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    outcome = run_program(f"import os\nSECRET = {str(secret)!r}\n{program}", seconds=5)
    assert outcome.reason == "failed" and outcome.detail != "ended before its tests did", outcome
    assert secret.read_text() == "secret" and sorted(tmp_path.iterdir()) == [secret]
    assert not list(Path("/tmp").glob("gristmill-was-here")) + list(Path("/dev/shm").glob("gristmill-was-here"))
    assert not processes()


@pytest.mark.parametrize(("guard", "refused"), [("both", "EPERM"), ("Landlock alone", "EACCES")])
def test_what_may_be_read_is_not_emptied(guard: str, refused: str, tmp_path: Path) -> None:
    """O_TRUNC needs no right to write: neither guard lets it pass, where the kernel's Landlock knows of it."""
    if guard != "both" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 2):
        pytest.skip("this Landlock doesn't know of it")
    (tmp_path / "readable").write_text("kept")
    told = f"""
import errno, os, resource, struct
from model import sandboxed
sandboxed.READABLE += ({str(tmp_path)!r},)
if {guard != "both"}: sandboxed.allow_list = lambda machine: struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
sandboxed.put_up_guards(2, resource.RLIM_INFINITY, 60)
print(open({str(tmp_path / "readable")!r}).read())
try: os.open({str(tmp_path / "readable")!r}, os.O_RDONLY | os.O_TRUNC)
except OSError as error: print(errno.errorcode[error.errno])
"""
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert found == f"kept\n{refused}\n" and (tmp_path / "readable").read_text() == "kept"


def test_no_signal_is_ignored_for_long() -> None:
    ignores = "import signal\nfor n in range(1, 32):\n  if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    assert run_program(ignores, seconds=1).reason in ("killed", "timeout")  # by the CPU's time, or the clock's


def test_nothing_is_left_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = os.listdir("/proc/self/fd")
    assert run_program("import time\ntime.sleep(60)", seconds=0.2).reason == "timeout"
    assert os.listdir("/proc/self/fd") == files and not list(tmp_path.iterdir())
    assert not processes() and run_program("").passed


def test_nothing_is_left_of_a_program_that_can_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    files = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        run_program("")
    assert os.listdir("/proc/self/fd") == files


def test_a_sandbox_in_which_nothing_runs_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("model.sandbox.CHILD", tmp_path / "nothing.py")
    with pytest.raises(RequestError, match="ends with failed: ended before its tests did"):
        check_sandbox()


def test_a_program_sees_nothing_of_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the environment, no open file or socket but the result's pipe, no module of ours."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    with socket.socket() as listener, tempfile.TemporaryFile() as file:
        os.set_inheritable(listener.fileno(), True)
        os.set_inheritable(file.fileno(), True)
        sees = """
import os, sys
assert "SECRET_TOKEN" not in os.environ and len(os.environ) <= 2, dict(os.environ)
def is_open(number):
    try: return bool(os.fstat(number))
    except OSError: return False
assert sum(is_open(n) for n in range(3, 1000)) == 1
assert sys.stdin.read() == ""
try: import model
except ImportError: pass
else: raise AssertionError
"""
        outcome = run_program(sees)
        assert outcome.passed, outcome


@pytest.mark.parametrize("said", ['b"ok\\n" * 3', 'b"[" * 60000', 'b"up\\n\\nok\\n\\n"', 'b"no Landlock\\n"', 'b"\\xff\\x00"'])
def test_what_a_program_tells_itself_is_no_result(said: str) -> None:
    program = f"import os\nfor n in range(3, 300):\n  try: os.write(n, {said})\n  except OSError: pass\nos._exit(0)"
    assert run_program(program).reason == "failed"
    assert not run_program(program.replace("os._exit(0)", "assert False")).passed


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_program(text: str) -> None:
    assert run_program(text + "\nassert False", seconds=5).reason in ("failed", "timeout", "memory")


def test_no_privilege_is_needed() -> None:
    """All capabilities given up, it works as it does for root."""
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        check_sandbox()  # this process has none, or can't give them up
        return
    told = "from model.sandbox import run_program as r; assert r('').passed; print(r('import os; os.fork()').reason)"
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", sys.executable, "-c", told]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "failed\n"


def test_no_program_runs_where_a_guard_is_lacking() -> None:
    """A kernel without Landlock, made by a filter that refuses its calls to a process and its children."""
    told = """
import ctypes, struct
from model.sandbox import run_program
from schemas.errors import RequestError
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.c_char_p(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))), 0, 0) == 0
try: run_program("open('/tmp/gristmill-was-here', 'w')")
except RequestError as error: print(error)
"""
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert found == "programs can't be run in a sandbox here: Landlock (Linux 5.13): Function not implemented\n"
    assert not Path("/tmp/gristmill-was-here").exists()


def test_the_filter_allows_what_is_listed() -> None:
    names = [entry.split()[0] for entry in ALLOWED.split(",")]
    assert len(names) == len(set(names)) and all(len(entry.split()) == 3 for entry in ALLOWED.split(","))
    assert not {
        "openat2",
        "creat",
        "truncate",
        "ftruncate",
        "clone",
        "clone3",
        "fork",
        "execve",
        "socket",
        "kill",
        "ioctl",
        "fcntl",
        "ptrace",
        "prctl",
        "unlink",
    } & set(names)
    for machine in ("x86_64", "aarch64"):
        assert len(allow_list(machine)) // 8 < 256  # jumps are of a byte
