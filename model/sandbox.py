"""The model: a *sandbox* runs a Python program that nobody has read, and tells its *outcome*. Whatever the program does, the machine is as
before: it starts no process, opens no socket, writes no file, reads nobody's files, sends no signal, and takes no more memory or
time than it was given. What it prints is thrown away. See `model.sandboxed` for how.

Where the kernel lacks a guard, no program is run at all. What no sandbox prevents: a program that sets out to deceive its own tests (by a
value that equals everything, say) passes them. File names, sizes and times can be seen anywhere; contents can't.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

from model.sandboxed import UP
from schemas.errors import RequestError

Reason = Literal["ok", "failed", "timeout", "memory", "killed"]
_AT_ITS_END: tuple[Reason, ...] = ("ok", "failed", "memory")
WAITS = 4
"""Seconds by the clock, for one of the CPU's: a program that sleeps ends, and one on a busy machine is not judged by who is beside it."""
CHILD = Path(__file__).with_name("sandboxed.py")
_MOST_TOLD = 1 << 14
"""Bytes of a result that are looked at."""


@dataclass(frozen=True)
class Outcome:
    """What became of a program."""

    reason: Reason
    """failed: an error, or it ended before its end. killed: by the kernel."""
    detail: str = ""
    """The error, in the program's words: untrusted text."""

    @property
    def passed(self) -> bool:
        return self.reason == "ok"


def run_program(source: str, seconds: float = 5.0, memory: int = 512 << 20) -> Outcome:
    """Run a program to its end, or for so many seconds of the CPU, in a process of its own. Raises `RequestError` where no sandbox can be
    had."""
    token = secrets.token_hex(16)
    read, write = os.pipe()
    try:
        with tempfile.TemporaryDirectory(prefix="gristmill-program-") as folder:
            command = [os.path.realpath(sys.executable), "-I", "-S", "-B", str(CHILD), str(write), str(memory), str(ceil(seconds))]
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(write,), cwd=folder,
                    env={"LANG": "C.UTF-8"}, start_new_session=True,
                )  # fmt: skip
            finally:
                os.close(write)
            late = _feed(child, f"{token}\n{source}".encode("utf-8", "surrogatepass"), WAITS * seconds)
            guards, *told = _result(read)
    finally:
        os.close(read)
    if guards not in ("", UP):
        raise RequestError(f"programs can't be run in a sandbox here: {guards}")
    if late or child.returncode == -signal.SIGXCPU:
        return Outcome("timeout", f"took more than {seconds:g} seconds")
    if len(told) >= 3 and told[0] == token and told[1] in _AT_ITS_END:
        return Outcome(told[1], told[2])
    if child.returncode < 0:
        return Outcome("killed", signal.Signals(-child.returncode).name)
    return Outcome("failed", "ended before its tests did")


def check_sandbox() -> None:
    """Raises `RequestError` where no sandbox can be had, or none in which a program that does nothing comes to its end."""
    outcome = run_program("")
    if not outcome.passed:
        raise RequestError(f"programs can't be run in a sandbox here: one that does nothing ends with {outcome.reason}: {outcome.detail}")


def _feed(child: subprocess.Popen[bytes], program: bytes, seconds: float) -> bool:
    """Wait for a child's end, and kill it if it comes too late; whether it did."""
    try:
        child.communicate(program, timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _result(read: int) -> list[str]:
    """The lines that were told; of a process that was killed at once, an empty one."""
    os.set_blocking(read, False)
    try:
        return os.read(read, _MOST_TOLD).decode("utf-8", "replace").split("\n")
    except BlockingIOError:
        return [""]
