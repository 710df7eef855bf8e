"""The model: a *worker* is a process of the local runner. It dies with the process that started it, from its first
moment on, and computes on one thread, so that workers don't fight over cores.

`for_each` forks its workers where the system allows it (Linux): what was made ready before, imports and all, they have at once.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from schemas.process import die_with_parent

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_IO_THREADS")

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h, which whoever launches a step knows: a worker died, and the same command goes on from what is done."""


def become_worker(parent: int) -> None:
    """Bind this process to its parent, and its libraries to one thread."""
    die_with_parent(parent)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)


def for_each(work: Callable[..., None], pieces: Sequence[tuple[Any, ...]], processes: int, make_ready: Callable[[], object]) -> None:
    """Call `work(*piece)` for all pieces, in their order, on so many processes (in this one if one is enough).

    `make_ready` is called once before, in this process: what it remembers, forked workers need not do again. Raises what `work`
    raises. If a process dies, this one ends with exit code 75: the same command goes on from what is done.
    """
    if processes == 1 or len(pieces) < 2:
        for piece in pieces:
            work(*piece)
        return
    forks = sys.platform == "linux"
    if forks:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # no threads of its own here: they would be missing in a fork
        make_ready()
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with ProcessPoolExecutor(min(processes, len(pieces)), mp_context=context, initializer=become_worker, initargs=(os.getpid(),)) as pool:
        try:
            for done in [pool.submit(work, *piece) for piece in pieces]:
                done.result()
        except BrokenProcessPool as error:
            print(f"a worker process ended unexpectedly ({error}); the same command goes on from what is done", file=sys.stderr)
            raise SystemExit(TRY_AGAIN) from error
