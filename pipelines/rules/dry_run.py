"""The model: a *dry run* reads records, takes them through the record stages up to their signals, and counts what the rules would do.
A *cell* is what one source holds in one language. In a cell, a rule *drops* the documents whose reason it would be, *fails* all that
don't pass it, and *alone* fails those that every other rule passes: so many would come back without it. Examples of a rule are the
documents nearest to its threshold on both sides.

Nothing is written. A *sample* of a source is its first so many records in an order that a seed gives: files, and where they can be read
from the middle megabytes of them, are shuffled, and read until there are enough.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.prepare import read_batches
from pipelines.record_stages import measured
from pipelines.rules.judge import Check, checks, rows_by_rules
from pipelines.splits import Listing, plan_splits
from schemas.recipe import Corpus
from schemas.recipe.rules import THRESHOLDS, settled

EXAMPLES = 3
"""Of a rule in a cell, on either side."""
_SHOWN = 160
"""Characters of an example."""
_SAMPLED_BYTES = 1 << 20
"""Of a split that samples are read from."""

Piece = dict[str, Any]


class Example(NamedTuple):
    """A document near a threshold."""

    distance: float
    value: float
    uri: str
    record: int
    text: str
    """Its beginning."""


@dataclass
class Tally:
    """What one rule does in one cell."""

    limit: float
    dropped: int = 0
    dropped_bytes: int = 0
    failed: int = 0
    alone: int = 0
    below: list[Example] = field(default_factory=list)
    """Examples whose value is below the threshold, or equal to a largest value that passes; nearest first."""
    above: list[Example] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.dropped += other.dropped
        self.dropped_bytes += other.dropped_bytes
        self.failed += other.failed
        self.alone += other.alone
        self.below = _nearest(self.below + other.below)
        self.above = _nearest(self.above + other.above)


@dataclass
class Cell:
    """All documents of one source in one language that come as far as the rules."""

    documents: int = 0
    bytes: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    rules: dict[str, Tally] = field(default_factory=dict)
    """By key, in the order in which they are tried."""

    def add(self, other: Cell) -> None:
        self.documents += other.documents
        self.bytes += other.bytes
        self.dropped += other.dropped
        self.dropped_bytes += other.dropped_bytes
        for reason, tally in other.rules.items():
            self.rules.setdefault(reason, Tally(tally.limit)).add(tally)
        self.rules = {reason: self.rules[reason] for reason in THRESHOLDS if reason in self.rules}


@dataclass
class Outcome:
    """What a dry run found."""

    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """By source and language."""
    earlier: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records that go before any rule is tried, by source and reason."""

    def add(self, other: Outcome) -> None:
        for key, cell in other.cells.items():
            self.cells.setdefault(key, Cell()).add(cell)
        self.earlier.update(other.earlier)


def work_of(listing: Listing, settings: Corpus) -> list[list[Piece]]:
    """All pieces, split by split."""
    return [split["pieces"] for split in plan_splits(listing, settings)]


def sampled(listing: Listing, settings: Corpus, roots: Mapping[str, str], records: int, seed: int) -> Outcome:
    """The outcome for a sample of so many records of each source."""
    splits = plan_splits(listing, settings.model_copy(update={"split_bytes": _SAMPLED_BYTES}))
    pieces = sorted((piece for split in splits for piece in split["pieces"]), key=lambda piece: _drawn(piece, seed))
    outcome = Outcome()
    for source in settings.sources:
        left = records
        for batch in _batches([piece for piece in pieces if piece["source"] == source.name], settings, roots):
            outcome.add(_judged(batch.slice(0, left), settings))
            left -= batch.num_rows
            if left <= 0:
                break
    return outcome


def dry_run(pieces: Sequence[Piece], settings: Corpus, roots: Mapping[str, str]) -> Outcome:
    """The outcome for all records of some pieces."""
    outcome = Outcome()
    for batch in _batches(pieces, settings, roots):
        outcome.add(_judged(batch, settings))
    return outcome


def _drawn(piece: Piece, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{piece['source']}\0{piece['uri']}\0{piece['start']}".encode()).digest()


def _batches(pieces: Iterable[Piece], settings: Corpus, roots: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    for piece in pieces:  # one by one, so that a sample reads no further than it has to
        yield from read_batches({"pieces": [piece]}, settings, roots)


def _judged(batch: pa.RecordBatch, settings: Corpus) -> Outcome:
    outcome = Outcome()
    (source,) = (source for source in settings.sources if source.name == batch.column("source")[0].as_py())
    rules = settled(settings.rules, source.rules)
    for kept, rejects in measured(batch, source, settings):
        outcome.earlier.update((source.name, reason) for reason in rejects.column("reason").to_pylist())
        langs = kept.column("lang").to_pylist() if kept.num_rows else []
        for lang in sorted(set(langs)):
            rows = kept.take(pa.array(np.flatnonzero(np.array(langs) == lang)))
            serving = next(iter(rows_by_rules([lang], rules)), None)
            found = checks(rows.column("signals"), rows.column("lang_score").to_numpy(), rules[serving]) if serving else ()
            outcome.cells.setdefault((source.name, lang), Cell()).add(_cell(rows, list(found)))
    return outcome


def _cell(rows: pa.RecordBatch, found: Sequence[Check]) -> Cell:
    sizes = rows.column("record_bytes").to_numpy()
    failed = np.array([check.failed for check in found]).reshape(len(found), rows.num_rows)
    times = failed.sum(0)
    cell = Cell(rows.num_rows, int(sizes.sum()), int((times > 0).sum()), int(sizes[times > 0].sum()))
    first = np.cumsum(failed, 0) == 1
    for number, check in enumerate(found):
        drops = failed[number] & first[number]
        cell.rules[check.reason] = Tally(
            check.limit,
            dropped=int(drops.sum()),
            dropped_bytes=int(sizes[drops].sum()),
            failed=int(failed[number].sum()),
            alone=int((failed[number] & (times == 1)).sum()),
            below=_examples(rows, check, check.failed == check.reason.startswith("min_")),
            above=_examples(rows, check, check.failed == check.reason.startswith("max_")),
        )
    return cell


def _examples(rows: pa.RecordBatch, check: Check, side: npt.NDArray[np.bool_]) -> list[Example]:
    at = np.flatnonzero(side & ~np.isnan(check.values))
    distances = np.abs(check.values[at].astype(np.float64) - check.limit)
    chosen = at[np.argsort(distances, kind="stable")[:EXAMPLES]].tolist()
    uris, records, texts = (rows.column(name) for name in ("uri", "record", "text"))
    return [
        Example(
            abs(float(check.values[row]) - check.limit),
            float(check.values[row]),
            uris[row].as_py(),
            records[row].as_py(),
            texts[row].as_py()[:_SHOWN],
        )
        for row in chosen
    ]


def _nearest(examples: list[Example]) -> list[Example]:
    """Of texts that begin alike one; the order is the same however the work is cut."""
    by_text: dict[str, Example] = {}
    for example in sorted(examples):
        by_text.setdefault(example.text, example)
    return list(by_text.values())[:EXAMPLES]
