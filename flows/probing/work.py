"""The model: the process of a probe, which asks the model of a draft.

    python -m flows.probing.work DRAFT

Floats are rounded to 6 significant digits, as in every evaluation. Exit 0: the part is recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from flows.probing import findings
from flows.probing.asked import Bias, Cost, Exposure, Harm, Memorisation, asked_of
from flows.probing.findings import Probed, Tell
from flows.probing.kept import RUN, run_digest
from flows.probing.step import MODEL_ROLE, PLANTED, STAGE, TEMPLATES, TOKENS_ROLE
from model.checkpoint import Mismatch
from model.device import environment
from model.evaluate.rounding import rounded
from model.evaluate.tasks import headline
from model.examples.opened import check_files
from model.finetune.saved import has_head
from model.probes.canaries import read_planted
from model.probes.reading import Reader
from model.probes.templates import templates
from schemas.artifact import Artifact
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile

KEY = "results"


def probe_draft(draft: Draft) -> None:
    """Do the step's work and record its part. Raises `RequestError` naming what the model can't be asked, or a file that is wrong."""
    model, scratch = draft.input(MODEL_ROLE), draft.scratch()
    check_files(draft.task["roots"], draft.identity.inputs)
    progress = ProgressFile(scratch, 0, "")
    try:
        found = _found(draft, model, lambda note: progress.tell(0, note, force=True))
    except (Mismatch, ValueError) as error:
        raise RequestError(f"{model.reference}: {error}") from error
    content = {"tasks": [found.result.as_json()], "details": {found.result.task: dict(found.details)}}
    written = scratch / "results.json"
    told = rounded(json.loads(json.dumps(content)))
    written.write_text(json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    facts = {"headlines": {found.result.task: headline(found.result)}, "environment": environment("float32", compiled=False, ranks=1)}
    draft.add_part(STAGE, KEY, [draft.adopt_as(written, "results.json", "results")], facts=rounded(facts))


def _found(draft: Draft, model: Artifact, tell: Tell) -> Probed:
    asked, roots = asked_of(draft.settings), draft.task["roots"]
    match asked:
        case Cost():
            if run_digest(model) != draft.identity.inputs[RUN]:
                raise RequestError(f"{model.path / 'run.json'}: changed since the step was planned: run again")
            return findings.cost(model, asked)
        case Memorisation():
            return findings.memorisation(Reader(model.path), draft.input(TOKENS_ROLE), asked, tell)
        case Exposure():
            return findings.exposure(Reader(model.path), read_planted(Path(roots[PLANTED]).parent), asked)
        case Harm():
            return findings.harm(Reader(model.path), asked, tell)
        case Bias():
            sentences = templates(roots.get(TEMPLATES, asked.lang))
            if has_head(model.path):
                answer, labels = findings.answers_of(model.path)
                return findings.classifier_bias(answer, labels, asked.positive, sentences, asked.lang)
            return findings.model_bias(Reader(model.path), sentences, asked.lang)


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    torch.set_num_threads(int(draft.task["run"]["threads_per_rank"]))
    torch.use_deterministic_algorithms(True)
    probe_draft(draft)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("flows.probing.work", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
