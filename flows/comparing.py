"""The model: models are *compared* task by task, by each metric that both were judged by, on the same items. What can't be compared is
*refused*, with the reason; the rest is corrected together and told as verdicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from flows.evaluated import Evaluated, evaluated_as
from flows.rejects import visible
from flows.tables import aligned
from model.metrics.comparison import Comparison, compare, correct, differing_items, refusal
from model.metrics.verdicts import told, told_p, verdict
from schemas.errors import RequestError
from schemas.results import MODEL, PROBE, Measure
from schemas.store import Store


@dataclass(frozen=True)
class Refused:
    """A task, or one metric of it, that doesn't compare."""

    task: str
    metric: str | None
    why: str


@dataclass(frozen=True)
class Compared:
    """What comparing two models came to."""

    a: str
    b: str
    comparisons: list[Comparison]
    refused: list[Refused]

    def as_json(self) -> dict[str, Any]:
        found = [{**asdict(one), "winner": one.winner, "verdict": verdict(one, self.a, self.b)} for one in self.comparisons]
        return {"a": self.a, "b": self.b, "comparisons": found, "refused": [asdict(one) for one in self.refused]}


def compare_models(store: Store, a: str, b: str, task: str | None) -> Compared:
    """Compare what two references name. Raises `RequestError` if they have no task in common, `Damaged` naming a file."""
    sides = [{one.result.task: one for one in evaluated_as(store, reference)} for reference in (a, b)]
    tasks = [name for name in sides[0] if name in sides[1] and task in (None, name)]
    if not tasks:
        had = " and ".join(f"{name} has {', '.join(sorted(side))}" for name, side in zip((a, b), sides, strict=True))
        raise RequestError(f"{'no task is' if task is None else f'--task {task}: is not'} in both: {had}")
    comparisons: list[Comparison] = []
    refused: list[Refused] = []
    for name in sorted(tasks):
        found, why_not = _compare(sides[0][name], sides[1][name])
        comparisons += found
        refused += why_not
    return Compared(*_names(sides[0][tasks[0]], sides[1][tasks[0]], a, b), correct(comparisons), refused)


def _names(one: Evaluated, other: Evaluated, a: str, b: str) -> tuple[str, str]:
    """What the sides are called: by their names, or where these are the same, as they were asked for."""
    return (one.model, other.model) if one.model != other.model else (a, b)


def _compare(a: Evaluated, b: Evaluated) -> tuple[list[Comparison], list[Refused]]:
    task = a.result.task
    if a.result.kind == PROBE and None in (a.result.items, b.result.items):
        return [], [Refused(task, None, "a probe keeps no items: see its intervals")]
    if why := refusal(a.result, b.result):
        return [], [Refused(task, None, why)]
    items = a.items(), b.items()
    if why := differing_items(*items):
        return [], [Refused(task, None, why)]
    found, refused = [], []
    measures = a.result.systems[MODEL], b.result.systems[MODEL]
    for metric in dict.fromkeys([*measures[0], *measures[1]]):
        if why := _differing(*(side.get(metric) for side in measures)):
            refused.append(Refused(task, metric, why))
            continue
        try:
            statistics = [side.statistics[metric] for side in items]
            found.append(compare(task, metric, measures[0][metric].better, statistics[0], statistics[1], a.result.seed))
        except KeyError:
            refused.append(Refused(task, metric, "its statistics were not kept"))
        except ValueError as error:
            refused.append(Refused(task, metric, str(error)))
    return found, refused


def _differing(one: Measure | None, other: Measure | None) -> str | None:
    """Why two measures of one metric don't compare, or None."""
    if one is None or other is None:
        return f"only the {'first' if other is None else 'second'} model was judged by it"
    if one.signature != other.signature:
        return f"the signature differs: {one.signature} against {other.signature}"
    return None


def lines_of(compared: Compared) -> list[str]:
    """For a terminal: a table, a verdict a line, and what was refused."""
    a, b = visible(compared.a), visible(compared.b)
    lines = []
    if compared.comparisons:
        heads = ("task", "metric", "n", a, b, "difference", "95 % interval", "p", "corrected")
        rows = [
            (visible(one.task), one.metric, f"{one.n:,}", told(one.metric, one.a), told(one.metric, one.b), f"{one.difference:+.4f}",
             f"{one.interval[0]:+.4f} to {one.interval[1]:+.4f}", told_p(one.p), told_p(one.corrected))
            for one in compared.comparisons
        ]  # fmt: skip
        lines += [*aligned(heads, rows, left={0, 1}), ""]
    lines += [visible(verdict(one, a, b)) for one in compared.comparisons]
    for one in compared.refused:
        lines.append(f"not compared: {visible(one.task)}{f', {visible(one.metric)}' if one.metric else ''}: {visible(one.why)}")
    return lines
