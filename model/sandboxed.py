"""The model: what runs inside of the *sandbox*: it puts up the *guards* around itself, then runs the program that stands on its input.

    python -I -S sandboxed.py RESULT_FD MEMORY SECONDS

Its input is a line with a token, and the program. Its result is a line, `up` or what guard is lacking, and at the program's end the token,
the reason and its detail, a line each. The token is what a program that ends the process itself doesn't say.

Nothing but the standard library is had here, and nothing of the house is imported: `model.sandbox` starts this file by its path. Only the
kernel is trusted to hold a guard; none of them needs a privilege, and none can be taken down again:

    rlimits    memory, time, open files; no file may be written, no core dumped
    Landlock   only the interpreter, and the system's libraries, can be opened, to be read
    seccomp    a process may read, map memory, tell the time, wait and end; what it opens, only to be read, and not to be emptied. No
               other process, program, socket, signal: EPERM
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

READABLE = ("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom")
"""Beside the interpreter."""

ALLOWED = """
    read 0 63, write 1 64, close 3 57, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291,
    lseek 8 62, pread64 17 67, readv 19 65, writev 20 66, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -,
    readlinkat 267 78, getcwd 79 17, getdents64 217 61, mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, madvise 28 233,
    brk 12 214, dup 32 23, dup2 33 -, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, futex 202 98, set_robust_list 273 99,
    sched_yield 24 124, sched_getaffinity 204 123, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132,
    alarm 37 -, setitimer 38 103, getitimer 36 102, pause 34 -, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113,
    clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153, getrusage 98 165, getpid 39 172, gettid 186 178,
    getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, uname 63 160, sysinfo 99 179, getrandom 318 278,
    restart_syscall 219 128, exit 60 93, exit_group 231 94, fadvise64 221 223, getcpu 309 168
"""
"""System calls with their numbers on x86_64 and aarch64. fcntl and ioctl are none of them: both can have signals sent to others.
openat2 is none: its flags lie where a filter can't look."""
OPENING = "open 2 - 1, openat 257 56 2"
"""Those that are allowed by their flags, with the place of these among the arguments."""
_ARCHITECTURES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}
"""What Linux calls each, and its column above."""

_NO_NEW_PRIVILEGES, _DEATH_SIGNAL, _SECCOMP, _FILTER = 38, 1, 22, 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT, _BENEATH = 444, 445, 446, 1
_LANDLOCK_VERSION = 1
_EVERY_ACCESS, _EMPTYING, _READ_FILE, _READ_FOLDER = 0x1FFF, 0x4000, 4, 8
"""Emptying a file is an access of its own from version 3 (Linux 6.2) on."""
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_LOAD, _IF_EQUAL, _IF_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_KILL, _ALLOW, _EPERM = 0x80000000, 0x7FFF0000, 0x00050001
UP = "up"
LONGEST = 200
"""Characters of what went wrong."""


class Unguarded(Exception):
    """A guard can't be put up."""


def main(result: int, memory: int, seconds: int) -> None:
    """Run the program, and tell the result."""
    token = sys.stdin.buffer.readline().decode().strip()
    source = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")

    def tell(*lines: str) -> None:
        os.write(result, "".join(line[:LONGEST] + "\n" for line in lines).encode("utf-8", "replace"))

    try:
        put_up_guards(result, memory, seconds)
    except (Unguarded, OSError, ValueError) as error:
        tell(str(error))
        os._exit(1)
    tell(UP)
    tell(token, *run(source))
    os._exit(0)


def run(source: str) -> tuple[str, str]:
    """The reason, and its detail, of how a program ends."""
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        exec(compile(source, "program", "exec", dont_inherit=True), names)
    except MemoryError:
        return "memory", "MemoryError"
    except BaseException as error:  # SystemExit, too, comes before the last test
        try:
            told = f"{type(error).__name__}: {error}"
        except BaseException:  # its own __str__ is the program's
            told = "an error that can't be told"
        return "failed", " ".join(told.split())
    return "ok", ""


def put_up_guards(result: int, memory: int, seconds: int) -> None:
    """All of them, or `Unguarded`, `OSError`; of what is open, `result` and the standard three stay so."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        raise Unguarded(f"programs are only run on Linux on x86_64 or aarch64, this is {sys.platform} on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def call(what: str, function: Callable[..., int], *arguments: Any) -> int:
        found = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
        if found < 0:
            raise Unguarded(f"{what}: {os.strerror(ctypes.get_errno())}")
        return found

    call("prctl", libc.prctl, _DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    call("prctl", libc.prctl, _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    version = call("Landlock (Linux 5.13)", libc.syscall, _LANDLOCK_CREATE, 0, 0, _LANDLOCK_VERSION)
    accesses = _EVERY_ACCESS | (_EMPTYING if version >= 3 else 0)
    rules = call("Landlock", libc.syscall, _LANDLOCK_CREATE, struct.pack("=Q", accesses), 8, 0)
    for path in (sys.base_prefix, sys.base_exec_prefix, *READABLE):
        if os.path.exists(path):
            access = _READ_FILE | (_READ_FOLDER if os.path.isdir(path) else 0)
            beneath = struct.pack("=Qi", access, os.open(path, os.O_PATH | os.O_CLOEXEC))
            call(f"Landlock, {path}", libc.syscall, _LANDLOCK_ADD, rules, _BENEATH, beneath, 0)
    call("Landlock", libc.syscall, _LANDLOCK_RESTRICT, rules, 0)
    os.closerange(3, result)
    os.closerange(result + 1, 256)
    limits = {"AS": memory, "FSIZE": 0, "CORE": 0, "NOFILE": 64, "CPU": seconds, "MSGQUEUE": 0, "MEMLOCK": 0}
    for name, most in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (most, most + 1 if name == "CPU" else most))
    program = allow_list(platform.machine())
    code = ctypes.create_string_buffer(program, len(program))
    kept = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    call("seccomp", libc.prctl, _SECCOMP, _FILTER, ctypes.c_char_p(kept), 0, 0)


def allow_list(machine: str) -> bytes:
    """The filter, in BPF: of another architecture kill; of the allowed numbers allow, of those that open if nothing can change by it; else
    EPERM."""
    architecture, column = _ARCHITECTURES[machine]
    numbers = [int(entry[column]) for entry in map(str.split, ALLOWED.split(",")) if entry[column] != "-"]
    opening = [(int(entry[column]), int(entry[3])) for entry in map(str.split, OPENING.split(",")) if entry[column] != "-"]
    steps = [(_LOAD, 0, 0, 4), (_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for number, flags in opening:
        steps += [(_IF_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * flags), (_IF_ANY, 0, 1, _CHANGES)]
        steps += [(_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    steps += [(_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
