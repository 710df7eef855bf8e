"""The model: the *finetune* step reads a pretrained model, and labelled documents of a corpus or files of examples, and makes a model
artifact that does a task.

    python -m model.finetune DRAFT

It takes minutes, so it leaves no checkpoints: a run that was killed starts again from the pretrained weights, and ends
in the same bytes (same threads, CPU type and torch). Exit 0: the part is recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.checkpoint import load_model
from model.device import environment
from model.examples import labels_of, read_task
from model.examples.opened import check_files
from model.families import start_of
from model.finetune.heads import HeadedModel, headed
from model.finetune.kinds import Kind
from model.finetune.labelled import read_labelled
from model.finetune.labels import check_subsets
from model.finetune.reading import Reading, Special, reading_of, save_reading
from model.finetune.saved import is_headed, save_headed, save_written
from model.finetune.teach import Subsets, Teacher, kind_of, over_seeds
from model.finetune.writing import Writing
from model.finetune.written import WritingModel, writing
from model.hardware import compiler_problem
from model.hf.export import CARRIED
from model.memory import keep_freed_memory
from model.record import Record
from schemas import recipe
from schemas.arrow import SUBSETS
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile
from schemas.recipe import Finetune, Task, TaskData

STAGE, KEY = "finetune", "model"


def read_subsets(draft: Draft, settings: Finetune) -> tuple[Task, Subsets, dict[str, Any]]:
    """The task, the examples of each subset, and what is to be known of how they were read. Raises `RequestError`."""
    task = settings.at(draft.task["roots"])
    if task is None:
        assert settings.source is not None
        found = read_labelled(draft.input("documents"), settings.source, settings.label_field)
        return Task(name=settings.source, kind="classification", data=TaskData()), found, {}
    check_files(draft.task["roots"], draft.identity.inputs)
    read = read_task(task)
    return task, read.by_name, {"rejected": read.report.rejected, "notes": list(read.report.notes)}


def finetune(draft: Draft, settings: Finetune) -> None:
    """Do the step's work and record its part. Raises RequestError, Damaged, Mismatch or NotFinite."""
    folder = draft.input("pretrain").path
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if is_headed(config):
        raise RequestError(
            f"{draft.input('pretrain').reference}: is fine-tuned already ({config['architectures'][0]}): start from a pretrained model"
        )
    reading = reading_of(folder, config, settings.max_tokens)
    task, subsets, account = read_subsets(draft, settings)
    check_subsets(subsets)
    kind = kind_of(task, settings, reading, subsets, config)
    if kind.purpose == "sequence" and config.get("model_type") == "t5":
        _check_end(reading, config, folder)
    problem = compiler_problem() if settings.compile else None
    compiled = settings.compile and problem is None
    scratch = draft.scratch()
    if problem:
        print(f"fine-tuning without torch.compile: {problem}", flush=True)

    def make(kind: Kind) -> nn.Module:
        base, _ = load_model(folder)
        if kind.purpose == "writing":
            return writing(base, settings.dropout)
        return headed(base, kind.purpose, kind.labels, settings.dropout, start_of(config))

    teacher = Teacher(kind, task, settings, subsets, make, compiled)
    records = _Records(scratch, settings, teacher.steps)
    model, taught = teacher.teach(records.add)
    best = max(taught, key=lambda one: (teacher.score(one.validation), -one.seed))
    first = teacher.metrics[0].name
    facts = {
        "task": {"name": task.name, "kind": task.kind, "version": task.version},
        "labels": list(kind.labels),
        "n": {subset: _counts(subsets[subset]) for subset in SUBSETS},
        "parameters": teacher.parameters,
        "trained_parameters": teacher.trained,
        "steps": teacher.steps,
        "seed": best.seed,
        "best_epoch": best.best_epoch,
        "metric": first,
        "validation": best.validation,
        "test": {**best.test, f"{first}_standard_error": teacher.standard_error(best.seed)},
        "seeds": [one.as_json() for one in taught],
        "over_seeds": over_seeds(taught),
        "examples": account,
        "environment": environment(settings.precision, compiled, 1),
    }
    own: dict[str, Any] = {"task": task.name, "kind": task.kind, "max_tokens": settings.max_tokens}
    if isinstance(kind, Writing):
        own |= kind.own
    else:
        own["may_be_none"] = getattr(kind, "may_be_none", False)
    _finish(draft, model, kind, config, own, records.metrics(best.seed), facts)
    records.done()


def _check_end(reading: Reading, config: Mapping[str, Any], folder: Path) -> None:
    """An encoder-decoder tells a sequence by its eos, which `transformers` looks for."""
    if reading.tokenizer.encode("a").ids[-1:] != [Special.of(config).eos]:
        raise RequestError(f"{folder}: the model's tokenizer puts no eos behind a text, by which an encoder-decoder labels it")


class _Records:
    """The record of each seed, and progress over all of them."""

    def __init__(self, scratch: Path, settings: Finetune, steps: int) -> None:
        self._scratch, self._steps, self._first = scratch, steps, settings.seed
        self._progress = ProgressFile(scratch, steps * settings.seeds, "steps")
        self._progress.tell(0, "starting", force=True)
        self._records: dict[int, Record] = {}

    def add(self, seed: int, row: dict[str, Any]) -> None:
        if seed not in self._records:
            folder = self._scratch / f"seed-{seed}"
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            folder.mkdir()
            self._records[seed] = Record(folder, self._steps, active=True)
            self._records[seed].start(0)
        self._records[seed].add(row)
        done = (seed - self._first) * self._steps + row["step"]
        self._progress.tell(done, f"loss {row['loss']:.3f}", force="validation_loss" in row)

    def metrics(self, seed: int) -> Path:
        return self._records[seed].metrics

    def done(self) -> None:
        self._progress.tell(self._steps * len(self._records), "done", force=True)


def _counts(examples: Sequence[Any]) -> dict[str, int]:
    """Examples by label, or words by tag; in all, of kinds that have no labels."""
    counted = Counter(label for example in examples for label in labels_of(example))
    return dict(sorted(counted.items())) or {"examples": len(examples)}


def _finish(
    draft: Draft, model: nn.Module, kind: Kind, config: Mapping[str, Any], own: Mapping[str, Any], metrics: Path, facts: dict[str, Any]
) -> None:
    """Write the model's files and its part record."""
    folder, source = draft.scratch() / "model", draft.input("pretrain").path
    folder.mkdir(exist_ok=True)
    if isinstance(model, WritingModel):
        roles = save_written(model, source, folder, config, own)
    else:
        assert isinstance(model, HeadedModel)
        special = Special.of(config)
        ids = {"bos_token_id": special.bos, "eos_token_id": special.eos, "pad_token_id": special.pad}
        ids["decoder_start_token_id"] = start_of(config)
        weights, description = save_headed(model, folder, {key: value for key, value in ids.items() if value is not None}, own)
        typed = isinstance(model.architecture, recipe.Encoder) and model.architecture.family == "bert"
        carried = [name for name in CARRIED if (source / name).is_file()]
        roles = {weights: "weights", description: "config", **save_reading(kind.reading, source, folder, carried, typed)}
    roles[Path(shutil.copyfile(metrics, folder / "metrics.jsonl"))] = "metrics"
    draft.add_part(STAGE, KEY, [draft.adopt_as(path, path.name, role) for path, role in roles.items()], facts=facts)


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    run = draft.task["run"]
    torch.set_num_threads(int(run.get("ranks", 1)) * int(run.get("threads_per_rank", 1)))
    torch.use_deterministic_algorithms(True)
    keep_freed_memory()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(draft.scratch() / "kernels")
    finetune(draft, Finetune.model_validate(draft.settings))


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("model.finetune", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
