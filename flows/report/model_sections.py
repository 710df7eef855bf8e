"""The model: the sections on what was made of the documents: tokens, trained models, their evaluation, and the lineage
that leads from one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from flows.report.blocks import Block, Disclosure, Excerpt, Figure, Grid, Row, Section, Table
from flows.report.charts import Estimate, Series, intervals, lines
from flows.report.corpus_sections import tones
from flows.report.facts import Classification, Evaluation, Group, Node, ReportFacts, System, Training
from flows.report.lineage import lineage
from flows.report.svg import TONES
from flows.report.wording import MINUS, accuracy, count, decimals, language, percent, short, signed_percent, size
from schemas.arrow import SUBSETS


def system_name(name: str) -> str:
    """`kneser_ney_5` as people write it."""
    stem, _, order = name.rpartition("_")
    return f"KN {order}" if stem == "kneser_ney" else name


def tokens(facts: ReportFacts) -> Section | None:
    if not facts.tokenizer and not facts.tokens:
        return None
    said = []
    if facts.tokenizer:
        special = ", ".join(f"{name} {number}" for name, number in sorted(facts.tokenizer.special_tokens.items(), key=lambda x: x[1]))
        said.append(f"The vocabulary has {count(facts.tokenizer.vocab_size)} tokens (special ones: {special}).")
    if facts.tokens:
        everything, n_bytes = sum(t.tokens for t in facts.tokens), sum(t.bytes for t in facts.tokens)
        said.append(f"The text is {count(everything)} tokens, {decimals(n_bytes / max(everything, 1), 2)} bytes a token.")
    return Section("tokens", "Tokenizer and tokens", " ".join(said), [_token_table(facts)])


def _token_table(facts: ReportFacts) -> Table:
    if not facts.tokens:
        sampled = facts.tokenizer.bytes_per_token if facts.tokenizer else {}
        rows = [Row(language(lang), [decimals(value, 2)]) for lang, value in sampled.items()]
        return Table("Bytes a token, on the tokenizer's sample", ["", "Bytes a token"], rows)
    subsets = [s for s in SUBSETS if any(t.subset == s for t in facts.tokens)]
    languages = sorted({t.lang for t in facts.tokens}, key=lambda lang: (-sum(t.bytes for t in facts.tokens if t.lang == lang), lang))
    rows = []
    for lang in [*languages, None]:
        of = [t for t in facts.tokens if lang in (None, t.lang)]
        n, n_bytes = sum(t.tokens for t in of), sum(t.bytes for t in of)
        by_subset = [count(sum(t.tokens for t in of if t.subset == s)) for s in subsets]
        cells = [*by_subset, count(n), size(n_bytes), decimals(n_bytes / n, 2) if n else "–"]
        rows.append(Row(language(lang) if lang else "all", cells, "" if lang else "total"))
    note = "Without special tokens. Bytes are of the UTF-8 text; more bytes a token means shorter sequences."
    return Table("Tokens by language", ["", *subsets, "All tokens", "Bytes", "Bytes a token"], rows, note)


def training(facts: ReportFacts) -> Section | None:
    if not facts.pretrain and not facts.finetune:
        return None
    said, charts = [], []
    if facts.pretrain:
        said.append(_course("Pretraining", facts.pretrain, "nats a token"))
        charts += _charts("pretrain", "Pretraining", facts.pretrain, "loss, nats a token", facts)
    if facts.finetune:
        said.append(_course("Fine-tuning", facts.finetune, "nats a document"))
        charts += _charts("finetune", "Fine-tuning", facts.finetune, "loss, nats a document", facts)
    return Section("training", "Training", " ".join(said), [Grid(charts)])


def _course(name: str, run: Training, unit: str) -> str:
    parameters, seen = run.summary.get("parameters"), run.summary.get("tokens")
    model = f" of a model of {short(parameters)} parameters" if parameters else ""
    text = f", {short(seen)} tokens" if seen else ""
    loss = f": the loss fell from {decimals(run.loss.means[0], 2)} to {decimals(run.loss.means[-1], 2)} {unit}" if run.loss.steps else ""
    return f"{name}{model} took {count(run.last_step)} steps{text}{loss}."


def _charts(key: str, name: str, run: Training, loss: str, facts: ReportFacts) -> list[Figure]:
    colours = tones(facts)
    charts = []
    if run.loss.steps:
        one = [Series("loss", 5, run.loss)]
        said = "Line: mean over ranges of steps; band: lowest to highest." if run.loss.means != run.loss.highs else "Every step."
        charts.append(Figure(f"{name} loss. {said}", lines(f"{key}-loss", f"{name} loss", one, loss, band=True, named=False)))
    if run.validation:
        many = [Series(language(lang), colours.get(lang, index), c) for index, (lang, c) in enumerate(run.validation.items())][:TONES]
        charts.append(Figure(f"{name}: validation, bits per byte by language; lower is better.", lines(f"{key}-validation", f"{name} validation", many, "bits per byte")))
    if run.learning_rate.steps:
        one = [Series("learning rate", 5, run.learning_rate)]
        charts.append(Figure(f"{name} learning rate.", lines(f"{key}-lr", f"{name} learning rate", one, "learning rate", write=_rate, from_zero=True, named=False, height=200.0)))
    if run.gradient_norm.steps:
        one = [Series("gradient norm", 5, run.gradient_norm)]
        charts.append(Figure(f"{name} gradient norm before clipping.", lines(f"{key}-norm", f"{name} gradient norm", one, "gradient norm", from_zero=True, band=True, named=False, height=200.0)))
    return charts


def _rate(value: float) -> str:
    return f"{value:.2g}".replace("-", MINUS) if value else "0"


def evaluation(facts: ReportFacts) -> Section | None:
    found = facts.evaluation
    if not found:
        return None
    blocks: list[Block] = []
    if found.groups:
        blocks += [Grid(_drawn(found, facts)), _scores(found)]
    if found.classification:
        blocks.append(_classification(found.classification))
    return Section("evaluation", "Evaluation", _judged(found), blocks)


def _judged(found: Evaluation) -> str:
    said = [f"Measured on the {found.subset} subset, which no step was trained on."]
    for group in (g for g in found.groups if g.by == "language" and g.baselines):
        near = min(group.baselines, key=lambda s: s.bits_per_byte)
        if near.relative is not None:
            how = "below" if near.relative < 0 else "above"
            said.append(f"{language(group.name).capitalize()}: {percent(abs(near.relative))} {how} the best n-gram model.")
    return " ".join(said)


def _drawn(found: Evaluation, facts: ReportFacts) -> list[Figure]:
    colours, figures = tones(facts), []
    largest = {c.source: c.lang for c in sorted(facts.cells, key=lambda c: c.bytes)}
    for by in ("language", "source"):
        groups = [g for g in found.groups if g.by == by]
        if not groups:
            continue
        rows = [
            Estimate(
                language(g.name) if by == "language" else g.name,
                colours.get(g.name if by == "language" else largest.get(g.name, ""), 5),
                g.ours.bits_per_byte,
                g.ours.interval,
                [(system_name(s.name), s.bits_per_byte) for s in g.baselines],
            )
            for g in groups
        ]
        chart = intervals(f"bits-by-{by}", f"Bits per byte by {by}", rows, "bits per byte")
        figures.append(Figure(f"Bits per byte by {by}, lower is better. Dot and line: our model and its 95 % interval; squares: Kneser–Ney.", chart))
    return figures


def _scores(found: Evaluation) -> Table:
    orders = [s.name for s in found.groups[0].baselines]
    columns = ["", "Bytes", "Tokens", "Perplexity", "Bits per byte", "95 % interval"]
    for name in orders:
        columns += [system_name(name), "difference"]
    rows: list[Row] = []
    for by in ("language", "source"):
        groups = [g for g in found.groups if g.by == by]
        if groups:
            rows += [Row(f"by {by}", [], "group"), *(_score(g, language(g.name) if by == "language" else g.name) for g in groups)]
    note = (
        "KN: interpolated Kneser–Ney of that order on the same tokens, in bits per byte; difference: our bits per byte against it, "
        "negative is better. Intervals: 95 % bootstrap over documents. Perplexity is per token and compares only under one tokenizer."
    )
    return Table(f"Language modelling on the {found.subset} subset", columns, rows, note)


def _score(group: Group, name: str) -> Row:
    ours = group.ours
    cells = [size(group.bytes), count(group.tokens), decimals(ours.perplexity, 1), decimals(ours.bits_per_byte, 3), _interval(ours)]
    for s in group.baselines:
        cells += [decimals(s.bits_per_byte, 3), signed_percent(s.relative) if s.relative is not None else "–"]
    return Row(name, cells)


def _interval(system: System) -> str:
    return f"{decimals(system.interval[0], 3)} – {decimals(system.interval[1], 3)}"


def _classification(found: Classification) -> Table:
    rows = [Row(c.name, [accuracy(c), decimals(c.macro_f1, 3) if c.macro_f1 is not None else "–"], "total" if i == 0 else "") for i, c in enumerate(found.classifiers)]
    caption = f"Classification of {found.source}, {count(found.documents)} held-out documents"
    return Table(caption, ["", "Accuracy ± standard error", "Macro F1"], rows)


def samples(facts: ReportFacts) -> Section | None:
    if not facts.evaluation or not facts.evaluation.samples:
        return None
    shown = [Excerpt("", (), "", s.prompt, s.text, False) for s in facts.evaluation.samples]
    lead = "What the pretrained model writes after a prompt (in bold). Drawn once with the recipe's seed, not chosen."
    return Section("samples", "Generated samples", lead, [Grid(shown)])


def artifacts(facts: ReportFacts) -> Section:
    rows = [
        Row(n.role, [f"{n.kind}/{n.name}", n.version, f"{n.step} v{n.step_version}", n.fingerprint[:16], n.content_digest[:16], count(n.files), size(n.bytes)])
        for n in facts.lineage
    ]
    columns = ["", "|Artifact", "|Version", "|Step", "|Fingerprint", "|Content digest", "Files", "Bytes"]
    note = "Fingerprint: what decided the output (step, settings, inputs, engines). Content digest: what came out. First 16 digits of SHA-256."
    lead = "Every artifact is named by what decided it. Equal fingerprints mean equal content, byte for byte."
    blocks: list[Block] = [
        Figure("An arc joins an artifact to every later one that was made from it.", lineage("lineage", "Lineage of artifacts", facts.lineage)),
        Table("Artifacts of this run", columns, rows, note),
        Grid([_identity(n) for n in facts.lineage]),
    ]
    return Section("lineage", "Lineage", lead, blocks)


def _identity(node: Node) -> Disclosure:
    identity = {
        "fingerprint": node.fingerprint,
        "content_digest": node.content_digest,
        "inputs": node.inputs,
        "engines": node.engines,
        "settings": node.settings,
    }
    return Disclosure(f"Identity of {node.role}: settings, engines, inputs", json.dumps(identity, indent=2, ensure_ascii=False, sort_keys=True))


def best_baselines(groups: Sequence[Group]) -> list[str]:
    """Lines for the headline: bits per byte by language beside each baseline."""
    return [
        f"{language(g.name)} {decimals(g.ours.bits_per_byte, 3)}" + "".join(f", {system_name(s.name)} {decimals(s.bits_per_byte, 3)}" for s in g.baselines)
        for g in groups
        if g.by == "language"
    ]
