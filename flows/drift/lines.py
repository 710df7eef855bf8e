"""The model: what was found about drift, as *lines* for a terminal."""

from __future__ import annotations

from flows.drift.work import Drifted
from flows.rejects import visible
from flows.tables import aligned


def lines_of(found: Drifted, is_trigger: bool) -> list[str]:
    """A table of findings, then what could not be told, then what follows. `is_trigger`: whether the recipe takes drift for a reason."""
    lines = [
        f"{found.new_documents:,} new documents of {found.now.reference}, beside what the champion learned ({found.learned.reference})"
    ]
    if found.findings:
        rows = [
            (
                one.measure,
                visible(one.where),
                f"{one.distance:.4f}",
                "-" if one.threshold is None else f"{one.threshold:g}",
                f"{one.p:.2g}",
                f"{one.corrected:.2g}",
                f"{one.new:,}",
                f"{one.old:,}",
                one.verdict(found.alpha),
            )
            for one in found.findings
        ]
        heads = ("measure", "where", "distance", "threshold", "p", "corrected", "new", "old", "verdict")
        lines += ["", *(f"  {line}" for line in aligned(heads, rows, left={0, 1, 8})), ""]
    lines += [f"note: {visible(note)}" for note in found.notes]
    drifting = [one for one in found.findings if one.drifts]
    what = f"drift in {', '.join(dict.fromkeys(one.measure for one in drifting))}" if drifting else "no drift"
    told = "" if is_trigger or not drifting else "; retrain.drift is null, so it is no reason to retrain"
    return [*lines, what + told]
