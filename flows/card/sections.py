"""The model: a card's *sections*, in the words of a report's: what the model is, how it is loaded, what it was made from and by which
settings, what was found about it, and what nobody knows. A figure's row says where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.card.findings import evaluation, probes
from flows.card.gather import CardFacts
from flows.card.limits import limits
from flows.card.loading import loading
from flows.report import model_sections
from flows.report.blocks import Block, Figure, Foreign, Grid, Note, Row, Section, Table, Words
from flows.report.facts import Curve, Training
from flows.report.ledger_sections import reasons
from flows.report.results import seeds_table
from flows.report.wording import count, decimals, percent, plural, short, size, three_digits
from schemas.ledger import Ledger

NOT_TOLD = "not told"
POINTS = 8
"""Rows of a curve as a table."""


def sections(facts: CardFacts) -> list[Section]:
    """All of them, in order; a section that has nothing to say of this model says so, or is left out where it can't apply."""
    made = (model, loading, data, training, finetuning, evaluation, probes, cost, limits, lineage)
    return [section for make in made if (section := make(facts))]


def model(facts: CardFacts) -> Section:
    made = {"pretrain": "pretrained here", "finetune": "fine-tuned here", "import": "imported"}.get(
        facts.step, f"made by step {facts.step}"
    )
    parameters = facts.facts.get("parameters")
    config, step = "config.json", f"facts of step {facts.step}"
    tokenizer = next((n for n in facts.run.lineage if n.kind == "tokenizer"), None)
    rows = [
        ("Artifact", facts.reference, "the store"),
        ("Class", ", ".join(facts.config.get("architectures") or [NOT_TOLD]), config),
        ("Family", facts.model_type, config),
        ("Parameters", count(parameters) if parameters else NOT_TOLD, step),
        ("Vocabulary", plural(facts.config["vocab_size"], "token"), config),
        ("Tokenizer", f"{tokenizer.kind}/{tokenizer.name}@{tokenizer.version}" if tokenizer else "the model's own", "lineage"),
        *((Foreign(key), said(value), config) for key, value in facts.shape.items() if value is not None),
    ]
    lead = f"A {facts.model_type} model" + (f" of {short(parameters)} parameters" if parameters else "") + f", {made}."
    return Section("model", "What it is", lead, [_told("The model", rows)])


def _told(caption: str, rows: Sequence[tuple[str, str, str]], note: str = "") -> Table:
    return Table(caption, ["", Words("Value"), Words("From")], [Row(name, [value, where]) for name, value, where in rows], note)


def said(value: Any) -> str:
    """A setting's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "none"
    return "none" if value is None else str(value)


def data(facts: CardFacts) -> Section:
    ledgers = facts.run.ledgers
    if not ledgers:
        what = (
            "it was imported, and its files say nothing of what it was trained on" if "pretrain" not in facts.settings else "they are gone"
        )
        return Section("data", "Data", f"No documents of its lineage are in the store: {what}.", [])
    total = sum(ledgers.values(), Ledger())
    told = sum("license" in facts.terms.get(source, {}) for source in ledgers)
    lead = (
        f"Of {plural(total.records_read, 'record')} in {plural(len(ledgers), 'source')}, {count(total.records_kept)} were kept. "
        f"The licence of {plural(told, 'source')} is told, of {plural(len(ledgers) - told, 'source')} it is not."
    )
    note = "Licences and addresses are what a recipe says of its sources; nobody checked them. Theirs is not the model's licence."
    columns: list[str | Words] = ["", Words("Licence"), Words("Address")]
    terms = [
        Row(Foreign(source), [facts.terms.get(source, {}).get("license", NOT_TOLD), facts.terms.get(source, {}).get("url", NOT_TOLD)])
        for source in ledgers
    ]
    blocks: list[Block] = [Table("Sources and licences", columns, terms, note), _sources(ledgers), _rejects(ledgers)]
    if section := model_sections.tokens(facts.run):
        blocks += section.blocks
    return Section("data", "Data", lead, blocks)


def _sources(ledgers: Mapping[str, Ledger]) -> Table:
    rows = [Row(Foreign(source), _sums(ledger)) for source, ledger in ledgers.items()]
    if len(ledgers) > 1:
        rows.append(Row("all", _sums(sum(ledgers.values(), Ledger())), "total"))
    problems = [f"{source}: {problem}" for source, ledger in ledgers.items() for problem in ledger.imbalances()]
    note = "read = kept + rejected + failed. " + (f"It does not add up: {'; '.join(problems)}." if problems else "All sums balance.")
    return Table("Records by source, from the documents' ledger", ["", "Read", "Kept", "Rejected", "Failed", "Bytes kept"], rows, note)


def _sums(ledger: Ledger) -> list[str]:
    rejected = sum(ledger.rejected.values())
    return [*map(count, (ledger.records_read, ledger.records_kept, rejected, ledger.records_failed)), size(ledger.bytes_kept)]


def _rejects(ledgers: Mapping[str, Ledger]) -> Table:
    total = sum(ledgers.values(), Ledger())
    sources = list(ledgers)
    rows = [
        Row(Foreign(reason), [*(count(ledgers[s].rejected.get(reason, 0)) for s in sources), count(total.rejected[reason])])
        for reason in reasons(total)
    ] or [Row("none", [*("0" for _ in sources), "0"])]
    return Table("Rejected records, by reason", ["", *map(Foreign, sources), "All"], rows)


def training(facts: CardFacts) -> Section:
    if not facts.settings:
        return Section("training", "Training", "It was not trained here: how it was trained is not known.", [])
    blocks: list[Block] = []
    drawn = model_sections.training(facts.run)
    if drawn:
        blocks += drawn.blocks
    for step, run in (("pretrain", facts.run.pretrain), ("finetune", facts.run.finetune)):
        if run is not None:
            blocks += _curves(step, run)
            rows = [Row(Foreign(key), [value]) for key, value in _flat(facts.settings[step])]
            blocks.append(
                Table(f"Settings of {step}", ["", Words("Value")], rows, "From the identity of the step, with the recipe's keys.")
            )
    if "pretrain" not in facts.settings:
        blocks.append(Note("The model that it was fine-tuned from was imported: how that was trained is not known."))
    return Section("training", "Training", drawn.lead if drawn else "", blocks)


def _curves(step: str, run: Training) -> Iterator[Table]:
    """Loss, and what it was validated by, at a few steps."""
    curves = {"loss": run.loss, **{f"{run.validation_unit}, {lang}": c for lang, c in run.validation.items()}}
    if run.validation_accuracy.steps:
        curves["validation accuracy"] = run.validation_accuracy
    steps = sorted({step for curve in curves.values() for step in _few(curve).steps})
    shown = {name: dict(zip(curve.steps, curve.means, strict=True)) for name, curve in curves.items() if curve.steps}
    rows = [Row(count(at), [three_digits(values[at]) if at in values else "–" for values in shown.values()]) for at in steps]
    if rows:
        note = "A long run's loss is the mean over equal ranges of steps, told at the middle of the range. From metrics.jsonl."
        yield Table(f"Course of {step}, by step", ["", *shown], rows, note)


def _few(curve: Curve) -> Curve:
    """At most `POINTS` of a curve's points, the first and the last among them."""
    n = len(curve.steps)
    places = sorted({round(i * (n - 1) / (POINTS - 1)) for i in range(POINTS)}) if n > POINTS else range(n)
    return Curve(tuple(curve.steps[i] for i in places), tuple(curve.means[i] for i in places))


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in sorted(settings.items()):
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", said(None if value == {} else value)


def finetuning(facts: CardFacts) -> Section | None:
    run = facts.run.finetune
    if run is None:
        return None
    told = run.summary
    settings = facts.settings["finetune"]
    task = told.get("task") or {"name": settings.get("source"), "kind": "classification", "version": 1}
    metric = str(told.get("metric", "accuracy"))
    blocks: list[Block] = []
    labels = list(told.get("labels", ()))
    counts: Mapping[str, Mapping[str, int]] = told.get("n", {})
    if counts:
        subsets = list(counts)
        names = labels or sorted({label for of in counts.values() for label in of})
        rows = [Row(Foreign(label), [count(counts[s].get(label, 0)) for s in subsets]) for label in names]
        rows.append(Row("all", [count(sum(counts[s].values())) for s in subsets], "total"))
        blocks.append(Table("Examples by label", ["", *subsets], rows, "From the facts of step finetune."))
    blocks += seeds_table(told)
    blocks += [Note(f"{note[:1].upper()}{note[1:]}.") for note in told.get("examples", {}).get("notes", ())]
    if facts.examples:
        rows = [Row(role, [digest]) for role, digest in facts.examples.items()]
        blocks.append(Table("Files of examples", ["", Words("Digest of contents")], rows, "From the identity of the step."))
    lead = f"It was taught {task['name']}, a task of kind {task['kind']}, version {task['version']}"
    lead += f", with {plural(len(labels), 'label')}" if labels else ""
    lead += f", by method {settings.get('method', 'full')}."
    if (score := told.get("test", {}).get(metric)) is not None:
        error = told["test"].get(f"{metric}_standard_error")
        lead += f" The seed that was kept has {metric} {decimals(score, 3)}" + (f" ± {decimals(error, 3)}" if error is not None else "")
        lead += " on the test subset."
    return Section("finetuning", "Fine-tuning", lead, blocks)


def cost(facts: CardFacts) -> Section:
    if not facts.spent:
        return Section("cost", "Cost", "It was not trained here: what its training cost is not known.", [])
    blocks: list[Block] = []
    for step, one in facts.spent.items():
        run = {"pretrain": facts.run.pretrain, "finetune": facts.run.finetune}[step]
        used: Mapping[str, Any] = run.summary.get("environment", {}) if run else {}
        rows = [
            ("Tokens", count(one.tokens) if one.tokens else NOT_TOLD, "facts"),
            ("Operations", f"{one.operations:.3g}" if one.operations else "not counted", "counted from shape and tokens"),
            ("Seconds", decimals(one.seconds, 1) if one.seconds is not None else NOT_TOLD, "run.json"),
            ("Tries", count(one.tries), "run.json"),
            ("Peak memory of a rank", size(one.peak_bytes) if one.peak_bytes else NOT_TOLD, "run.json"),
            ("Of the peak of matrix products", percent(one.utilization) if one.utilization else NOT_TOLD, "run.json, median"),
            ("Hardware", str(used.get("card") or used.get("cpu") or NOT_TOLD), "facts"),
            ("Energy", _energy(one.kilowatt_hours), "seconds × CPUs × an assumption"),
        ]
        kept = f" From {facts.kept[step]}." if step in facts.kept else ""
        blocks += [_told(f"What {step} took", rows), Note(f"Energy of {step}: {one.assumption}.{kept}")]
    note = (
        "Operations are additions and multiplications of forward and backward passes. Seconds are of the command that ended the run, "
        "or those of all tokens at the median speed, if that is more. What was tried before, and evaluations, are not counted."
    )
    known = [one.kilowatt_hours for one in facts.spent.values() if one.kilowatt_hours is not None]
    lead = f"About {_energy(sum(known))} of energy for {plural(len(known), 'training')}, by an assumption." if known else ""
    return Section("cost", "Cost", lead or "Nothing tells how long it was trained.", [*blocks, Note(note)])


def _energy(kilowatt_hours: float | None) -> str:
    if kilowatt_hours is None:
        return "not estimated"
    return f"{three_digits(kilowatt_hours)} kWh" if kilowatt_hours >= 1 else f"{three_digits(kilowatt_hours * 1000)} Wh"


def lineage(facts: CardFacts) -> Section:
    section = model_sections.artifacts(facts.run)
    drawn = next(block for block in section.blocks if isinstance(block, Figure))
    opened = [block for block in section.blocks if isinstance(block, Grid)]
    columns: list[str | Words] = ["", Words("Artifact"), Words("Content digest")]
    rows = [Row(node.role, [f"{node.kind}/{node.name}@{node.version}", node.content_digest]) for node in facts.run.lineage]
    note = "Equal digests are equal contents. What is no longer in the store is left out."
    return Section(section.key, section.title, section.lead, [drawn, Table("What it was made from", columns, rows, note), *opened])
