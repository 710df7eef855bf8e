"""The model: a card as a *page* is a report's page with the card's sections: one HTML file that needs nothing else."""

from __future__ import annotations

from flows.card.gather import CardFacts
from flows.card.sections import sections
from flows.report.blocks import Page, Tile
from flows.report.page import ALONE, TERMS, evaluated_tiles, languages_of, render_page
from flows.report.results import figure
from flows.report.tongues import ENGLISH
from flows.report.wording import THIN, count, short, words
from schemas.results import MODEL

TILES = 4
"""Results that a card begins with."""


def render_card(facts: CardFacts, tongue: str = ENGLISH) -> str:
    """The card as HTML. Equal facts give equal bytes."""
    title, told = "Gristmill model card", (sections(facts), tiles(facts))
    return render_page(Page(facts.name, "Gristmill · model card", title, *told, "", [TERMS, ALONE], languages_of(facts.run)), tongue)


def tiles(facts: CardFacts) -> list[Tile]:
    found = [Tile("model", facts.model_type, "", [f"vocabulary {count(facts.config['vocab_size'])}"])]
    if parameters := facts.facts.get("parameters"):
        value, _, unit = short(parameters).partition(THIN)
        found.append(Tile("parameters", value, unit, [f"step {facts.step}"]))
    if facts.run.ledgers:
        kept = sum(ledger.records_kept for ledger in facts.run.ledgers.values())
        value, _, unit = short(kept).partition(THIN)
        found.append(Tile("documents", value, unit, [f"{count(len(facts.run.ledgers))} sources"]))
    if facts.run.evaluation and not facts.found:
        found += evaluated_tiles(facts.run, facts.run.evaluation)
    for one in facts.found[:TILES]:
        result = one.result
        value, _, error = figure(result.headline, result.systems[MODEL][result.headline]).partition(" ")
        found.append(Tile(words(result.task), value, "", [words(result.headline), error]))
    return found
