"""The model: a *system's* answers to the items of a task become a *result*: measures for each system, and a file of items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.examples import data_digest
from model.finetune.judging import metrics_of, statistics, wanted
from model.finetune.kinds import Said
from model.metrics import Metric, measure
from model.metrics.items import Item, write_items
from model.metrics.metric import Floats
from schemas.recipe import Task
from schemas.results import Measure, Result

ITEMS_FOLDER = "items"


@dataclass(frozen=True)
class System:
    """What one system said to all items, and what that comes to by metric, [items, k]."""

    said: Sequence[str | None]
    statistics: Mapping[str, Floats]


@dataclass(frozen=True)
class Asked:
    """A task as it was asked: what a result says of it."""

    task: str
    kind: str
    version: int
    seed: int
    data: str
    ids: Sequence[str]
    wanted: Sequence[str | None]
    groups: Sequence[str | None]
    shots: int = 0
    notes: tuple[str, ...] = ()


def result_of(asked: Asked, metrics: Sequence[Metric], systems: Mapping[str, System], folder: Path) -> Result:
    """The result, whose items are written below `folder`. A system is judged by those metrics that it has statistics of; the first
    metric decides."""
    measures: dict[str, dict[str, Measure]] = {}
    items = []
    for name, system in systems.items():
        rounded = {metric: _rounded(found) for metric, found in system.statistics.items()}
        measures[name] = {metric.name: _measure(metric, rounded[metric.name], asked.seed) for metric in metrics if metric.name in rounded}
        for number, (item, said, right, group) in enumerate(zip(asked.ids, system.said, asked.wanted, asked.groups, strict=True)):
            items.append(Item(item, name, said, right, {metric: rows[number].tolist() for metric, rows in rounded.items()}, group))
    path = f"{ITEMS_FOLDER}/{asked.task}.arrow"
    (folder / ITEMS_FOLDER).mkdir(exist_ok=True)
    write_items(folder / path, items)
    return Result(
        asked.task, asked.kind, asked.version, metrics[0].name, len(asked.ids), asked.seed, asked.data, measures, path,
        asked.shots, asked.notes,
    )  # fmt: skip


def judged(
    task: Task,
    labels: Sequence[str],
    examples: Sequence[Any],
    answers: Mapping[str, Sequence[Said]],
    seed: int,
    folder: Path,
    shots: int = 0,
    notes: tuple[str, ...] = (),
) -> Result:
    """The result of what systems answer to the examples of a task. `labels`: what answers may be."""
    metrics = metrics_of(task, labels, examples)
    systems = {name: System([as_text(one) for one in said], statistics(metrics, said, examples)) for name, said in answers.items()}
    right = [as_text(wanted(example)) for example in examples]
    asked = Asked(
        task.name, task.kind, task.version, seed, data_digest(examples), [example.id for example in examples], right,
        [task.data.lang] * len(examples), shots, notes,
    )  # fmt: skip
    return result_of(asked, metrics, systems, folder)


def _measure(metric: Metric, statistics: Floats, seed: int) -> Measure:
    """Of one item nothing is known of how items vary."""
    found = measure(metric, statistics, seed)
    return found if len(statistics) > 1 else Measure(found.value, found.better, found.signature)


def _rounded(statistics: Floats) -> Floats:
    """To 6 significant digits: float noise is no content."""
    size = np.where(statistics == 0, 1.0, np.abs(statistics))
    scale = 10.0 ** (5 - np.floor(np.log10(size)))
    return np.round(statistics * scale) / scale


def as_text(value: Any) -> str | None:
    """An answer, or what was wanted, as items keep it: of several texts, or tags, a list in JSON."""
    if value is None or isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else json.dumps(value, ensure_ascii=False)
