"""The model: a *fault* stops work, and no record is to blame for it: a full disk, a file that can't be read, too little memory.
To *explain* one is to say what it is, where, and what to do. Nothing is lost by a fault: the same command goes on from what
is done.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room on the device, in a quota, or within the process's limit on the size of files."""

GO_ON = "run the same command again: it goes on from what is done"


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk takes no more."""
    return isinstance(error, OSError) and error.errno in _FULL


def explain(error: OSError, folder: Path, doing: str, otherwise: str = "") -> str:
    """What a person should know of an error of the system that stopped work on the draft in `folder`, on one line.

    `otherwise` is what to do if a file that isn't the draft's can't be read for good.
    """
    if is_full(error):
        limited = "this process may write no larger file (ulimit -f)" if error.errno == errno.EFBIG else _room(folder)
        return f"{doing}: {error.strerror}: {limited}. Make room there, then {GO_ON}"
    if error.filename is None:
        return f"{doing}: {type(error).__name__}: {error}. When that is mended, {GO_ON}"
    foreign = otherwise and not Path(os.fsdecode(error.filename)).is_relative_to(folder)
    return f"{doing}: {error.filename}: {error.strerror}. When that is mended, {GO_ON}" + (f"; {otherwise}" if foreign else "")


def _room(folder: Path) -> str:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return f"{usage.free / 1e6:,.1f} MB of {usage.total / 1e6:,.1f} MB are free on the disk of {folder}"
