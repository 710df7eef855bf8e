"""The model: a *stage error* is a record that made a stage of the documents step raise. It is rejected as `error_STAGE`, and its
neighbours go on. A few are those records' fault; many of one source are the stage's, and would go unseen among rejects: then nothing
is committed.
"""

from __future__ import annotations

from collections import Counter

from flows.rejects import visible
from schemas.arrow import read_batches
from schemas.artifact import Damaged
from schemas.draft import Draft
from schemas.ledger import add_by_source

PREFIX = "error_"
FEW = 5
"""So many of a source are never too many."""


def refuse_stage_errors(draft: Draft, limit: float) -> None:
    """Raises `Damaged` naming what a source's records made a stage raise, if more of them did than `limit`, a share, and than `FEW`."""
    problems = []
    for source, ledger in add_by_source([part.ledgers for part in draft.parts("finish")]).items():
        errors = sum(count for reason, count in ledger.rejected.items() if reason.startswith(PREFIX))
        if errors > max(FEW, limit * ledger.records_read):
            share = f"{errors:,} of {ledger.records_read:,} records ({errors / ledger.records_read:.1%})"
            problems.append(f"source {source}: {share} made a stage raise, as {_most_frequent(draft, source)}")
    if problems:
        raise Damaged(
            "\n".join(problems)
            + f"\nThat is more than corpus.max_errors, {limit:g}, so nothing is committed. Mend what raises and remove {draft.path}; "
            "or raise corpus.max_errors and run again, which commits what is there with these records as rejects"
        )


def _most_frequent(draft: Draft, source: str) -> str:
    found: Counter[tuple[str, str]] = Counter()
    for part in draft.parts("finish"):
        for file in part.files:
            if file.role == "rejects":
                for batch in read_batches(draft.path / file.path, ("source", "reason", "detail")):
                    rows = zip(*(batch.column(name).to_pylist() for name in ("source", "reason", "detail")), strict=True)
                    found.update((reason, detail) for of, reason, detail in rows if of == source and reason.startswith(PREFIX))
    ((reason, detail), _), *_ = found.most_common(1)
    return f"{reason}: {visible(detail)}"
