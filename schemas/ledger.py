"""The model: a *ledger* accounts for every input, record and byte of a source.

    inputs:   listed = read + empty + unreadable
    records:  read   = kept + sum(rejected by reason) + failed
    bytes:    read   = kept + sum(rejected by reason) + failed + framing      (of the decoded stream)

`cleaned` counts bytes of kept text that cleaning or redaction changed or removed, by kind, and `redacted` the values that
redaction replaced in it: columns of their own, in no sum.
Ledgers add up; totals come from the part records, never from a runner's counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Ledger:
    """Counts of one source, or of a part of one. Bytes are of the decoded (decompressed) stream."""

    inputs_listed: int = 0
    inputs_read: int = 0
    inputs_empty: int = 0
    inputs_unreadable: int = 0
    records_read: int = 0
    records_kept: int = 0
    records_failed: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Records by reason."""
    bytes_read: int = 0
    bytes_kept: int = 0
    bytes_failed: int = 0
    bytes_framing: int = 0
    bytes_rejected: Mapping[str, int] = field(default_factory=dict)
    """Bytes by reason."""
    cleaned: Mapping[str, int] = field(default_factory=dict)
    """Bytes by kind of cleaning or redaction."""
    redacted: Mapping[str, int] = field(default_factory=dict)
    """Values by kind of redaction."""

    def __add__(self, other: Ledger) -> Ledger:
        total: dict[str, Any] = {}
        for f in fields(self):
            a, b = getattr(self, f.name), getattr(other, f.name)
            total[f.name] = {k: a.get(k, 0) + b.get(k, 0) for k in sorted(a.keys() | b.keys())} if isinstance(a, Mapping) else a + b
        return Ledger(**total)

    def imbalances(self) -> list[str]:
        """What does not add up, in words; empty if the ledger balances."""
        sums = {
            "inputs listed": (self.inputs_listed, self.inputs_read + self.inputs_empty + self.inputs_unreadable),
            "records read": (self.records_read, self.records_kept + sum(self.rejected.values()) + self.records_failed),
            "bytes read": (
                self.bytes_read,
                self.bytes_kept + sum(self.bytes_rejected.values()) + self.bytes_failed + self.bytes_framing,
            ),
        }
        problems = [f"{name} {left:,} but accounted for {right:,}" for name, (left, right) in sums.items() if left != right]
        if self.rejected.keys() != self.bytes_rejected.keys():
            problems.append(f"reasons differ between records {sorted(self.rejected)} and bytes {sorted(self.bytes_rejected)}")
        return problems

    def as_json(self) -> dict[str, Any]:
        value = asdict(self)
        if not self.redacted:  # ledgers of what was never redacted keep the form, and their manifests the digest, that they had
            del value["redacted"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        return cls(**value)


def add_by_source(ledgers: list[Mapping[str, Ledger]]) -> dict[str, Ledger]:
    """Add ledgers up source by source; sources in sorted order."""
    total: dict[str, Ledger] = {}
    for by_source in ledgers:
        for source, ledger in by_source.items():
            total[source] = total.get(source, Ledger()) + ledger
    return dict(sorted(total.items()))
