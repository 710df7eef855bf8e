"""Stores of models and evaluations, without the models: answers are made up, and judged by the real metrics."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from model.metrics import measure, metric_named
from model.metrics.items import Item, write_items
from schemas.artifact import Artifact
from schemas.fingerprint import Identity, digest_json
from schemas.results import MODEL, Result
from schemas.store import Store
from tests.flows.stores import make

LABELS = ("neg", "pos")
Answers = Mapping[str, Sequence[str]]
"""By system."""


def answers(skill: float, wanted: Sequence[str], seed: int) -> list[str]:
    """Right with that chance, each item as the seed has it."""
    draw = random.Random(seed)
    return [label if draw.random() < skill else LABELS[label == "neg"] for label in wanted]


def wanted(n: int) -> list[str]:
    return random.Random(0).choices(LABELS, k=n)


def classified(
    task: str,
    systems: Answers,
    truth: Sequence[str],
    folder: Path,
    labels: Sequence[str] = LABELS,
    metrics: Sequence[str] = ("accuracy", "macro_f1"),
    **changes: object,
) -> Result:
    """A result on a task of labels; its items are written below `folder`."""
    judges = [metric_named(name, "classification", labels=labels) for name in metrics]
    items, measures = [], {}
    for system, given in systems.items():
        statistics = {metric.name: metric.of(given, truth) for metric in judges}
        measures[system] = {metric.name: measure(metric, statistics[metric.name], seed=3) for metric in judges}
        for n, (said, want) in enumerate(zip(given, truth, strict=True)):
            items.append(Item(f"{n:05}", system, said, want, {name: rows[n].tolist() for name, rows in statistics.items()}))
    path = f"items/{task}.arrow"
    (folder / "items").mkdir(exist_ok=True)
    write_items(folder / path, items)
    found = Result(task, "classification", 1, "accuracy", len(truth), 3, digest_json(list(truth)), measures, path)
    return replace(found, **changes)


def model(store: Store, name: str) -> Artifact:
    return make(store, "model", name, name)


def evaluate(
    store: Store, of: Artifact, tasks: Mapping[str, Answers], truth: Sequence[str], role: str = "model", name: str = "", **changes: object
) -> Artifact:
    """An evaluation artifact as the step makes it."""
    settings = {"tasks": list(tasks), "answers": digest_json({task: dict(given) for task, given in tasks.items()})}
    identity = Identity("evaluate", 1, settings, {role: of.manifest.content_digest}, {})
    draft = store.start("evaluation", name or of.name, identity)
    scratch = draft.scratch()
    results = [classified(task, systems, truth, scratch, **changes) for task, systems in tasks.items()]
    written = scratch / "results.json"
    written.write_text(json.dumps({"tasks": [result.as_json() for result in results]}))
    files = [draft.adopt_as(written, "results.json", "results")]
    files += [draft.adopt_as(scratch / result.items, result.items, "items") for result in results if result.items]
    draft.add_part("evaluate", "results", files)
    return draft.commit(["evaluate"])


def one(store: Store, name: str, skill: float, seed: int, n: int = 400, task: str = "sentiment", **changes: object) -> Artifact:
    """A model that was evaluated on one task beside a baseline."""
    truth = wanted(n)
    systems = {MODEL: answers(skill, truth, seed), "majority": [LABELS[0]] * n}
    return evaluate(store, model(store, name), {task: systems}, truth, **changes)
