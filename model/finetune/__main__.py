"""The model: the *finetune* step reads a documents artifact with labels, its tokens, and a pretrained model, and makes a
model artifact that classifies.

    python -m model.finetune DRAFT

It takes a minute, so it leaves no checkpoints: a run that was killed starts again from the pretrained weights, and ends
in the same bytes (same threads, CPU type and torch). Exit 0: the part is recorded. Exit 1: an error, in one line.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import load_decoder
from model.device import environment
from model.finetune.classifier import Classifier, Reading
from model.finetune.labelled import Labelled, classes, read_labelled
from model.finetune.train import DROPOUT, Trainer, answer
from model.hardware import compiler_problem
from model.record import Record
from schemas.artifact import Damaged
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Finetune

STAGE, KEY = "finetune", "model"


def finetune(draft: Draft, settings: Finetune) -> None:
    """Do the step's work and record its part. Raises RequestError, Damaged, Mismatch or NotFinite."""
    subsets = read_labelled(draft.input("documents"), draft.input("tokens"), settings.source, settings.label_field)
    labels = classes(subsets)
    problem = compiler_problem() if settings.compile else None
    compiled = settings.compile and problem is None
    torch.manual_seed(settings.seed)
    classifier = _start(draft, settings, labels)
    trainer = Trainer(classifier, settings, subsets["train"], compiled)
    record = Record(draft.scratch(), trainer.steps, active=True)
    record.start(0)
    if problem:
        record.say(f"fine-tuning without torch.compile: {problem}")
    record.progress(0, "starting", force=True)
    best, history = trainer.run(subsets["validation"], record.add)
    facts = {
        "labels": labels,
        "n": {subset: _count(items, labels) for subset, items in subsets.items()},
        "parameters": sum(p.numel() for p in classifier.parameters()),
        "steps": trainer.steps,
        "best_epoch": best,
        "validation": history[best - 1].facts(),
        "test": answer(classifier, subsets["test"]).facts(),
        "environment": environment(settings.precision, compiled, 1),
    }
    _finish(draft, classifier, record.metrics, facts)
    record.progress(trainer.steps, "done", force=True)


def _start(draft: Draft, settings: Finetune, labels: list[str]) -> Classifier:
    """The classifier before its first step."""
    pretrained = draft.input("pretrain")
    decoder, _ = load_decoder(pretrained.path)
    longest = decoder.config.context
    if not 2 <= settings.max_tokens <= longest:
        raise RequestError(
            f"finetune.max_tokens {settings.max_tokens} is not from 2 to {longest}, the context of {pretrained.reference}: change it"
        )
    tokenizer = draft.input("tokenizer").facts("tokenizer")
    if (known := tokenizer["vocab_size"]) != decoder.vocab_size:
        raise Damaged(f"{pretrained.path}: has a vocabulary of {decoder.vocab_size} ids, the tokenizer {known}: pretrain again")
    ids = tokenizer["special_tokens"]
    return Classifier(decoder, labels, Reading(ids["bos"], ids["eos"], ids["pad"], settings.max_tokens), DROPOUT)


def _count(items: list[Labelled], labels: list[str]) -> dict[str, int]:
    return {label: sum(item.label == label for item in items) for label in labels}


def _finish(draft: Draft, classifier: Classifier, metrics: Path, facts: dict[str, Any]) -> None:
    """Write the model's files and its part record."""
    folder = draft.scratch() / "model"
    folder.mkdir(exist_ok=True)
    weights, config = classifier.save(folder)
    tokenizer = Path(shutil.copyfile(draft.input("tokenizer").paths("tokenizer")[0], folder / "tokenizer.json"))
    kept = Path(shutil.copyfile(metrics, folder / "metrics.jsonl"))
    files = [
        draft.adopt_as(weights, "model.safetensors", "weights"),
        draft.adopt_as(config, "config.json", "config"),
        draft.adopt_as(tokenizer, "tokenizer.json", "tokenizer"),
        draft.adopt_as(kept, "metrics.jsonl", "metrics"),
    ]
    draft.add_part(STAGE, KEY, files, facts=facts)


def _work(draft: Draft) -> None:
    if draft.part(STAGE, KEY):
        return
    run = draft.task["run"]
    torch.set_num_threads(int(run.get("ranks", 1)) * int(run.get("threads_per_rank", 1)))
    torch.use_deterministic_algorithms(True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(draft.scratch() / "kernels")
    finetune(draft, Finetune.model_validate(draft.settings))


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("model.finetune", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
