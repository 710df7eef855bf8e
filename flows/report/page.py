"""The model: the page is one HTML file that needs nothing else: style and charts are inside, and so is one script, that sorts tables, hides
languages and looks into charts; without it the page says the same. A content security policy lets no other script run, and forbids any
request. All text from outside is escaped by the template engine and made `plain`.

Equal facts give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.report.blocks import Foreign, Page, Section, Tile
from flows.report.corpus_sections import add_up, corpus, texts
from flows.report.facts import Evaluation, ReportFacts
from flows.report.ledger_sections import funnel, rejects, total
from flows.report.model_sections import artifacts, evaluation, grouped, in_order, samples, system_name, tokens, training
from flows.report.probes import probes
from flows.report.results import seeds, tasks
from flows.report.tongues import ENGLISH, sayer, translated
from flows.report.wording import THIN, count, decimals, label, percent, plain, plural, short, signed_percent, size, words
from schemas.files import replace

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def policy(script: str) -> str:
    """The content security policy of a page that loads nothing, and runs this script alone."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"{POLICY}; script-src 'sha256-{digest}'"


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


NGRAMS = "Bits per byte: lower is better. KN: interpolated Kneser–Ney n-gram model of that order, on the same tokens."
WORDS = {
    "skip": "Skip to the figures",
    "sections": "Sections",
    "languages": "Languages that are shown",
    "balances": "✓ balances",
    "absent": "no text kept",
    "steps": "Steps that are shown",
    "step": "step",
    "in": "Nearer",
    "out": "Farther",
    "left": "Earlier steps",
    "right": "Later steps",
    "all": "All steps",
}
"""What the template itself says."""
SCRIPTS = ("filter", "explore", "sort")
TERMS = Markup(
    "A <dfn>record</dfn> is one unit of input; a <dfn>document</dfn> is a record that was kept, cleaned and annotated; a <dfn>reject</dfn> "
    "is one that was not, with its reason.\n1 kB is 1,000 bytes. Bits per byte: negative log<sub>2</sub>-likelihood of the text over its "
    "bytes of UTF-8, so that models with different tokenizers compare; lower is better."
)
ALONE = "This page holds all it shows: it loads nothing. Equal artifacts give this page again, byte for byte."


def render(facts: ReportFacts, tongue: str = ENGLISH) -> str:
    """The report page as HTML, in a tongue."""
    note = NGRAMS if facts.evaluation is not None else ""
    title, footer = "Gristmill report", [TERMS, ALONE]
    kicker = "Gristmill · report of a run"
    return render_page(Page(facts.name, kicker, title, sections(facts), tiles(facts), note, footer, languages_of(facts)), tongue)


def render_page(page: Page, tongue: str = ENGLISH) -> str:
    """A page as HTML."""
    say = sayer(tongue)
    told = {key: say(text) for key, text in WORDS.items()} | {"lang": tongue}
    style, script = own_text("flows.report", "style.css"), Markup("").join(own_text("flows.report", f"{name}.js") for name in SCRIPTS)
    return _TEMPLATES.get_template("page.html.j2").render(
        page=translated(page, say), words=told, policy=policy(script), style=style, script=script
    )


def languages_of(facts: ReportFacts) -> list[tuple[str, str]]:
    """What rows and series are about, in the page's order, with names."""
    found = {p.lang for p in facts.profiles} | {t.lang for t in facts.tokens}
    return [(Foreign(lang), label(lang)) for lang in in_order(found, facts)]


def write_report(path: Path, facts: ReportFacts, tongue: str = ENGLISH) -> None:
    """Write the report page to a file, replacing what was there at once; its folder must exist."""
    replace(path, render(facts, tongue).encode("utf-8"))


def sections(facts: ReportFacts) -> list[Section]:
    """The sections that there are figures for, in order."""
    made = (funnel, rejects, corpus, texts, tokens, training, seeds, evaluation, tasks, probes, samples, artifacts)
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
        found += evaluated_tiles(facts, facts.evaluation)
    elif facts.pretrain:
        for lang in in_order(facts.pretrain.validation, facts):
            last = facts.pretrain.validation[lang].means[-1]
            unit = "bits/byte" if facts.pretrain.validation_unit == "bits per byte" else "nats/token"
            found.append(Tile(label(lang), decimals(last, 3), unit, ["validation subset", "at the last step"]))
    return found


def evaluated_tiles(facts: ReportFacts, evaluation: Evaluation) -> list[Tile]:
    """The headline figures of an evaluation."""
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
