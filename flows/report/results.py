"""The model: a *result* (`schemas.results`) as a page shows it: a table of its systems, and a chart of the measure that decides, with
intervals; the verdict is in words, and against the best baseline.

A verdict goes by intervals alone: `gristmill compare` tests two models on the same items, which tells more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from flows.report.blocks import Best, Block, Figure, Row, Section, Table
from flows.report.charts import Estimate, intervals
from flows.report.facts import ReportFacts
from flows.report.wording import as_sentence, count, decimals, plural, words
from model.metrics.verdicts import told
from schemas.results import MODEL, Measure, Result


def result_table(result: Result, where: str) -> Table:
    """`where` names what the result was read from, if that isn't said elsewhere."""
    metrics = list(dict.fromkeys(m for measures in result.systems.values() for m in measures))
    metrics.sort(key=lambda metric: metric != result.headline)
    rows = [
        Row(
            _name(system),
            [figure(m, measures.get(m)) for m in metrics],
            "total" if system == MODEL else "",
            values=[measures[m].value if m in measures else None for m in metrics],
        )
        for system, measures in _in_order(result)
    ]
    shots = f", {result.shots} shots" if result.shots else ""
    caption = f"{result.task}: {words(result.kind)}, version {result.version}{shots}"
    signatures = dict.fromkeys(m.signature for measures in result.systems.values() for m in measures.values())
    note = (
        f"{verdict(result)} ± is the standard error, brackets hold the 95 % interval. {count(result.n)} items, data {result.data[:12]}, "
        f"seed {result.seed}; signatures: {'; '.join(signatures)}." + (f" From {where}." if where else "")
    )
    better = {metric: one.better for measures in result.systems.values() for metric, one in measures.items()}
    best: list[Best] = ["ascending", *("descending" if better[m] == "higher" else "ascending" for m in metrics)]
    text = " ".join([note, *map(as_sentence, result.notes)])
    return Table(caption, ["System", *map(words, metrics)], rows, text, best)


def _in_order(result: Result) -> list[tuple[str, Mapping[str, Measure]]]:
    """The model, then its baselines."""
    return sorted(result.systems.items(), key=lambda item: item[0] != MODEL)


def _name(system: str) -> str:
    return "this model" if system == MODEL else words(system)


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
    found = _against_best(result)
    if found == "unknown":
        return f"No interval tells whether it differs from {against}."
    if found == "same":
        return f"Intervals overlap, so they tell no difference from {against}."
    return f"It is {found} than {against}; their intervals are apart."


def _against_best(result: Result) -> Literal["better", "worse", "same", "unknown"]:
    """By the intervals of the deciding measures; unknown without them, or without a baseline."""
    baseline, ours = best_baseline(result), result.systems[MODEL][result.headline]
    if baseline is None or ours.interval is None or baseline[1].interval is None:
        return "unknown"
    low, high = baseline[1].interval
    if ours.interval[0] <= high and low <= ours.interval[1]:
        return "same"
    return "better" if (ours.value > baseline[1].value) == (ours.better == "higher") else "worse"


def tasks(facts: ReportFacts) -> Section | None:
    """Each task of the evaluation: a chart, and a table below it."""
    if not facts.results:
        return None
    blocks: list[Block] = []
    for number, result in enumerate(facts.results, 1):
        blocks += [Figure(f"{result.task}, by {words(result.headline)}", chart(f"task-{number}", result)), result_table(result, "")]
    better = sum(_against_best(result) == "better" for result in facts.results)
    beside = sum(best_baseline(result) is not None for result in facts.results)
    asked = plural(len(facts.results), "task")
    lead = f"The model was asked {asked}; on {better} of {beside} its interval is apart from the best baseline's, and better."
    if better < beside:
        lead += " Where they overlap, a paired test tells more: gristmill evaluate and gristmill compare make one."
    return Section("tasks", "Tasks", lead, blocks)


def chart(key: str, result: Result) -> Markup:
    """The deciding measure of each system, with its interval."""
    found = [(system, measures[result.headline]) for system, measures in _in_order(result) if result.headline in measures]
    rows = [
        Estimate(_name(system), 0 if system == MODEL else 5, one.value, one.interval or (one.value, one.value), ()) for system, one in found
    ]
    better = next(one.better for _, one in found)
    return intervals(key, f"{result.task}, by {words(result.headline)}", rows, f"{words(result.headline)}, {better} is better", named=False)


def seeds(facts: ReportFacts) -> Section | None:
    """The fine-tuned model, seed by seed."""
    told = facts.finetune.summary if facts.finetune else {}
    tables = seeds_table(told)
    if not tables:
        return None
    metric = str(told.get("metric", ""))
    over = told["over_seeds"].get(metric)
    if not over:
        return Section("seeds", "Fine-tuning by seeds", f"One training; the best epoch is the one that is best by {words(metric)}.", tables)
    spread = f", on the test subset {decimals(over['mean'], 3)} on average, deviation {decimals(over['deviation'], 3)}"
    lead = f"{plural(len(told['seeds']), 'training')} that differ by the seed alone; by {words(metric)}{spread}."
    return Section("seeds", "Fine-tuning by seeds", lead, tables)


def seeds_table(told: Mapping[str, Any]) -> list[Table]:
    """Each seed on the test subset, then mean and deviation; none if nothing was told by seed."""
    seeds: Sequence[Mapping[str, Any]] = told.get("seeds", ())
    over: Mapping[str, Mapping[str, float]] = told.get("over_seeds", {})
    if not seeds:
        return []
    metrics = list(over or seeds[0]["test"])
    rows = [
        Row(f"seed {one['seed']}" + (", kept" if one["seed"] == told.get("seed") else ""), [
            str(one["best_epoch"]), *(decimals(one["test"][m], 3) if m in one["test"] else "–" for m in metrics)
        ])
        for one in seeds
    ]  # fmt: skip
    if len(seeds) > 1:
        rows += [
            Row("mean", ["", *(decimals(over[m]["mean"], 3) for m in metrics)], "total"),
            Row("deviation", ["", *(decimals(over[m]["deviation"], 3) for m in metrics)], "total"),
        ]
    note = "The seed that is best on the validation subset is kept. Deviation: of a sample, over seeds."
    if len(seeds) == 1:
        note = "One seed: how much another one would differ is not known."
    return [Table("On the test subset, by seed", ["", "Best epoch", *metrics], rows, note)]
