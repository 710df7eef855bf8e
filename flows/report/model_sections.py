"""The model: the sections on what was made of the documents: tokens, trained models, their evaluation, and the lineage
that leads from one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from flows.report.blocks import Block, Disclosure, Excerpt, Figure, Foreign, Grid, Note, Row, Section, Table, Words
from flows.report.charts import Estimate, Series, intervals, lines
from flows.report.corpus_sections import tones
from flows.report.facts import Classification, Evaluation, Group, Node, ReportFacts, System, Training
from flows.report.lineage import lineage
from flows.report.svg import TONES
from flows.report.wording import accuracy, count, decimals, label, percent, plural, short, signed_percent, size, words
from schemas.arrow import SUBSETS

_NEUTRAL = 5
"""Tone of what belongs to no language."""
_CLASSIFIERS = {"model": "fine-tuned model", "majority": "majority label"}


def system_name(name: str) -> str:
    """`kneser_ney_5` as people write it."""
    stem, _, order = name.rpartition("_")
    return f"KN {order}" if stem == "kneser_ney" else words(name)


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
    tables = [_token_table(facts)] + ([_sampling_table(facts)] if facts.sampled else [])
    return Section("tokens", "Tokenizer and tokens", " ".join(said), tables)


def _sampling_table(facts: ReportFacts) -> Table:
    everything = sum(s.epoch for s in facts.sampled)
    rows = [
        Row(
            f"{s.source}, {label(s.lang)}",
            [count(s.tokens), count(s.epoch), decimals(s.epoch / max(s.tokens, 1), 2), percent(s.epoch / max(everything, 1))],
            of=s.lang,
        )
        for s in facts.sampled
    ]
    note = "Documents are read as often as their weight says: by source, by language, and less if the recipe weighs down what is harmful."
    return Table("What an epoch of training reads", ["", "Training tokens", "Read in an epoch", "Times", "Share"], rows, note)


def _token_table(facts: ReportFacts) -> Table:
    if not facts.tokens:
        sampled = facts.tokenizer.bytes_per_token if facts.tokenizer else {}
        rows = [Row(label(lang), [decimals(sampled[lang], 2)], of=lang) for lang in in_order(sampled, facts)]
        return Table("Bytes a token, on the tokenizer's sample", ["", "Bytes a token"], rows)
    subsets = [s for s in SUBSETS if any(t.subset == s for t in facts.tokens)]
    languages = in_order({t.lang for t in facts.tokens}, facts)
    rows = []
    for lang in [*languages, None]:
        of = [t for t in facts.tokens if lang in (None, t.lang)]
        n, n_bytes = sum(t.tokens for t in of), sum(t.bytes for t in of)
        by_subset = [count(sum(t.tokens for t in of if t.subset == s)) for s in subsets]
        cells = [*by_subset, count(n), size(n_bytes), decimals(n_bytes / n, 2) if n else "–"]
        rows.append(Row(label(lang) if lang else "all", cells, "" if lang else "total", of=lang))
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
    said = f"{name}{f' a model of {short(parameters)} parameters' if parameters else ''} took {plural(run.last_step, 'step')}"
    said += f" and {short(seen)} tokens" if seen else ""
    if run.loss.steps:
        smoothed = "smoothed " if run.loss.lows != run.loss.highs else ""
        said += f"; the {smoothed}loss went from {decimals(run.loss.means[0], 2)} to {decimals(run.loss.means[-1], 2)} {unit}"
    if run.validation_accuracy.steps:
        said += f", the accuracy on the validation subset to {percent(run.validation_accuracy.means[-1])}"
    return said + "."


def _charts(key: str, name: str, run: Training, loss: str, facts: ReportFacts) -> list[Figure]:
    """Loss, validation, learning rate and gradient norm, as far as they were recorded."""
    colours, figures = tones(facts), []

    def add(measure: str, y_name: str, drawn: Sequence[Series], note: str = "", **how: bool) -> None:
        if any(s.curve.steps for s in drawn):
            figures.append(
                Figure(
                    f"{name}: {measure}",
                    lines(f"{key}-{measure.replace(' ', '-')}", f"{name}: {measure}", drawn, y_name, **how),
                    note,
                    steps=True,
                )
            )

    banded = "Line: mean over equal ranges of steps; band: lowest to highest value there." if run.loss.lows != run.loss.highs else ""
    add("loss", loss, [Series("loss", _NEUTRAL, run.loss)], banded, band=True, named=False)
    by_language = [Series(label(lang), colours.get(lang, _NEUTRAL), run.validation[lang], lang) for lang in in_order(run.validation, facts)]
    add("validation", run.validation_unit, by_language[:TONES], "On held-out text of each language; lower is better.")
    add("learning rate", "learning rate", [Series("learning rate", _NEUTRAL, run.learning_rate)], from_zero=True, named=False)
    if key == "pretrain":
        norm = [Series("gradient norm", _NEUTRAL, run.gradient_norm)]
        add("gradient norm", "norm before clipping", norm, from_zero=True, band=True, named=False)
    return figures


def in_order(languages: Iterable[str], facts: ReportFacts) -> list[str]:
    """Languages in the order that the whole page has them in."""
    place = {p.lang: index for index, p in enumerate(facts.profiles)}
    return sorted(languages, key=lambda lang: (place.get(lang, len(place)), lang))


def evaluation(facts: ReportFacts) -> Section | None:
    found = facts.evaluation
    if not found:
        return None
    blocks: list[Block] = []
    if found.groups:
        blocks += [Grid(_drawn(found, facts)), _scores(found, facts)]
    if found.classification:
        blocks.append(_classification(found.classification))
    return Section("evaluation", "Evaluation", _judged(found, facts), blocks)


def _judged(found: Evaluation, facts: ReportFacts) -> str:
    chose = " Checkpoints and baselines were chosen on it, so its figures flatter." if found.subset == "validation" else ""
    said = [f"Measured on the {found.subset} subset, on whose text no weight was trained.{chose}"]
    for group in grouped(found, "language", facts):
        known = [(s.relative, s.name) for s in group.baselines if s.relative is not None]
        if known:
            share, name = max(known)
            how = "below" if share < 0 else "above"
            said.append(f"{_group_name(group)}: {percent(abs(share))} {how} the best n-gram model ({system_name(name)}).")
    return " ".join(said)


def grouped(found: Evaluation, by: str, facts: ReportFacts) -> list[Group]:
    """The groups by language or by source, in the page's order."""
    groups = {group.name: group for group in found.groups if group.by == by}
    return [groups[name] for name in (in_order(groups, facts) if by == "language" else sorted(groups))]


def _group_name(group: Group) -> str:
    return label(group.name) if group.by == "language" else Foreign(group.name)


def _drawn(found: Evaluation, facts: ReportFacts) -> list[Figure]:
    colours, figures = tones(facts), []
    main_language = {cell.source: cell.lang for cell in sorted(facts.cells, key=lambda cell: cell.bytes)}
    for by in ("language", "source"):
        rows = [
            Estimate(
                _group_name(g),
                colours.get(g.name if by == "language" else main_language.get(g.name, ""), _NEUTRAL),
                g.ours.bits_per_byte,
                g.ours.interval,
                [(system_name(s.name), s.bits_per_byte) for s in g.baselines],
                g.name if by == "language" else None,
            )
            for g in grouped(found, by, facts)
        ]
        if rows:
            chart = intervals(f"bits-by-{by}", f"Bits per byte by {by}", rows, "bits per byte, lower is better")
            figures.append(
                Figure(f"Bits per byte by {by}", chart, "Dot and line: our model and its 95 % interval. Squares: n-gram models (KN).")
            )
    return figures


def _scores(found: Evaluation, facts: ReportFacts) -> Table:
    columns = ["", "Bytes", "Tokens", "Perplexity", "Bits per byte", "95 % interval"]
    for system in found.groups[0].baselines:
        columns += [system_name(system.name), "difference"]
    rows: list[Row] = []
    for by in ("language", "source"):
        rows += [Row(f"by {by}", [], "group"), *(_score(group) for group in grouped(found, by, facts))]
    note = (
        "KN: bits per byte of interpolated Kneser–Ney of that order on the same tokens, fitted on all training text or on the language's "
        "own, whichever does better on validation text. Difference: our bits per byte against it; below zero ours is better. "
        "Intervals: 95 %, bootstrap over documents. Perplexity, per token, compares under one tokenizer only."
    )
    return Table(f"Language modelling on the {found.subset} subset", columns, rows, note)


def _score(group: Group) -> Row:
    ours = group.ours
    cells = [size(group.bytes), count(group.tokens), decimals(ours.perplexity, 1), decimals(ours.bits_per_byte, 3), _interval(ours)]
    for s in group.baselines:
        cells += [decimals(s.bits_per_byte, 3), signed_percent(s.relative) if s.relative is not None else "–"]
    return Row(_group_name(group), cells, of=group.name if group.by == "language" else None)


def _interval(system: System) -> str:
    return f"{decimals(system.interval[0], 3)} – {decimals(system.interval[1], 3)}"


def classifier_name(name: str) -> str:
    return _CLASSIFIERS.get(name, words(name))


def _classification(found: Classification) -> Table:
    rows = [
        Row(classifier_name(c.name), [accuracy(c), decimals(c.macro_f1, 3)], "" if index else "total")
        for index, c in enumerate(found.classifiers)
    ]
    caption = f"Classification of {found.source}: {plural(found.documents, 'held-out document')}"
    note = "Bag of words: a logistic regression on character n-grams. All learn from the same training documents."
    return Table(caption, ["", "Accuracy ± standard error", "Macro F1"], rows, note)


def samples(facts: ReportFacts) -> Section | None:
    if not facts.evaluation or not facts.evaluation.samples:
        return None
    shown = [Excerpt("", (), "", s.prompt, s.text, False) for s in facts.evaluation.samples]
    lead = "What the pretrained model writes after a prompt (in bold). Drawn once with the recipe's seed, not chosen."
    return Section("samples", "Generated samples", lead, [Grid(shown)])


def artifacts(facts: ReportFacts) -> Section:
    rows = [
        Row(
            node.role,
            [f"{node.kind}/{node.name}", node.version, f"{node.step} {node.step_version}", node.fingerprint[:12], node.content_digest[:12]],
        )
        for node in facts.lineage
    ]
    columns: list[str | Words] = [
        "",
        Words("Artifact"),
        Words("Version"),
        Words("Step, version"),
        Words("Fingerprint"),
        Words("Content digest"),
    ]
    note = "Fingerprint: of what decided the output (step, settings, inputs, engines). Content digest: of what came out. First 12 digits."
    lead = "Every artifact is named by what decided it: equal fingerprints mean equal inputs, settings and code."
    drawn = lineage("lineage-chart", "Lineage of artifacts", facts.lineage)
    blocks: list[Block] = [
        Figure("What was made from what", drawn, "An arc joins an artifact to each later one that was made from it."),
        Table("Artifacts of this run", columns, rows, note),
        *(Note(f"{node.role}: this version {node.forgotten}.") for node in facts.lineage if node.forgotten),
        Grid([_identity(node) for node in facts.lineage]),
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
    return Disclosure(
        f"Identity of {node.role}: settings, engines, inputs", json.dumps(identity, indent=2, ensure_ascii=False, sort_keys=True)
    )
