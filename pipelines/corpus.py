"""The model: the documents step, from raw files to document shards:

    list_inputs, plan_splits     what there is to read, cut into splits          pipelines/splits.py, pipelines/sources/
    make_evaluation_index        grams of the evaluation sets, if any            pipelines/contamination/
    prepare                      decode, clean, judge; digests, signatures       pipelines/prepare.py
    duplicates, parts            merge digests by partition; keep-first          pipelines/dedup/
    finish                       drop losers, segment, tag, write the shards     pipelines/finish.py
    run                          all of it by Beam, on the processes of a run    pipelines/transforms.py, pipelines/runners.py

`python -m pipelines.corpus DRAFT` works on a draft and goes on where an earlier process stopped. Exit codes: 0, all
parts are recorded; 75, a worker or the runner died, try again; 1, it can't be done, and stderr says why.

Planning imports this module, so what only the work needs (Beam above all) is imported where it is used.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipelines.identity import engines, evaluation_digests, file_roots, identity_settings
from pipelines.spared import spare
from pipelines.splits import InputError, Listing, list_inputs, plan_splits
from pipelines.workers import TRY_AGAIN
from schemas.errors import RequestError
from schemas.faults import explain

if TYPE_CHECKING:
    from pipelines.job import Job

__all__ = [
    "STEP_VERSION", "InputError", "Listing", "engines", "evaluation_digests", "file_roots", "identity_settings", "list_inputs",
    "plan_splits", "run",
]  # fmt: skip

STEP_VERSION = 3
"""Raised by hand when the step's output changes for the same input."""


def run(job: Job) -> None:
    """Do all that the draft has no part record of. Raises `SplitsFailed` if a split kills its process time and again."""
    from pipelines.leaving import take_leave
    from pipelines.replay import take_out
    from pipelines.runners import run_on_beam

    job.record_tombstones()
    if job.parent is not None:
        take_out(job.draft, job.parent)
        take_leave(job.draft, job.parent)
    job.make_evaluation_index()
    _try_alone(job, "prepare")
    _try_alone(job, "finish")
    run_on_beam(job)


class SplitsFailed(Exception):
    """Splits that kill whatever process works on them; the message names their files."""


_ENDS = {
    -signal.SIGKILL: "was killed (as the system does when memory runs out)",
    -signal.SIGBUS: "lost its input while reading it (signal 7: a mapped file that shrank or can't be read)",
    TRY_AGAIN: "ran out of memory",
}
"""How a process that worked on a split alone ended, by its exit code."""


def _try_alone(job: Job, stage: str) -> None:
    """Work on each split that was started three times and never finished in a process of its own; count it failed if that dies."""
    from pipelines import finish, prepare
    from pipelines.dedup.parts import finish_handles
    from pipelines.job import MAX_ATTEMPTS

    failed = []
    for key, attempts in sorted(job.attempts(stage).items()):
        if attempts < MAX_ATTEMPTS or job.draft.part(stage, key) is not None:
            continue
        command = [sys.executable, "-m", "pipelines.corpus", str(job.draft.path), "--alone", stage, key]
        code = subprocess.run([sys.executable, "-m", "schemas.process", str(os.getpid()), *command], check=False).returncode
        if code == 0:
            continue
        if key not in job.attempts(stage):  # what it met is not the split's doing: a full disk, a changed input
            raise SplitsFailed(job.refusal())
        ordinal = int(key)
        pieces = job.split[ordinal]["pieces"]
        names = ", ".join(f"{piece['source']}/{piece['uri']}" for piece in pieces[:3]) + (", ..." if len(pieces) > 3 else "")
        ended = _ENDS.get(code, f"ended with exit code {code}")
        if (told := job.refusal()) is not None:
            ended += f" ({told.splitlines()[-1]})"
            job.forget_refusal()
        failed.append(f"split {ordinal} ({names}): {stage} {ended} when it was tried alone, after {attempts} starts without an end")
        if job.settings.allow_failed_splits:
            if stage == "prepare":
                prepare.record_failed(job, ordinal, f"{stage}: exit code {code}")
            else:
                finish.record_failed(job, ordinal, finish_handles(job)[ordinal], f"{stage}: exit code {code}")
    if failed and not job.settings.allow_failed_splits:
        raise SplitsFailed(
            "".join(f"error: {one}\n" for one in failed)
            + "error: give it more memory, leave the files out (corpus.sources[].exclude), or count their records as failed "
            "(corpus.allow_failed_splits)"
        )


def _work_alone(job: Job, stage: str, ordinal: int) -> None:
    from pipelines.dedup.parts import finish_handles
    from pipelines.finish import Annotators, finish_split
    from pipelines.prepare import prepare_split

    if stage == "prepare":
        prepare_split(job, ordinal)
    else:
        finish_split(job, ordinal, finish_handles(job)[ordinal], Annotators(job.settings))


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.corpus", description="Make the documents of a draft.")
    parser.add_argument("draft", type=Path)
    parser.add_argument("--alone", nargs=2, metavar=("STAGE", "KEY"), help="work on one split in this process (the job calls itself so)")
    options = parser.parse_args(arguments)
    from pipelines.job import Job
    from pipelines.runners import RunnerFailed

    logging.disable(logging.ERROR)  # Beam talks at length; errors come back as exceptions all the same
    job = Job.open(options.draft)
    try:
        job.forget_refusal()
        if options.alone:
            _work_alone(job, options.alone[0], int(options.alone[1]))
        else:
            run(job)
    except SplitsFailed as error:
        print(error, file=sys.stderr)
        return 1
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except RunnerFailed:
        traceback.print_exc()
        return TRY_AGAIN
    except MemoryError:
        traceback.print_exc()
        return TRY_AGAIN
    except Exception as error:
        if (refusal := job.refusal()) is None:
            if not isinstance(error, OSError):
                raise
            refusal = f"error: {explain(error, job.draft.path, 'the documents step')}"
        print(refusal, file=sys.stderr)
        return 1
    return 0


def _exit(code: int) -> NoReturn:
    """End at once: threads of a runner that failed may wait for its workers, and the workers die with us."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    spare()
    try:
        ended = main()
    except Exception:
        traceback.print_exc()
        ended = 1
    _exit(ended)
