"""The model: a *selection* says which documents to forget: by id, by source, by the glob of a URI or by a pattern of their text. What it
*finds* in a version of documents goes further than what it names: every copy of a text goes with it, kept or rejected, and near duplicates
that were rejected lose their text.

A pattern is a regular expression of RE2, searched in `text` and `extra`: it takes time in proportion to the text, whatever it is.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.removal import Removal
from pipelines.tombstones import Tombstones
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.errors import RequestError


@dataclass(frozen=True)
class Selection:
    """What to forget: whatever any of these names."""

    docs: tuple[str, ...] = ()
    """Ids in hex, or beginnings of them that no other document's id has."""
    source: str | None = None
    uri: str | None = None
    pattern: str | None = None

    @property
    def is_empty(self) -> bool:
        return self == Selection()


@dataclass(frozen=True)
class Found:
    """What a selection finds that isn't forgotten yet."""

    named: int
    """Records that it names itself, forgotten ones too."""
    by_id: Mapping[bytes, bytes | None]
    """Digest of the clean text, or None, of each record that is to be forgotten."""
    cleared: frozenset[bytes]
    """Near duplicates among the rejects, and copies of them: they lose their text."""
    near: frozenset[bytes]
    """Documents that are kept, of which something that is to be forgotten is a near duplicate."""
    documents: Mapping[tuple[str, str], tuple[int, int]]
    """Documents and their bytes in the files, by source and language."""
    rejects: int
    """Records that were rejected before, and become `forgotten`."""

    @property
    def removal(self) -> Removal:
        return Removal(frozenset(self.by_id), self.cleared)


def find(documents: Artifact, selection: Selection) -> Found:
    """Look through a version of documents. Raises `RequestError` for an id that no document or more than one has, a source that
    there is not, or a bad pattern."""
    if selection.source is not None and selection.source not in documents.manifest.ledgers:
        there = ", ".join(sorted(documents.manifest.ledgers))
        raise RequestError(f"{documents.reference}: there is no source {selection.source!r}; there is {there}")
    return find_named(documents, _named(documents, selection))


def find_named(documents: Artifact, named: frozenset[bytes]) -> Found:
    """Look through a version of documents for records with these ids, and what goes with them."""
    known = Tombstones.of(documents)
    digests = _digests_of(documents, named)
    digests |= _same_text(documents, frozenset(digests.values()))
    by_id = {doc_id: digests.get(doc_id) for doc_id in named | digests.keys() if doc_id not in known.by_id}
    gone = Removal(frozenset(by_id))
    cleared = _followers(documents, gone.gone)
    winners = Removal(_firsts(documents, gone) - gone.gone)
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    kept: set[bytes] = set()
    near: set[bytes] = set()
    for batch in _batches(documents, "documents", ("doc_id", "source", "lang", "record_bytes")):
        near.update(batch.column("doc_id").filter(pa.array(winners.removes(batch.column("doc_id")))).to_pylist())
        rows = batch.filter(pa.array(gone.removes(batch.column("doc_id")))).to_pylist()
        for row in rows:
            kept.add(row["doc_id"])
            counts[row["source"], row["lang"]] += 1
            sizes[row["source"], row["lang"]] += row["record_bytes"]
    told = {key: (count, sizes[key]) for key, count in sorted(counts.items())}
    return Found(len(named), by_id, cleared, frozenset(near), told, len(by_id) - len(kept))


def _named(documents: Artifact, selection: Selection) -> frozenset[bytes]:
    """Ids of the documents and rejects that the selection itself names."""
    found: set[bytes] = set()
    by_prefix: dict[str, set[bytes]] = {_prefix(doc): set() for doc in selection.docs}
    whole, beginnings = Removal(frozenset(map(bytes.fromhex, filter(_is_whole, by_prefix)))), [p for p in by_prefix if not _is_whole(p)]
    for role, columns in (("documents", ("text", "extra")), ("rejects", ("text",))):
        read = ("doc_id", "source", "uri", *(columns if selection.pattern is not None else ()))
        for batch in _batches(documents, role, read):
            mask = np.zeros(batch.num_rows, np.bool_)
            if selection.source is not None:
                mask |= np.asarray(pc.equal(batch.column("source"), selection.source))
            if selection.uri is not None:
                uris = [uri for uri in batch.column("uri").unique().to_pylist() if fnmatch.fnmatchcase(uri, selection.uri)]
                mask |= np.asarray(pc.is_in(batch.column("uri"), value_set=pa.array(uris, pa.string())))
            for column in columns if selection.pattern is not None else ():
                mask |= np.asarray(_matches(batch.column(column), selection.pattern or ""))
            found.update(batch.column("doc_id").filter(pa.array(mask)).to_pylist())
            for doc_id in batch.column("doc_id").filter(pa.array(whole.removes(batch.column("doc_id")))).to_pylist():
                by_prefix[doc_id.hex()].add(doc_id)
            for doc_id in batch.column("doc_id").to_pylist() if beginnings else ():
                for prefix in filter(doc_id.hex().startswith, beginnings):
                    by_prefix[prefix].add(doc_id)
    for prefix, ids in by_prefix.items():
        if len(ids) != 1:
            what = "no document has an id that begins" if not ids else f"{len(ids):,} documents have ids that begin"
            raise RequestError(f"{documents.reference}: {what} with {prefix!r}" + ("; give more digits" if ids else ""))
        found |= ids
    return frozenset(found)


def _prefix(doc: str) -> str:
    prefix = doc.lower()
    if not prefix or len(prefix) > 32 or set(prefix) - set("0123456789abcdef"):
        raise RequestError(f"{doc!r} is no document id: it is up to 32 hexadecimal digits")
    return prefix


def _is_whole(prefix: str) -> bool:
    return len(prefix) == 32


def _matches(column: pa.Array, pattern: str) -> pa.Array:
    try:
        return pc.fill_null(pc.match_substring_regex(column, pattern), False)
    except pa.ArrowInvalid as error:
        raise RequestError(f"--pattern {pattern!r} is no regular expression of RE2: {error}") from error


def _digests_of(documents: Artifact, ids: frozenset[bytes]) -> dict[bytes, bytes]:
    """The digest of the clean text of each of these documents that has one."""
    found: dict[bytes, bytes] = {}
    for batch, mask in ((batch, Removal(ids).removes(batch.column("doc_id"))) for batch in _digest_runs(documents)):
        rows = batch.filter(pa.array(mask))
        found.update(zip(rows.column("doc_id").to_pylist(), rows.column("digest").to_pylist(), strict=True))
    return found


def _same_text(documents: Artifact, digests: frozenset[bytes]) -> dict[bytes, bytes]:
    """The digest of every document that has one of these."""
    found: dict[bytes, bytes] = {}
    for batch in _digest_runs(documents):
        rows = batch.filter(pa.array(Removal(digests).removes(batch.column("digest"))))
        found.update(zip(rows.column("doc_id").to_pylist(), rows.column("digest").to_pylist(), strict=True))
    return found


def _digest_runs(documents: Artifact) -> Iterator[pa.RecordBatch]:
    for path in digest_runs(documents):
        yield from read_batches(path, ("doc_id", "digest"))


def digest_runs(documents: Artifact) -> list[Path]:
    """The files that hold the ids of a version's records, and the digests of their clean texts."""
    return [documents.path / file.path for file in documents.manifest.files("digests") if file.path.split("/")[-2] == "digests"]


def _twins(documents: Artifact) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Ids of rejects that are duplicates, exact or near, and in hex the ids of the documents that they are duplicates of."""
    for batch in _batches(documents, "rejects", ("doc_id", "reason", "detail")):
        twins = batch.filter(pc.is_in(batch.column("reason"), value_set=pa.array(["exact_duplicate", "near_duplicate"])))
        yield twins.column("doc_id"), pc.utf8_slice_codeunits(twins.column("detail"), 3, 35)  # of a1b2...


def _followers(documents: Artifact, gone: frozenset[bytes]) -> frozenset[bytes]:
    """Rejects that are duplicates of what goes, or of such ones."""
    found: frozenset[bytes] = frozenset()
    new = gone
    while new:
        firsts = pa.array([doc_id.hex() for doc_id in new])
        twins = (ids.filter(pc.is_in(of, value_set=firsts)).to_pylist() for ids, of in _twins(documents))
        new = frozenset(doc_id for ids in twins for doc_id in ids) - found - gone
        found |= new
    return found


def _firsts(documents: Artifact, gone: Removal) -> frozenset[bytes]:
    """Ids of the documents that something which goes was a duplicate of."""
    firsts = (of.filter(pa.array(gone.removes(ids))).to_pylist() for ids, of in _twins(documents))
    return frozenset(bytes.fromhex(first) for of in firsts for first in of)


def _batches(documents: Artifact, role: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    path: Path
    for path in documents.paths(role):
        yield from read_batches(path, columns)
