"""The model: a *child* is a process that must not outlive its parent, even one that was killed with SIGKILL.

`python -m schemas.process PARENT_PID COMMAND ...` asks the kernel for a SIGKILL when the parent dies and then becomes
the command (the request survives exec). With `-` for the pid, the parent is the command that was started this way: so
what a launcher starts can be bound to the launcher, whose pid nobody could know beforehand.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent ends; exit at once if `parent` is no longer it. Linux only; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


_LAUNCHER = "GRISTMILL_LAUNCHER_PID"

if __name__ == "__main__":
    die_with_parent(int(os.environ[_LAUNCHER] if sys.argv[1] == "-" else sys.argv[1]))
    os.environ[_LAUNCHER] = str(os.getpid())
    os.execvp(sys.argv[2], sys.argv[2:])
