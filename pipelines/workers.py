"""The model: a *worker* is a process of the local runner. It dies with the process that started it, from its first
moment on, and computes on one thread, so that workers don't fight over cores.

`python -m pipelines.workers PARENT_PID` becomes a Beam SDK worker; the runner tells it the rest by its environment.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from schemas.process import die_with_parent

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_IO_THREADS")

_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h, which whoever launches a step knows."""


def become_worker(parent: int) -> None:
    """Bind this process to its parent, and its libraries to one thread."""
    die_with_parent(parent)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)


def for_each(work: Callable[..., None], pieces: Sequence[tuple[Any, ...]], processes: int) -> None:
    """Call `work(*piece)` for all pieces, in their order, on so many processes (in this one if one is enough).

    Raises what `work` raises. If a process dies, this one ends with exit code 75: the same command goes on from what is done.
    """
    if processes == 1 or len(pieces) < 2:
        for piece in pieces:
            work(*piece)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(pieces)), mp_context=context, initializer=become_worker, initargs=(os.getpid(),)) as pool:
        try:
            for done in [pool.submit(work, *piece) for piece in pieces]:
                done.result()
        except BrokenProcessPool as error:
            print(f"a worker process ended unexpectedly ({error}); the same command goes on from what is done", file=sys.stderr)
            raise SystemExit(_TRY_AGAIN) from error


if __name__ == "__main__":
    become_worker(int(sys.argv[1]))
    logging.disable(logging.ERROR)  # Beam talks at length; errors come back as exceptions all the same
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
