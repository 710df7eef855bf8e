"""The model: the *limits* of a model are what its card can't tell, and what its artifacts warn of: sums that do not balance, documents that
were forgotten since, licences and measurements that are missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.card.findings import unmeasured
from flows.card.gather import CardFacts
from flows.report.blocks import Note, Section
from flows.report.wording import language, plural

SMALL = 1_000_000_000
"""Parameters of what nobody should take for an assistant."""


def limits(facts: CardFacts) -> Section:
    found = list(_limits(facts))
    lead = f"{plural(len(found), 'thing')} to know before it is used. What stands nowhere on this card was not looked at."
    return Section("limits", "Limits", lead, [Note(text) for text in found])


def _limits(facts: CardFacts) -> Iterator[str]:
    for node in facts.run.lineage:
        if node.forgotten:
            yield f"{node.kind}/{node.name}: this version {node.forgotten}."
    for source, ledger in facts.run.ledgers.items():
        for problem in ledger.imbalances():
            yield f"The ledger of {source} does not balance: {problem}."
        if ledger.inputs_unreadable or ledger.records_failed:
            unread, failed = plural(ledger.inputs_unreadable, "input"), plural(ledger.records_failed, "record")
            yield f"{source}: {unread} could not be read, {failed} failed."
    if not facts.run.ledgers:
        yield "What it was pretrained on is not known here."
    silent = [source for source in facts.run.ledgers if "license" not in facts.terms.get(source, {})]
    if silent:
        yield f"The licence is not told of: {', '.join(silent)}."
    yield "A licence of the model itself is not told: its makers have to say."
    languages = sorted({language(count.lang) for count in facts.run.tokens if count.subset == "train"})
    if languages:
        yield f"It was trained on text in {', '.join(languages)}; nothing is known of others."
    parameters = facts.facts.get("parameters")
    if isinstance(parameters, int) and parameters < SMALL and facts.head is None:
        yield "It is small: what it writes is not to be relied on, and facts in it may be made up."
    context = facts.shape.get("context")
    if context:
        yield f"It sees {plural(context, 'token')} at the most."
    if not facts.found and facts.run.evaluation is None:
        yield "It was not evaluated."
    for about in unmeasured(facts):
        yield f"Not measured: {about}."
