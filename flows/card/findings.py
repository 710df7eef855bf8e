"""The model: *findings* are what evaluations and probes came to: a table for each result, with each system's measures ± their standard
error, and what a reader must know to compare them: items, digest of the data, seed, signatures.
"""

from __future__ import annotations

from flows.card.gather import CardFacts
from flows.report import model_sections
from flows.report.blocks import Block, Note, Section
from flows.report.facts import Found
from flows.report.probes import PLAINLY, tables
from flows.report.results import result_table
from flows.report.wording import plural

PROBES = {
    "memorisation": "verbatim memorisation of training text",
    "canaries": "exposure of planted canaries",
    "bias": "bias by templates and association tests",
    "harm": "harmful words and personal data in what it writes",
}
"""Beginnings of the names of a probe's results, and what they are about."""


def evaluation(facts: CardFacts) -> Section:
    blocks: list[Block] = [result_table(one.result, one.where) for one in facts.found]
    before = model_sections.evaluation(facts.run)
    if before:
        blocks += before.blocks
    if not blocks:
        return Section("evaluation", "Evaluation", "Not measured: no evaluation of it is in the store.", [])
    said = [f"Evaluated on {plural(len(facts.found), 'task')}." if facts.found else "", before.lead if before else ""]
    if facts.older:
        said.append(f"{plural(facts.older, 'older result')} of the same questions are left out.")
    return Section("evaluation", "Evaluation", " ".join(filter(None, said)), blocks)


def probes(facts: CardFacts) -> Section:
    blocks: list[Block] = [table for one in facts.probes for table in tables(one)]
    missing = unmeasured(facts)
    if missing:
        blocks.append(Note(f"Not measured: {'; '.join(missing)}."))
    lead = f"What people worry about, as far as it was measured. {PLAINLY}"
    if not facts.probes:
        lead = "Nothing of what people worry about was measured."
    return Section("probes", "Bias, memorisation, harm", lead, blocks)


def unmeasured(facts: CardFacts) -> list[str]:
    """What no probe that the card knows of has asked."""
    return [about for name, about in PROBES.items() if not any(_is(one, name) for one in facts.probes)]


def _is(found: Found, name: str) -> bool:
    return found.result.task == name or found.result.task.startswith(f"{name}-")
