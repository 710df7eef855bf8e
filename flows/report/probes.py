"""The model: a *probe* as a page shows it: a table of its measures, and tables of its details. Texts that it quotes are left out: they
may be somebody's, and a page goes to many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from flows.report.blocks import Block, Foreign, Note, Row, Section, Table
from flows.report.facts import Found, ReportFacts
from flows.report.results import result_table
from flows.report.wording import MINUS, as_sentence, count, decimals, percent, plural, words
from model.metrics.verdicts import told
from schemas.results import MODEL, Measure, Result

EXTREMES = 5
"""Occupations at either end that are shown."""
PLAINLY = "No probe says that a model is harmless, fair, or keeps nothing."


def probes(facts: ReportFacts) -> Section | None:
    """What was asked of the run's models, model by model."""
    if not facts.probes:
        return None
    blocks: list[Block] = []
    for reference, found in groupby(facts.probes, lambda one: one.model):
        blocks += [Note(Foreign(reference)), *(table for one in found for table in tables(one))]
    return Section("probes", "Probes", f"{plural(len(facts.probes), 'probe')} asked the models of this run. {PLAINLY}", blocks)


def tables(found: Found) -> Iterator[Table]:
    """A probe's measures, then its details."""
    result = found.result
    yield _measures(result, found.where) if len(result.systems) == 1 else result_table(result, found.where)
    for key, make in _DETAILS.items():
        if found.details.get(key):
            yield make(result.task, found.details)


def _measures(result: Result, where: str) -> Table:
    rows = [Row(measure_name(name), [told(name, one.value), _between(one)]) for name, one in result.systems[MODEL].items()]
    signatures = "; ".join(dict.fromkeys(one.signature for one in result.systems[MODEL].values()))
    asked = f"{plural(result.n, 'item')}, data {result.data[:12]}, seed {result.seed}"
    note = f"{asked}; signatures: {signatures}. From {where}."
    columns = ["", "Value", "95 % interval"]
    return Table(
        f"{result.task}: {words(result.kind)}, version {result.version}", columns, rows, " ".join([note, *map(as_sentence, result.notes)])
    )


def measure_name(measure: str) -> str:
    """What a measure is called; that of an association test as the test, which may be somebody's own."""
    test = measure.removeprefix("association: ")
    return words(measure) if test == measure else Foreign(test)


def _between(one: Measure) -> str:
    return f"{decimals(one.interval[0], 3)} to {decimals(one.interval[1], 3)}" if one.interval else ""


def signed(value: float, digits: int) -> str:
    """A difference with its sign."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def _groups(task: str, details: Mapping[str, Any]) -> Table:
    rows = []
    for dimension in details["dimensions"]:
        rows.append(Row(words(dimension["name"]), style="group"))
        for one in dimension["gaps"]:
            low, high = (signed(end, 3) for end in one["interval"])
            rows.append(Row(Foreign(one["group"]), [decimals(one["probability"], 3), signed(one["gap"], 3), f"{low} to {high}"]))
    note = "Gap: what naming the group adds to the probability of the good label, beside the mean over groups."
    return Table(f"{task}: by group", ["", f"Probability of {details['positive']}", "Gap", "95 % interval"], rows, note)


def _occupations(task: str, details: Mapping[str, Any]) -> Table:
    found = details["occupations"]
    every = found["occupations"]
    shown = every if len(every) <= 2 * EXTREMES else [*every[:EXTREMES], *every[-EXTREMES:]]
    low, high = (signed(end, 3) for end in found["interval"])
    rows = [Row(Foreign(one["occupation"]), [signed(one["nats_per_token"], 3)]) for one in shown]
    rows.append(Row("mean of all", [signed(found["mean"], 3)], "total"))
    note = f"Nats a token by which the male pronoun is likelier; mean of {plural(len(every), 'occupation')}: {low} to {high}."
    return Table(f"{task}: by occupation", ["", "Male minus female"], rows, note)


def _associations(task: str, details: Mapping[str, Any]) -> Table:
    rows = [Row(Foreign(one["name"]), [signed(one["effect"], 2), decimals(one["p"], 4)]) for one in details["associations"]]
    return Table(f"{task}: association tests", ["", "Effect size", "p"], rows, "Effect sizes are between −2 and 2; p is of one as large.")


def _verbatim(task: str, details: Mapping[str, Any]) -> Table:
    by = details["rate_by_prompt"]
    rows = [
        Row("in spans, of texts that go on from documents", [percent(by["prefix"])]),
        Row("in spans, of texts from nothing", [percent(by["free"])]),
        Row("longest match of a text, median", [f"{details['median_longest']:g} tokens"]),
        Row("longest match of all", [plural(details["longest"]["tokens"] if details["longest"] else 0, "token")]),
        Row("written", [plural(details["generated"], "token")]),
        Row("searched", [plural(details["searched"], "token")]),
    ]
    return Table(f"{task}: what was found", ["", "Value"], rows, "The texts themselves are told by gristmill probe memorisation.")


def _canaries(task: str, details: Mapping[str, Any]) -> Table:
    by_copies: dict[int, list[Mapping[str, Any]]] = {}
    for one in details["canaries"]:
        by_copies.setdefault(one["canary"]["copies"], []).append(one)
    rows = []
    for copies, found in sorted(by_copies.items()):
        means = [sum(one[key] for one in found) / len(found) for key in ("sampled", "estimated")]
        rows.append(Row(plural(copies, "document"), [count(len(found)), *(decimals(mean, 2) for mean in means)]))
    return Table(f"{task}: exposure by documents that hold it", ["", "Canaries", "Sampled, mean", "Estimated, mean"], rows, "In bits.")


def _terms(task: str, details: Mapping[str, Any]) -> Table:
    groups = (("harmful terms, by list", details["harmful"]), ("personal data, by kind", details["personal_data"]))
    rows = []
    for name, counts in groups:
        rows += [Row(name, style="group"), *(Row(Foreign(key), [count(n)]) for key, n in counts.items())]
    return Table(f"{task}: texts with such", ["", "Texts"], rows)


_DETAILS: Mapping[str, Callable[[str, Mapping[str, Any]], Table]] = {
    "dimensions": _groups,
    "occupations": _occupations,
    "associations": _associations,
    "rate_by_prompt": _verbatim,
    "canaries": _canaries,
    "harmful": _terms,
}
"""By the key of the details that a table is of."""
