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
from pipelines.removal import Removal
from pipelines.tombstones import Tombstones
from schemas.artifact import Artifact
from schemas.store import Store

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """See the module."""

    documents: Artifact
    found: Found
    holding: tuple[Holder, ...]
    saw: tuple[Artifact, ...]
    erase: bool


def plan_of(store: Store, documents: Artifact, selection: Selection, erase: bool) -> Plan:
    """What forgetting would do; nothing is changed. What was forgotten before counts among what holds it."""
    found = find(documents, selection)
    holding = holders(store, Removal(frozenset(found.by_id) | frozenset(Tombstones.of(documents).by_id)))
    return Plan(documents, found, tuple(holding), tuple(saw(store, [h.artifact for h in holding])), erase)


def lines_of_plan(plan: Plan) -> Iterator[str]:
    """What would go by source and language, and who has or saw it."""
    found = plan.found
    if not found.by_id:
        yield f"{plan.documents.reference}: nothing is named that isn't forgotten already"
    for (source, lang), (count, size) in found.documents.items():
        yield f"forget   {count:>9,} documents  {quantity(size, 'bytes'):>9}  {visible(source)} {lang}"
    if found.rejects:
        yield f"forget   {found.rejects:>9,} records that were rejected, copies among them"
    if found.cleared:
        yield f"clear    {len(found.cleared):>9,} rejects of their text, if they hold it: near duplicates of what is forgotten"
    yield from (f"near     {doc_id.hex()} is kept, and nearly the same as something that is forgotten" for doc_id in sorted(found.near))
    yield from (f"holds    {holder.artifact.reference}: {holder.rows:,} rows of them" for holder in plan.holding)
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


def _hex(ids: Any) -> list[str]:
    return sorted(doc_id.hex() for doc_id in ids)
