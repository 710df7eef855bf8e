"""The model: a *runner* takes the stages of the corpus job through their barriers. The local one is Beam's FnApiRunner,
in process for one worker, with worker processes for more; others hand the same stages to a cluster whose machines see the draft at the same
path (`pipelines.runner_options`). The *bare* one is the same without Beam: a pool of processes
and a loop, to measure Beam against.

Stages are cut once by position, and nobody steals work: so splits are *placed*, heaviest first, each with the worker that
has least. When a worker dies, Beam may notice a stage later or never; we end at once,
with exit code 75 (try again): what has a part record is not redone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, count, repeat, zip_longest
from typing import TYPE_CHECKING, Any, NoReturn

from pipelines.annotate import DEFAULT, annotator_for
from pipelines.dedup import find_losers
from pipelines.dedup.parts import find_parts
from pipelines.finish import finish_split
from pipelines.job import Handle, Job, key_of
from pipelines.nursery import SIGNALLED, Nursery
from pipelines.opened import opened
from pipelines.prepare import prepare_split
from pipelines.sources import expected_bytes
from pipelines.workers import TRY_AGAIN, become_worker

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner


class RunnerFailed(Exception):
    """The runner itself failed (a connection, say): another try goes on from what is done."""


_SETTLING = 1.0
"""Seconds in which the end of a worker process is noticed for certain."""

_ANNOTATION_COST = {"plain": 1, "fast": 8, "rjieba": 12, "spacy": 300}
"""Seconds of annotating against those of reading back and writing, roughly."""
_CHINESE_FAST = 30
"""The same of the fast engine where no spaces part words."""


def run_on_beam(job: Job) -> None:
    """Run the job on `job.workers` processes by FnApiRunner, or on a cluster by the runner of its recipe; ends this process with exit code
    75 if a process of the former dies."""
    runner, runner_options = job.runner
    if runner != "local":
        from pipelines.runner_options import beams_options, cluster

        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # or the cluster would work on
        _run_pipeline(job, cluster(runner), beams_options(runner, runner_options))
        return
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from pipelines.worker_handler import environment

    nursery = Nursery(str(job.draft.path), _end_with_worker) if job.workers > 1 else None
    options = PipelineOptions(flags=[], direct_num_workers=job.workers, save_main_session=False)
    try:
        _run_pipeline(job, FnApiRunner(default_environment=environment(nursery.input) if nursery else None), options)
    except Exception:
        if nursery is not None:
            time.sleep(_SETTLING)  # if a worker's death is behind it, the nursery's end ends us meanwhile
        raise
    finally:
        if nursery is not None:
            nursery.close()


def _run_pipeline(job: Job, runner: PipelineRunner, options: PipelineOptions) -> None:
    import apache_beam as beam

    from pipelines.transforms import corpus

    pipeline = beam.Pipeline(runner=runner, options=options)
    prepare, finish = placements(job)
    corpus(pipeline, str(job.draft.path), prepare=prepare, finish=finish, cut_parts=bool(job.kinds_of_parts))
    result = None
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        if job.refusal() is None:
            raise RunnerFailed(f"Beam's runner failed, and none of our stages did: {error}") from error
        raise
    except SystemExit:  # we were told to end: so is what works for us on a cluster
        if result is not None:
            result.cancel()
        raise


def _end_with_worker(code: int) -> NoReturn:
    """Take everything down, now; exiting is enough: the other workers have died with the nursery."""
    why = f"was killed by signal {code - SIGNALLED}" if code > SIGNALLED else f"exit code {code}"
    if code - SIGNALLED == signal.SIGKILL:
        why += ", as the system does when memory runs out: fewer workers or a smaller corpus.split_bytes need less"
    told = f"a worker process ended unexpectedly ({why}); the same command goes on from what is done"
    print(told, file=sys.stderr, flush=True)
    os._exit(TRY_AGAIN)


def placements(job: Job) -> tuple[list[int], list[int]]:
    """The orders in which to deal all splits for preparing and for finishing; what is done costs nothing."""
    prepare, finish = {}, {}
    for split in job.splits:
        ordinal = split["ordinal"]
        sizes = [(piece["source"], expected_bytes(piece, job.roots[piece["source"]])) for piece in split["pieces"]]
        prepare[ordinal] = 0 if job.draft.part("prepare", key_of(ordinal)) else sum(size for _, size in sizes)
        finish[ordinal] = 0 if job.draft.part("finish", key_of(ordinal)) else sum(size * _finish_cost(job, name) for name, size in sizes)
    return place(prepare, job.workers), place(finish, job.workers)


def _finish_cost(job: Job, source: str) -> int:
    """Of a byte of a source; text of no declared language counts as that whose annotator costs most."""
    lang, settings = job.sources[source].lang, job.settings.annotate
    if lang is None:
        return 1 + max(_ANNOTATION_COST[annotator.engine] for annotator in (*settings.values(), annotator_for(settings, DEFAULT)))
    engine = annotator_for(settings, lang).engine
    return 1 + (_CHINESE_FAST if (engine, lang) == ("fast", "zh") else _ANNOTATION_COST[engine])


def place(costs: Mapping[int, int], workers: int) -> list[int]:
    """Order pieces so that dealing them round robin gives every worker about the same cost, heaviest first.

    Each goes to the worker that has least so far (Graham 1969, LPT: at most 4/3 of the best). A worker that gets fewer
    pieces has its turn filled by negative numbers, no two the same, which stand for nothing to do.
    """
    loads = [0] * workers
    queues: list[list[int]] = [[] for _ in range(workers)]
    for piece in sorted(costs, key=lambda piece: (-costs[piece], piece)):
        least = min(range(workers), key=lambda worker: (loads[worker], len(queues[worker]), worker))
        loads[least] += costs[piece]
        queues[least].append(piece)
    fillers = count(-1, -1)
    turns = zip_longest(*queues)
    return [next(fillers) if piece is None else piece for turn in turns for piece in turn]


def run_bare(job: Job) -> None:
    """The same stages, barriers and number of processes, without Beam."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(job.workers, mp_context=context, initializer=become_worker, initargs=(os.getpid(),)) as pool:
        _run_stages(job, pool.map)


def run_in_process(job: Job) -> None:
    """The same stages one piece after the other in this process, for tests and notebooks."""
    _run_stages(job, map)


def _run_stages(job: Job, each: Callable[..., Iterable[Any]]) -> None:
    """Every stage over all its pieces by `each`, a `map` over processes or not; a stage waits for the one before."""
    prepare, finish = ([ordinal for ordinal in order if ordinal >= 0] for order in placements(job))
    draft = repeat(str(job.draft.path))
    runs = _grouped(each(_prepare, draft, prepare))
    losers = _grouped(each(_duplicates, draft, runs.keys(), runs.values()))
    drops = dict(losers)
    if job.kinds_of_parts:
        for split, handles in _grouped(each(_parts, draft, runs.keys(), runs.values(), repeat(losers))).items():
            drops[split] = [*drops.get(split, []), *handles]
    list(each(_finish, draft, finish, [drops.get(ordinal, []) for ordinal in finish]))


def _grouped(found: Iterable[list[tuple[int, Handle]]]) -> dict[int, list[Handle]]:
    groups: dict[int, list[Handle]] = {}
    for key, handle in chain.from_iterable(found):
        groups.setdefault(key, []).append(handle)
    return groups


def _prepare(draft: str, ordinal: int) -> list[tuple[int, Handle]]:
    return prepare_split(opened(draft).job, ordinal)


def _duplicates(draft: str, partition: int, runs: list[Handle]) -> list[tuple[int, Handle]]:
    return find_losers(opened(draft).job, partition, runs)


def _parts(draft: str, partition: int, runs: list[Handle], losers: dict[int, list[Handle]]) -> list[tuple[int, Handle]]:
    return find_parts(opened(draft).job, partition, runs, losers)


def _finish(draft: str, ordinal: int, handles: list[Handle]) -> str:
    return finish_split(opened(draft).job, ordinal, handles, opened(draft).annotators)
