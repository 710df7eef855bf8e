"""The model: a *worker* is a process of the local runner. It dies with the process that started it, from its first
moment on, and computes on one thread, so that workers don't fight over cores.

`python -m pipelines.workers PARENT_PID` becomes a Beam SDK worker; the runner tells it the rest by its environment.
"""

from __future__ import annotations

import logging
import os
import sys

from schemas.process import die_with_parent

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS")


def become_worker(parent: int) -> None:
    """Bind this process to its parent, and its libraries to one thread."""
    die_with_parent(parent)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)


if __name__ == "__main__":
    become_worker(int(sys.argv[1]))
    logging.disable(logging.ERROR)  # Beam talks at length; errors come back as exceptions all the same
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
