"""The lineage of an artifact ends, whatever content its inputs have."""

from __future__ import annotations

from pathlib import Path

from flows.lineage import lineage
from schemas.store import Store
from tests.flows.stores import make


def test_a_tokenizer_that_was_handed_on_is_its_own_input(tmp_path: Path) -> None:
    """A pinned tokenizer is copied: the copy has the content of its input, and the nearest name of all that have it."""
    store = Store(tmp_path)
    pinned = make(store, "tokenizer", "old", 1, content="ids")
    documents = make(store, "documents", "new", 2)
    inputs = {"documents": documents.manifest.content_digest, "tokenizer": pinned.manifest.content_digest}
    copy = make(store, "tokenizer", "new", 3, inputs, content="ids")
    assert copy.manifest.content_digest == pinned.manifest.content_digest
    tokens = make(store, "tokens", "new", 4, {"documents": documents.manifest.content_digest, "tokenizer": copy.manifest.content_digest})
    found = list(lineage(store, tokens).values())
    assert [a.reference for a in found] == [a.reference for a in (documents, copy, tokens)]
    assert [a.reference for a in lineage(store, copy).values()] == [documents.reference, copy.reference]


def test_content_that_goes_round_in_a_ring_is_told_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digests = [make(store, kind, "x", 0, content=kind).manifest.content_digest for kind in ("documents", "tokens")]
    make(store, "documents", "x", 1, {"tokens": digests[1]}, content="documents")
    last = make(store, "tokens", "x", 2, {"documents": digests[0]}, content="tokens")
    assert list(lineage(store, last).values())[-1].reference == last.reference
