"""The model: to *judge* is to compare what was said to examples with what is wanted of them, by the metrics of their task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.examples import Asked, Classified, Coded, Tagged, Written
from model.finetune.chatting import Chatting
from model.finetune.coding import Coding
from model.finetune.kinds import Forward, Kind
from model.metrics import Metric, measure, metric_named
from model.metrics.metric import Floats
from schemas.errors import RequestError
from schemas.recipe import Task
from schemas.results import Measure


def wanted(example: Any) -> Any:
    """What is wanted of an example, as metrics take it."""
    match example:
        case Classified():
            return example.label
        case Tagged():
            return list(example.tags)
        case Asked():
            return [answer.text for answer in example.answers]
        case Written():
            return list(example.targets)
        case Coded():
            return example.solution
    raise TypeError(f"{type(example).__name__}: nothing that is said to it is right or wrong")


def metrics_of(task: Task, labels: Sequence[str], examples: Sequence[Any]) -> list[Metric]:
    """The metrics of a task, the one that decides first."""
    lang = task.target_lang or task.data.lang
    counts = {len(example.targets) for example in examples if isinstance(example, Written)}
    references = counts.pop() if len(counts) == 1 else -1 if counts else 1
    names = task.judged_by
    if task.kind == "tagging" and not any(label == "O" or label.startswith(("B-", "I-")) for label in labels):
        if "entity_f1" in task.metrics:
            raise RequestError(f"task {task.name}: metrics: entity_f1 is of B-, I- and O, and the tags are {', '.join(sorted(labels)[:5])}")
        names = tuple(name for name in names if name != "entity_f1")
    return [metric_named(name, task.kind, labels=labels, lang=lang, references=references) for name in names]


def statistics(metrics: Sequence[Metric], said: Sequence[Any], examples: Sequence[Any]) -> dict[str, Floats]:
    """By metric, [examples, k]."""
    right = [wanted(example) for example in examples]
    return {metric.name: metric.of(said, right) for metric in metrics}


def judged(metrics: Sequence[Metric], kind: Kind, model: Forward, examples: Sequence[Any]) -> dict[str, Floats]:
    """The statistics of what a model says to examples; by metric, [examples, k]."""
    if isinstance(kind, Chatting):
        nats, sizes = kind.judged(model, examples)
        return {metric.name: metric.of(nats, sizes) for metric in metrics}
    return statistics(metrics, kind.judged(model, examples) if isinstance(kind, Coding) else kind.answer(model, examples), examples)


def values(metrics: Sequence[Metric], found: Mapping[str, Floats]) -> dict[str, float]:
    return {metric.name: float(metric.value(found[metric.name].sum(0))) for metric in metrics}


def measures(metrics: Sequence[Metric], found: Mapping[str, Floats], seed: int) -> dict[str, Measure]:
    return {metric.name: measure(metric, found[metric.name], seed) for metric in metrics}
