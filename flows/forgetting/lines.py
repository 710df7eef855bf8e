"""The model: a *plan* is what forgetting would do, for a person who is asked; the *outcome* is what it did. Neither shows any text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows.forgetting.holders import Holder, holders, saw
from flows.forgetting.selection import Found, Selection, find
from flows.forgetting.work import Forgotten
from flows.progress import quantity
from flows.rejects import visible
from pipelines.tombstones import Tombstones
from schemas.artifact import Artifact
from schemas.store import Store

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """See the module."""

    documents: Artifact
    selection: Selection
    found: Found
    holding: tuple[Holder, ...]
    saw: tuple[Artifact, ...]
    erase: bool

    @property
    def does_something(self) -> bool:
        return bool(self.found.by_id) or self.erase


def plan_of(store: Store, documents: Artifact, selection: Selection, erase: bool) -> Plan:
    """What forgetting would do; nothing is changed. What was forgotten before counts among what holds it."""
    found = find(documents, selection)
    holding = holders(store, documents.name, Tombstones.of(documents).with_more(dict(found.by_id)))
    return Plan(documents, selection, found, tuple(holding), tuple(saw(store, [h.artifact for h in holding])), erase)


def lines_of_plan(plan: Plan) -> Iterator[str]:
    """What would go by source and language, and who has or saw it."""
    found = plan.found
    if not found.by_id and not plan.selection.is_empty:
        nothing = "nothing is named that isn't forgotten already" if found.named else "no document and no reject is what you named"
        yield f"{plan.documents.reference}: {nothing}"
    for (source, lang), (count, size) in found.documents.items():
        yield f"forget   {count:>9,} {_s('document', count):<9}  {quantity(size, 'bytes'):>9}  {visible(source)} {lang}"
    if found.rejects:
        was = "record that was" if found.rejects == 1 else "records that were"
        yield f"forget   {found.rejects:>9,} {was} rejected, copies among them"
    if found.cleared:
        rejects = _s("reject", len(found.cleared))
        yield f"clear    {len(found.cleared):>9,} {rejects} of text, if any is held: near duplicates of what is forgotten"
    yield from (f"near     {doc_id.hex()} is kept, and nearly the same as something that is forgotten" for doc_id in sorted(found.near))
    yield from (f"holds    {holder.artifact.reference}: {holder.rows:,} {_s('row', holder.rows)} of them" for holder in plan.holding)
    yield from (f"saw      {artifact.reference}: keeps what it learned until it is made again" for artifact in plan.saw)


def lines_of_outcome(outcome: Forgotten) -> Iterator[str]:
    """What was made, and what is left to do."""
    yield from (f"made     {artifact.reference}" for artifact in outcome.made)
    yield from (f"retired  {reference}" for reference in outcome.retired)
    yield from (f"removed  {path}" for path in outcome.reports)
    if outcome.retired:
        yield "`gristmill gc --yes` removes the bytes that only retired versions hold"


def as_json(plan: Plan, outcome: Forgotten | None) -> Json:
    """Both as data; `outcome` is null if nothing was done."""
    found = plan.found
    documents = [{"source": s, "lang": lang, "documents": n, "bytes": size} for (s, lang), (n, size) in found.documents.items()]
    return {
        "documents": plan.documents.reference,
        "forget": {"documents": documents, "rejects": found.rejects, "doc_ids": _hex(found.by_id)},
        "near_duplicates": {"rejected": _hex(found.cleared), "kept": _hex(found.near)},
        "holding": [{"artifact": holder.artifact.reference, "rows": holder.rows} for holder in plan.holding],
        "saw": [artifact.reference for artifact in plan.saw],
        "outcome": None
        if outcome is None
        else {
            "newest": outcome.documents.reference,
            "made": [artifact.reference for artifact in outcome.made],
            "retired": list(outcome.retired),
            "removed_reports": [str(path) for path in outcome.reports],
        },
    }


def _s(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _hex(ids: Any) -> list[str]:
    return sorted(doc_id.hex() for doc_id in ids)
