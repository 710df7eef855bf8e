"""The model: the *lineage of a token* leads from it to the characters it stands for, to the sentence and word they lie in, to the
document, and to the bytes of the file that this was read from. Where cleaning changed nothing these are the token's own bytes;
elsewhere they are the record's.

A document is named by its id in hex, or by the beginning of it that no other id of the artifact has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from flows.lineage import made_from
from pipelines.encode import Encoder
from pipelines.encode.seams import bytes_of_tokens
from schemas.arrow import UPOS, read_shard
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.store import Store

Json = dict[str, Any]


class _Found(NamedTuple):
    """A row of a shard."""

    role: str
    shard: int
    """Number of the shard among those of its role."""
    row: int
    doc_id: bytes


def trace(store: Store, artifact: Artifact, doc: str, token: int | None) -> Json:
    """What is known of a document and, if `token` is a number, of that token of it.

    `artifact` is of kind tokens, or of kind documents (which has no tokens). Raises `RequestError` for an id that no row or more
    than one has, for a token that isn't there, and if the documents that tokens were made from are gone.
    """
    if artifact.kind not in ("tokens", "documents"):
        raise RequestError(f"{artifact.reference}: only tokens and documents have documents to trace")
    if token is not None and artifact.kind != "tokens":
        raise RequestError(f"{artifact.reference} has no tokens: name the tokens artifact that was made from it")
    found = _find(artifact, doc)
    documents = artifact if artifact.kind == "documents" else made_from(store, artifact, "documents")
    if documents is None and not artifact.paths("places"):
        raise RequestError(f"{artifact.reference}: the documents that it was made from are no longer in {store.root}")
    told: Json = {
        "artifact": artifact.reference,
        "documents": documents.reference if documents else None,
        **_document(documents, artifact, found),
    }
    if found.role == "tokens":
        row = _row(artifact.paths("tokens")[found.shard], found.row)
        told |= {"tokens": len(row["tokens"]), "n_bytes": row["n_bytes"]}
        if token is not None:
            told["token"] = _token(store, artifact, row, told, token)
    return told


def _find(artifact: Artifact, doc: str) -> _Found:
    wanted = doc.lower()
    if not wanted or len(wanted) > 32 or set(wanted) - set("0123456789abcdef"):
        raise RequestError(f"{doc!r} is no document id: it is up to 32 hexadecimal digits")
    found = list(_matches(artifact, wanted))
    if not found:
        raise RequestError(f"{artifact.reference}: no document has an id that begins with {doc!r}")
    if len({one.doc_id for one in found}) > 1:
        some = ", ".join(sorted(one.doc_id.hex() for one in found)[:5])
        raise RequestError(f"{artifact.reference}: {len(found):,} documents have ids that begin with {doc!r}: {some}; give more digits")
    return found[0]


def _matches(artifact: Artifact, wanted: str) -> Iterator[_Found]:
    whole = np.frombuffer(bytes.fromhex(wanted[: len(wanted) // 2 * 2]), np.uint8)
    for role in ("tokens",) if artifact.kind == "tokens" else ("documents", "rejects"):
        for shard, path in enumerate(artifact.paths(role)):
            ids = pa.concat_arrays([pa.array([], pa.binary(16)), *read_shard(path).column("doc_id").chunks])
            rows = np.frombuffer(ids.buffers()[1] or b"", np.uint8)[: 16 * len(ids)].reshape(-1, 16)
            for row in np.flatnonzero((rows[:, : whole.size] == whole).all(axis=1)).tolist():
                if ids[row].as_py().hex().startswith(wanted):
                    yield _Found(role, shard, row, ids[row].as_py())


def _row(path: Path, row: int) -> Json:
    (value,) = read_shard(path).slice(row, 1).to_pylist()
    return dict(value)


def _document(documents: Artifact | None, artifact: Artifact, found: _Found) -> Json:
    """The row of the document, or of the place it was read from; offsets of words and sentences with it."""
    if documents is None:
        row = _row(artifact.paths("places")[found.shard], found.row)
    else:
        row = _row(documents.paths("documents" if found.role == "tokens" else found.role)[found.shard], found.row)
    assert row["doc_id"] == found.doc_id, f"{artifact.reference}: its rows are not aligned; audit it"
    return {**row, "doc_id": found.doc_id.hex(), "kept": found.role != "rejects"}


def _token(store: Store, artifact: Artifact, row: Json, document: Json, number: int) -> Json:
    count = len(row["tokens"])
    if not 0 <= number < count:
        raise RequestError(f"document {document['doc_id']} has {count:,} tokens: --token is 0 to {count - 1:,}")
    encoder = _encoder(store, artifact)
    vocabulary = encoder.tokens
    end: int | None
    if encoder.lossless:
        pieces = bytes_of_tokens(vocabulary[token_id] for token_id in row["tokens"])
        data = b"".join(pieces)
        start = len(b"".join(pieces[:number]))
        end = start + len(pieces[number])
    else:
        data = document.get("text", "").encode()
        places = encoder.encode_column(pa.array([data.decode()])).places if data else None
        start = row["token_starts"][number]
        end = start + int(places[1][number]) if places else None
    told: Json = {"number": number, "id": row["tokens"][number], "token": vocabulary[row["tokens"][number]], "bytes": [start, end]}
    if data and end is not None:
        told |= _characters(data, start, end)
    if "word_starts" in document:
        told |= _sentence_and_word(data, document, start, end)
    exact = bool(document.get("clean_is_identity")) and end is not None
    begins, size = document["record"], document["record_bytes"]
    told["file"] = {
        "source": document["source"],
        "uri": document["uri"],
        "bytes": [begins + start, begins + end] if exact else [begins, begins + size],
        "exact": exact,
    }
    return told


def _encoder(store: Store, artifact: Artifact) -> Encoder:
    holder = artifact if artifact.paths("tokenizer") else made_from(store, artifact, "tokenizer")
    if holder is None:
        raise RequestError(f"{artifact.reference}: the tokenizer that it was made with is no longer in {store.root}")
    return Encoder(holder.paths("tokenizer")[0])


def _characters(data: bytes, start: int, end: int) -> Json:
    """The characters that the bytes lie in: all of a character of which a token has only some bytes."""
    whole_start, whole_end = start, end
    while whole_start > 0 and whole_start < len(data) and 0x80 <= data[whole_start] < 0xC0:
        whole_start -= 1
    while whole_end < len(data) and 0x80 <= data[whole_end] < 0xC0:
        whole_end += 1
    first, text = len(data[:whole_start].decode()), data[whole_start:whole_end].decode()
    return {"characters": [first, first + len(text)], "text": text, "part_of_a_character": (whole_start, whole_end) != (start, end)}


def _sentence_and_word(data: bytes, document: Json, start: int, end: int | None) -> Json:
    ends = document["sentence_ends"]
    sentence = int(np.searchsorted(ends, start, side="right"))
    told: Json = {"sentence": None, "word": None}
    if sentence < len(ends):
        begins = ends[sentence - 1] if sentence else 0
        told["sentence"] = {"number": sentence, "bytes": [begins, ends[sentence]], "text": data[begins : ends[sentence]].decode()}
    word = int(np.searchsorted(document["word_ends"], start, side="right"))  # the first that ends behind the token's first byte
    if word < len(document["word_starts"]) and (end is None or document["word_starts"][word] < end):
        begins, stops = document["word_starts"][word], document["word_ends"][word]
        tags = document["pos"]
        told["word"] = {
            "number": word,
            "bytes": [begins, stops],
            "text": data[begins:stops].decode(),
            "pos": UPOS[tags[word]] if tags else None,
        }
    return told


def lines_of(told: Json) -> Iterator[str]:
    """The same for people."""
    from flows.rejects import visible

    place = f"{told['source']}:{visible(told['uri'])} record {told['record']} ({told['record_bytes']:,} bytes)"
    yield f"document   {told['doc_id']} of {told['documents'] or told['artifact']}"
    yield f"read from  {place}"
    if not told["kept"]:
        yield f"rejected   {told['reason']}: {visible(told['detail'])}"
    elif "lang" in told:
        same = "as it stands in the file" if told["clean_is_identity"] else "decoded or cleaned"
        yield f"text       {told['lang']}, {told['subset']}, {len(told['text']):,} characters, {same}"
        yield from _marks(told)
    if "tokens" in told:
        yield f"tokens     {told['tokens']:,} for {told['n_bytes']:,} bytes"
    token = told.get("token")
    if token is None:
        if told.get("text"):
            yield visible(told["text"])
        return
    yield f"token      {token['number']}: id {token['id']}, {visible(token['token'])!r}, bytes {_range(token['bytes'])} of the text"
    if "text" in token:
        part = " (some bytes of it)" if token["part_of_a_character"] else ""
        yield f"characters {_range(token['characters'])}: {token['text']!r}{part}"
    for what in ("sentence", "word"):
        if token.get(what):
            found = token[what]
            tag = f", {found['pos']}" if found.get("pos") else ""
            yield f"{what:<10} {found['number']}: bytes {_range(found['bytes'])}{tag}: {visible(found['text'].strip())}"
    exact = "exactly" if token["file"]["exact"] else "the whole record"
    yield f"in file    {visible(token['file']['uri'])}, bytes {_range(token['file']['bytes'])}, {exact}"


def _marks(told: Json) -> Iterator[str]:
    """What was noted at a document, if anything was."""
    if told.get("flags"):
        yield f"flags      {', '.join(told['flags'])}"
    if told.get("weight", 1) != 1:
        yield f"weight     {told['weight']:g}"
    if values := {kind: count for kind, count in (told.get("redacted") or {}).items() if count}:
        yield f"redacted   {', '.join(f'{count} {kind}' for kind, count in values.items())}"


def _range(pair: list[int | None]) -> str:
    return f"{pair[0]}-{'?' if pair[1] is None else pair[1]}"
