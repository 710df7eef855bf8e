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
from flows.report.facts import ReportFacts
from flows.report.ledger_sections import funnel, rejects, total
from flows.report.model_sections import artifacts, evaluation, samples, system_name, tokens, training
from flows.report.wording import count, decimals, language, percent, plain, short, signed_percent, size
from schemas.files import replace

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _finalize(value: Any) -> Any:
    """Applied to every value that the template writes, before it is escaped."""
    return value if isinstance(value, Markup) else plain(str(value))


_TEMPLATES = Environment(
    loader=PackageLoader("flows.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_finalize,
)


def render(facts: ReportFacts) -> str:
    """The report page as HTML."""
    style = Markup(files("flows.report").joinpath("style.css").read_text(encoding="utf-8"))  # our own file, not escaped
    page = _TEMPLATES.get_template("page.html.j2")
    return page.render(name=facts.name, policy=POLICY, style=style, tiles=tiles(facts), sections=sections(facts))


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
    found = [
        Tile("documents kept", count(kept.documents), [f"{share} of {count(ledger.records_read)} records read"]),
        Tile("text", size(kept.bytes), ["clean UTF-8", f"{short(kept.words)} words, {short(kept.characters)} characters"]),
    ]
    if facts.tokens:
        n, n_bytes = sum(t.tokens for t in facts.tokens), sum(t.bytes for t in facts.tokens)
        vocabulary = [f"vocabulary {count(facts.tokenizer.vocab_size)}"] if facts.tokenizer else []
        found.append(Tile("tokens", short(n), [f"{decimals(n_bytes / max(n, 1), 2)} bytes a token", *vocabulary]))
    if facts.evaluation:
        found += _evaluated(facts)
    elif facts.pretrain and facts.pretrain.validation:
        for lang, curve in facts.pretrain.validation.items():
            found.append(Tile(f"{language(lang)}, bits per byte", decimals(curve.means[-1], 3), ["validation, at the last step"]))
    return found


def _evaluated(facts: ReportFacts) -> list[Tile]:
    assert facts.evaluation
    found = []
    for group in (g for g in facts.evaluation.groups if g.by == "language"):
        against = [f"{signed_percent(s.relative)} against {system_name(s.name)}" for s in group.baselines if s.relative is not None]
        found.append(Tile(f"{language(group.name)}, bits per byte", decimals(group.ours.bits_per_byte, 3), [facts.evaluation.subset, *against]))
    classification = facts.evaluation.classification
    if classification:
        ours, *baselines = classification.classifiers
        error = f"± {ours.standard_error * 100:.1f} points (standard error)" if ours.standard_error is not None else ""
        beside = [f"{b.name} {percent(b.accuracy)}" for b in baselines]
        found.append(Tile("sentiment accuracy", percent(ours.accuracy), [note for note in (error, *beside) if note]))
    return found
