"""The model: the *evaluate-tasks* step asks one model tasks, held-out text, and tasks of lm-evaluation-harness, each beside its baselines,
and makes an evaluation artifact.

    python -m model.evaluate.tasks DRAFT

    results.json        {"subset", "tasks": [Result.as_json(), ...]}
    items/TASK.arrow    see `schemas.results`

Floats are rounded to 6 significant digits, so that equal inputs, threads and torch give equal bytes. Exit 0: the part is recorded. Exit 1:
an error, in one line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.device import environment
from model.evaluate.asking import Asking, asking, drawn, known_labels
from model.evaluate.held_out_text import text_results
from model.evaluate.results import judged
from model.evaluate.rounding import rounded
from model.evaluate.simple import simple_answers
from model.examples import read_task
from model.examples.opened import check_files
from model.finetune.saved import OURS, is_headed
from schemas.arrow import SUBSETS
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.progress import ProgressFile
from schemas.recipe import Evaluation, Task
from schemas.results import MODEL, Result

STAGE, KEY = "evaluate-tasks", "results"
MODEL_ROLE = "model"
HARNESS = "lm-eval"
"""Root of the harness's task files. Those of tasks are `TASK/SUBSET`."""


def evaluate_tasks(draft: Draft, settings: Evaluation) -> None:
    """Do the step's work and record its part. Raises RequestError, Damaged or Mismatch."""
    folder, scratch = draft.input(MODEL_ROLE).path, draft.scratch()
    results: list[Result] = []
    _refuse_what_was_taught(draft, settings)
    check_files({key: path for key, path in draft.task["roots"].items() if key != HARNESS}, draft.identity.inputs)
    if settings.tasks:
        asked = asking(folder)
        for task in settings.tasks:
            result = ask_task(asked, _with_files(task, draft.task["roots"]), settings, scratch)
            note = _drawn_otherwise(draft.input(MODEL_ROLE).manifest.identity, draft.identity, task, settings.subset)
            results.append(replace(result, notes=(*result.notes, note)) if note else result)
    if settings.text is not None:
        results += text_results(draft, settings.text, settings.subset, settings.seed)
    if settings.harness is not None:
        from model.evaluate.harness import harness_results  # lm-evaluation-harness may not be installed

        results += harness_results(folder, settings, draft.task["roots"].get(HARNESS), scratch)
    _finish(draft, results, {"subset": settings.subset})


def _refuse_what_was_taught(draft: Draft, settings: Evaluation) -> None:
    """A model that was fine-tuned is asked tasks of its kind only; one that was taught to write still predicts text."""
    model = draft.input(MODEL_ROLE)
    config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
    for option, asked, unfit in (("--text", settings.text, is_headed(config)), ("--lm-eval", settings.harness, OURS in config)):
        if asked and unfit:
            raise RequestError(f"{option}: {model.reference} was fine-tuned: ask it a task of its kind")


def _drawn_otherwise(model: Identity, asked: Identity, task: Task, subset: str) -> str | None:
    """What is to be said of a fine-tuned model that is asked about the file which it learned from, by another draw."""
    learned = model.settings.get("task") if model.step == "finetune" else None
    if not learned or subset == "train":
        return None
    files = {name: (model.inputs.get(name), asked.inputs.get(f"{task.name}/{name}")) for name in SUBSETS}
    deciding = ("fields", "header", "format", "duplicates", "held_out", "seed")
    ours, theirs = ({key: data[key] for key in deciding} for data in (task.as_json()["data"], learned["data"]))
    same_file = files["train"][0] in (files["train"][1], files[subset][1])
    if not same_file or (ours == theirs and all(one == other for one, other in files.values())):
        return None
    return "the model learned from this file by another draw (see data.seed, held_out): what is asked here may be what it learned"


def ask_task(asked: Asking, task: Task, settings: Evaluation, scratch: Path) -> Result:
    """One task's result; its items are written below `scratch`."""
    subsets = read_task(task)
    examples: list[Any] = drawn(subsets.by_name[settings.subset], settings.limit, settings.seed, task.name)
    if not examples:
        raise RequestError(f"task {task.name}: has no {settings.subset} subset: give data.{settings.subset}, or ask another one (--subset)")
    learned = {name: () if name == settings.subset else found for name, found in subsets.by_name.items()}
    if settings.shots > len(learned["train"]):
        raise RequestError(f"task {task.name}: --shots {settings.shots}: the training subset has {len(learned['train'])} examples to show")
    shots = drawn(learned["train"], settings.shots, settings.seed, f"{task.name}/shots")
    asked.notes.clear()
    labels = asked.labels(task, known_labels([*subsets.by_name.values()]))
    progress = ProgressFile(scratch, len(examples), "examples")
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress.tell(done, task.name)

    progress.tell(0, task.name, force=True)
    said = {MODEL: asked.answer(task, examples, shots, labels, advance), **simple_answers(task.kind, learned, examples)}
    notes = (*subsets.report.notes, *asked.notes)
    return judged(
        task, sorted({*labels, *known_labels([*subsets.by_name.values()])}), examples, said, settings.seed, scratch, settings.shots, notes
    )


def _with_files(task: Task, roots: Mapping[str, str]) -> Task:
    """A task with the paths of its files."""
    prefix = f"{task.name}/"
    return task.at({key.removeprefix(prefix): path for key, path in roots.items() if key.startswith(prefix)})


def _finish(draft: Draft, results: Sequence[Result], more: Mapping[str, Any]) -> None:
    """Record what was found."""
    scratch, names = draft.scratch(), [result.task for result in results]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), None):
        raise RequestError(f"two results have one name, {twice!r}: ask one of the two alone")
    content = rounded({**more, "tasks": [json.loads(json.dumps(result.as_json())) for result in results]})
    written = scratch / "results.json"
    written.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    files = [draft.adopt_as(written, "results.json", "results")]
    files += [draft.adopt_as(scratch / result.items, result.items, "items") for result in results if result.items]
    facts = {result.task: headline(result) for result in results}
    draft.add_part(STAGE, KEY, files, facts=rounded({"headlines": facts, "environment": environment("float32", compiled=False, ranks=1)}))


def headline(result: Result) -> dict[str, Any]:
    """What decides of each system."""
    found = {name: measures[result.headline].value for name, measures in result.systems.items() if result.headline in measures}
    return {"metric": result.headline, "n": result.n, **found}


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    run = draft.task["run"]
    torch.set_num_threads(int(run.get("ranks", 1)) * int(run.get("threads_per_rank", 1)))
    torch.use_deterministic_algorithms(True)
    evaluate_tasks(draft, Evaluation.model_validate(draft.settings))


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("model.evaluate.tasks", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
