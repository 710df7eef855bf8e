"""The model: a *result* (`schemas.results`) as a page shows it: a table of its systems, and a chart of the measure that decides, with
intervals; the verdict is in words, and against the best baseline.

A verdict goes by intervals alone: `gristmill compare` tests two models on the same items, which tells more.
"""

from __future__ import annotations

from collections.abc import Mapping

from flows.report.blocks import Row, Table
from flows.report.wording import count, words
from model.metrics.verdicts import told
from schemas.results import MODEL, Measure, Result


def result_table(result: Result, where: str) -> Table:
    """`where` names what the result was read from."""
    metrics = list(dict.fromkeys(m for measures in result.systems.values() for m in measures))
    metrics.sort(key=lambda metric: metric != result.headline)
    rows = [
        Row(
            "this model" if system == MODEL else words(system),
            [figure(m, measures.get(m)) for m in metrics],
            "total" if system == MODEL else "",
        )
        for system, measures in sorted(result.systems.items(), key=lambda item: item[0] != MODEL)
    ]
    shots = f", {result.shots} shots" if result.shots else ""
    caption = f"{result.task}: {words(result.kind)}, version {result.version}{shots}"
    signatures = dict.fromkeys(m.signature for measures in result.systems.values() for m in measures.values())
    note = (
        f"{verdict(result)} ± is the standard error, brackets hold the 95 % interval. {count(result.n)} items, data {result.data[:12]}, "
        f"seed {result.seed}; signatures: {'; '.join(signatures)}. From {where}."
    )
    return Table(caption, ["", *map(words, metrics)], rows, " ".join([note, *(f"{text.rstrip('.')}." for text in result.notes)]))


def figure(metric: str, measure: Measure | None) -> str:
    """A measure with its standard error and its interval."""
    if measure is None:
        return "–"
    error = "" if measure.standard_error is None else f" ± {told(metric, measure.standard_error)}"
    interval = "" if measure.interval is None else f" [{told(metric, measure.interval[0])}, {told(metric, measure.interval[1])}]"
    return f"{told(metric, measure.value)}{error}{interval}"


def best_baseline(result: Result) -> tuple[str, Measure] | None:
    """The baseline with the best headline measure."""
    found: Mapping[str, Measure] = {
        name: measures[result.headline] for name, measures in result.systems.items() if name != MODEL and result.headline in measures
    }
    if not found:
        return None
    sign = 1 if next(iter(found.values())).better == "higher" else -1
    return max(found.items(), key=lambda item: (sign * item[1].value, item[0]))


def verdict(result: Result) -> str:
    """How the model stands to the best baseline, in a sentence."""
    baseline = best_baseline(result)
    if baseline is None:
        return "It stands beside no baseline."
    name, other = baseline
    ours = result.systems[MODEL][result.headline]
    one, two = told(result.headline, ours.value), told(result.headline, other.value)
    against = f"the best baseline, {words(name)}, by {words(result.headline)}: {one} against {two}"
    if ours.interval is None or other.interval is None:
        return f"No interval tells whether it differs from {against}."
    if ours.interval[0] <= other.interval[1] and other.interval[0] <= ours.interval[1]:
        return f"Intervals overlap, so they tell no difference from {against}."
    better = (ours.value > other.value) == (ours.better == "higher")
    return f"It is {'better' if better else 'worse'} than {against}; their intervals are apart."
