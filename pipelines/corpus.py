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
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pipelines.clean
import pipelines.harmful
import pipelines.language
import pipelines.rules
import pipelines.sources
from pipelines.annotate import annotator_versions
from pipelines.contamination.evaluation_sets import file_digest as evaluation_digest
from pipelines.contamination.evaluation_sets import input_role
from pipelines.rules.quality import engines as quality_engines
from pipelines.settings import MODEL, WEIGHTS, WORD_LIST
from pipelines.spared import spare
from pipelines.splits import InputError, Listing, list_inputs, plan_splits
from pipelines.workers import TRY_AGAIN
from schemas.errors import RequestError
from schemas.faults import explain
from schemas.fingerprint import digest_file
from schemas.recipe import Corpus, Section
from schemas.recipe.rules import settled

if TYPE_CHECKING:
    from pipelines.job import Job

__all__ = [
    "STEP_VERSION", "InputError", "Listing", "engines", "evaluation_digests", "file_roots", "identity_settings", "list_inputs",
    "plan_splits", "run",
]  # fmt: skip

STEP_VERSION = 3
"""Raised by hand when the step's output changes for the same input."""


LATER: Mapping[str, Mapping[str, Any]] = {
    "clean": {
        "width": "keep", "chinese": None, "boilerplate_lines": None, "duplicate_lines": None, "lower_case": False,
        "strip_punctuation": False,
    },
    "dedup": {"paragraphs": None, "lines": None},
}  # fmt: skip
"""By section, keys that came later, with what turns them off: a recipe that leaves them off has the identity that it had before."""


def identity_settings(settings: Corpus) -> dict[str, Any]:
    """The section as JSON, without the paths of sources, evaluation sets and weights, and with the digests of word lists and models for
    their paths: where they lie doesn't decide what comes out. Rules are settled: the numbers decide, not the name of a pack."""
    value = settings.model_dump(mode="json", exclude={"max_errors", "incremental", "changed", "gone"})
    for section in ("decontaminate", "sampling"):
        if value[section] is None:
            del value[section]  # what was made before there was such a section is made by the same recipe
    if settings.decontaminate is not None:
        value["decontaminate"]["sets"] = [{k: v for k, v in one.items() if k != "path"} for one in value["decontaminate"]["sets"]]
    if (boilerplate := settings.clean.boilerplate_lines) is not None:
        value["clean"]["boilerplate_lines"]["lists"] = [file_digest(path) for path in boilerplate.lists]
    for section, keys in LATER.items():
        for key, off in keys.items():
            if value[section][key] == off:
                del value[section][key]
    sources = [{k: v for k, v in source.items() if k != "path"} for source in value["sources"]]
    for source, told in zip(settings.sources, sources, strict=True):
        if source.rules:
            told["rules"] = _as_json(settled(settings.rules, source.rules))
    for key in ("quality", "perplexity"):
        if not getattr(settings, key):
            del value[key]
        else:
            value[key] = {lang: {**model, "path": file_digest(model["path"])} for lang, model in value[key].items()}
    annotate = {lang: {k: v for k, v in annotator.items() if k != "weights"} for lang, annotator in value["annotate"].items()}
    if settings.harmful is not None:
        value["harmful"]["lists"] = {lang: [file_digest(path) for path in paths] for lang, paths in settings.harmful.lists.items()}
    return {**value, "sources": sources, "annotate": annotate, "rules": _as_json(settled(settings.rules, {}))}


def _as_json(sections: Mapping[str, Section]) -> dict[str, Any]:
    return {name: section.model_dump(mode="json") for name, section in sections.items()}


def file_roots(settings: Corpus) -> dict[str, str]:
    """Where files that the section names lie, as the roots of a draft; see `pipelines.job`."""
    weights = {WEIGHTS + lang: a.weights for lang, a in settings.annotate.items() if a.weights is not None}
    sets = {input_role(one.name): one.path for one in settings.decontaminate.sets} if settings.decontaminate else {}
    models = [*(one.path for one in settings.quality.values()), *(one.path for one in settings.perplexity.values())]
    lists = {WORD_LIST + file_digest(path): path for path in settings.word_lists}
    found = weights | sets | lists | {MODEL + file_digest(path): path for path in models}
    return {name: os.path.abspath(path) for name, path in found.items()}


def file_digest(path: str) -> str:
    """Digest of a file that the recipe names. Raises `RequestError` if it can't be read."""
    try:
        return digest_file(path)
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error


def evaluation_digests(settings: Corpus) -> dict[str, str]:
    """Digest of the file of each evaluation set, by what it is called among the step's inputs and roots: what is in them decides what is
    kept. Raises `RequestError` for one that can't be read."""
    sets = settings.decontaminate.sets if settings.decontaminate else ()
    return {input_role(one.name): evaluation_digest(one, one.path) for one in sets}


def engines(settings: Corpus) -> dict[str, str]:
    """Versions of all that decides the output beside our own code."""
    found = {
        "pyarrow": version("pyarrow"),
        **pipelines.clean.engines(settings.clean),
        **pipelines.rules.engines(),
        **pipelines.sources.engines(settings.sources),
    }
    if any(source.lang is None for source in settings.sources):
        found |= pipelines.language.engines()
    if settings.harmful is not None and settings.harmful.own_lists:
        found["harmful lists"] = pipelines.harmful.own_lists_digest()
    if settings.redact is not None or settings.harmful is not None:
        found["ahocorasick-rs"] = version("ahocorasick-rs")
    if settings.quality:
        found |= quality_engines()
    return found | {f"annotator {lang}": engine for lang, engine in annotator_versions(settings.annotate).items()}


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
