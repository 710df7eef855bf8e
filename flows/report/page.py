"""The model: the page is one HTML file that needs nothing else: style and charts are inside, there is no script, and a
content security policy forbids any request. All text from outside is escaped by the template engine and made `plain`.

Equal facts give equal bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.report.blocks import Section, Tile
from flows.report.corpus_sections import add_up, corpus, texts
from flows.report.facts import Evaluation, ReportFacts
from flows.report.ledger_sections import funnel, rejects, total
from flows.report.model_sections import artifacts, evaluation, grouped, in_order, samples, system_name, tokens, training
from flows.report.wording import THIN, count, decimals, label, percent, plain, plural, short, signed_percent, size, words
from schemas.files import replace

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _finalize(value: Any) -> Any:
    """Applied to every value that the template writes, before it is escaped."""
    return value if isinstance(value, Markup) else plain(str(value))


def templates(package: str) -> Environment:
    """Templates beside the modules of a package; what they write is escaped and made plain."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )


def own_text(package: str, name: str) -> Markup:
    """A file of our own beside the modules of a package: not escaped."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))


_TEMPLATES = templates("flows.report")


def render(facts: ReportFacts) -> str:
    """The report page as HTML."""
    page = _TEMPLATES.get_template("page.html.j2")
    return page.render(
        name=facts.name,
        policy=POLICY,
        style=own_text("flows.report", "style.css"),
        tiles=tiles(facts),
        sections=sections(facts),
        measured=facts.evaluation is not None,
    )


def write_report(path: Path, facts: ReportFacts) -> None:
    """Write the report page to a file, replacing what was there at once; its folder must exist."""
    replace(path, render(facts).encode("utf-8"))


def sections(facts: ReportFacts) -> list[Section]:
    """The sections that there are figures for, in order."""
    made = (funnel, rejects, corpus, texts, tokens, training, evaluation, samples, artifacts)
    return [section for make in made if (section := make(facts))]


def tiles(facts: ReportFacts) -> list[Tile]:
    """The headline figures that the run has come to."""
    ledger, kept = total(facts.ledgers), add_up(facts.cells)
    share = percent(ledger.records_kept / ledger.records_read if ledger.records_read else 0.0)
    text = ["clean UTF-8", f"{short(kept.words)} words", f"{short(kept.characters)} characters"]
    found = [
        Tile("documents kept", *_parted(short(kept.documents)), [f"{share} of", f"{plural(ledger.records_read, 'record')} read"]),
        Tile("text", *_parted(size(kept.bytes)), text),
    ]
    if facts.tokens:
        n, n_bytes = sum(t.tokens for t in facts.tokens), sum(t.bytes for t in facts.tokens)
        vocabulary = [f"vocabulary {count(facts.tokenizer.vocab_size)}"] if facts.tokenizer else []
        found.append(Tile("tokens", *_parted(short(n)), [f"{decimals(n_bytes / max(n, 1), 2)} bytes a token", *vocabulary]))
    if facts.evaluation:
        found += _evaluated(facts, facts.evaluation)
    elif facts.pretrain:
        for lang in in_order(facts.pretrain.validation, facts):
            last = facts.pretrain.validation[lang].means[-1]
            unit = "bits/byte" if facts.pretrain.validation_unit == "bits per byte" else "nats/token"
            found.append(Tile(label(lang), decimals(last, 3), unit, ["validation subset", "at the last step"]))
    return found


def _evaluated(facts: ReportFacts, evaluation: Evaluation) -> list[Tile]:
    found = []
    for group in grouped(evaluation, "language", facts):
        against = [f"{signed_percent(s.relative)} vs {system_name(s.name)}" for s in group.baselines if s.relative is not None]
        found.append(Tile(label(group.name), decimals(group.ours.bits_per_byte, 3), "bits/byte", [f"{evaluation.subset} subset", *against]))
    if evaluation.classification:
        ours, *baselines = evaluation.classification.classifiers
        error = f"± {ours.standard_error * 100:.1f} standard error"
        beside = [f"{words(b.name)} {percent(b.accuracy)}" for b in baselines]
        found.append(Tile(f"accuracy on {evaluation.classification.source}", *_parted(percent(ours.accuracy)), [error, *beside]))
    return found


def _parted(figure: str) -> tuple[str, str]:
    """A figure and its unit."""
    value, _, unit = figure.partition(THIN)
    return value, unit
