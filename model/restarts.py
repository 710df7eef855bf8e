"""The model: a *restart* is torchrun's: when a rank dies (killed, out of memory, its machine gone), torchrun ends the others and starts all
of them anew, on every machine, as often as `--max-restarts` says; they go on from the newest durable checkpoint. That is why restarts are
its job and not that of whoever launched it: only it knows the ranks of all machines, and lets none begin while an old one lives.

An error that a person must act on is no reason to try again: the first rank that has one *gives up* for all, in a file that restarted
ranks find.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from schemas.files import create

GAVE_UP = "gave-up.txt"


def worth_trying(folder: Path) -> bool:
    """Whether this start of the ranks may come to something. False: it is a restart, and a rank gave up before."""
    told = folder / GAVE_UP
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)):
        return not told.is_file()
    if os.environ.get("RANK", "0") == "0":  # no rank gets far enough to give up before rank 0 has joined the others
        told.unlink(missing_ok=True)
    return True


def give_up(folder: Path, why: str) -> None:
    """Say why, unless another rank has, and let no restart try again."""
    if create(folder / GAVE_UP, f"{why}\n".encode()):
        print(f"error: {why}", file=sys.stderr, flush=True)
