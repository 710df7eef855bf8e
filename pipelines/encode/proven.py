"""The model: a *proven* encoder gives the reference's ids at an engine's speed. The engine is trusted with a text only as far as
it is proved equal:

    pattern        before the first text: every short string over the pattern's classes, and the probe texts with real merges
    code points    each before its first text is encoded; a text with one that the engines class differently goes to the reference
    long runs      the engine's pattern has no limit to a run of letters: texts are cut where ours ends a piece (see `cuts`)
    length         the bytes of all tokens of every text are the text's; a text whose aren't goes to the reference
    sample         of each batch the beginning of the document with the smallest id; if ids differ, the engine is *distrusted*:
                   from there on the reference encodes, and whoever encodes a shard begins it again

`checks` counts what was checked and what the reference had to do. Ids never depend on the engine, nor on what was met before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.characters import byte_offsets, codes_of
from pipelines.encode.cuts import Characters, CutRule, may_hold_long_runs
from pipelines.encode.engine import Encoded, Encoder
from pipelines.encode.gigatoken_engine import Gigatoken, Refused, for_gigatoken, open_probe
from pipelines.encode.probes import probe_texts
from pipelines.encode.proof import DIFFERS, UNKNOWN, Proof
from pipelines.encode.seams import Seams, bytes_of_tokens
from pipelines.encode.stretches import stretches, with_stretches
from pipelines.encode.utf8 import blocks, bytes_of, codes_at, sums, texts_of
from schemas.errors import RequestError

SAMPLE_CHARS = 1_024
"""Of one document in each batch so many characters (or all, if it has fewer) are encoded by both."""
_SAMPLE_AT_MOST = 16 * SAMPLE_CHARS
_TRIED = 16
"""Documents that are looked at for one to sample."""

_Tokens = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Ids, and how many of them and of their bytes each text has."""
_NOTHING: _Tokens = np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64)

_CUTTABLE = tuple(
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)
"""Patterns, as gigatoken is given them, in which a carriage return between letters is a piece of its own and changes no other."""


def open_encoder(path: Path, engine: Literal["auto", "tokenizers", "gigatoken"] = "auto") -> AnyEncoder:
    """The fastest encoder that is proved equal to the reference. Raises `RequestError` if `gigatoken` is asked for and can't be it."""
    reference = Encoder(path)
    if engine == "tokenizers":
        return reference
    try:
        return Proven(reference)
    except Refused as refusal:
        if engine == "gigatoken":
            raise RequestError(f"tokens.engine gigatoken: not for {path}: {refusal}. Take `auto` or `tokenizers`") from refusal
        return reference


class Proven:
    """An encoder of one tokenizer; see the module."""

    lossless = True

    def __init__(self, reference: Encoder) -> None:
        """Raises `Refused` if gigatoken cannot run the tokenizer, or is not equal on the probes."""
        document = reference.document
        if not reference.lossless:
            raise Refused("it is not a byte-level tokenizer without normalizer")
        if document["model"]["type"] != "BPE" or document["model"]["dropout"]:
            raise Refused("it is no BPE without dropout")
        if not all(token["special"] for token in document["added_tokens"]):
            raise Refused("it has added tokens that are not special, which are found in texts")
        given = for_gigatoken(document)
        self.reference = reference
        self.vocab_size, self.version = reference.vocab_size, reference.version
        self._engine = Gigatoken(given, reference.token_bytes(np.arange(self.vocab_size, dtype=np.uint32)))
        self._rule = CutRule(
            limited=given["pre_tokenizer"] != document["pre_tokenizer"],
            seams=Seams(bytes_of_tokens(document["model"]["vocab"])) if has_seams(given) else None,
        )
        self._proof = Proof(document, given, open_probe, letters=self._rule.letters)
        self.trusted = True
        self.checks: Counter[str] = Counter()
        self._prove()

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine.version

    def token_bytes(self, ids: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
        """Bytes of each token, same shape as `ids`."""
        return self.reference.token_bytes(ids)

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of all texts, one after the other, and how many each text has (shape (texts,))."""
        encoded = self.encode_column(pa.array(texts, pa.string()))
        return encoded.ids, encoded.counts

    def encode_column(self, texts: pa.StringArray, doc_ids: pa.FixedSizeBinaryArray | None = None) -> Encoded:
        """The tokens of a column of texts; `doc_ids` decide the sample (without them there is none)."""
        self.checks["documents"] += len(texts)
        if not self.trusted:
            return self._distrusted(texts)
        data, bounds = bytes_of(texts)
        (ids, counts, sizes), refused = self._encode(data, bounds)
        if doc_ids is not None and not self._sample_agrees(data, bounds, ids, counts, first_words(doc_ids), refused):
            self.trusted = False
            return self._distrusted(texts)
        if not refused:
            return Encoded(ids, counts, sizes)
        for why in refused.values():
            self.checks[f"by the reference: {why}"] += 1
        return self._with_reference(data, bounds, ids, counts, sorted(refused))

    def _encode(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> tuple[_Tokens, dict[int, str]]:
        """The engine's tokens of texts; and which of these the reference must encode, with the reason."""
        parts: list[_Tokens] = [_NOTHING]
        refused: dict[int, str] = {}
        stretched = with_stretches(data, bounds, self.reference.pattern)
        for first, last in blocks(stretched):
            part, rejected = self._encode_block(data[stretched[first] : stretched[last]], stretched[first : last + 1] - stretched[first])
            parts.append(part)
            refused |= {first + row: reason for row, reason in rejected.items()}
        ids, counts, sizes = (np.concatenate(some) for some in zip(*parts, strict=True))
        if stretched.size == bounds.size:
            return (ids, counts, sizes), refused
        begins = np.searchsorted(stretched, bounds)
        refused = {int(np.searchsorted(begins, row, side="right")) - 1: reason for row, reason in refused.items()}
        return (ids, sums(counts, np.diff(begins)), sums(sizes, np.diff(begins))), refused

    def _encode_block(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> tuple[_Tokens, dict[int, str]]:
        """The engine's tokens of a few texts; and which of these the reference must encode, with the reason."""
        cuts, refused = self._plan(data, bounds)
        ids, counts = self._engine.encode(data, bounds, cuts)
        sizes = sums(self.token_bytes(ids), counts)
        for row in np.flatnonzero(sizes != np.diff(bounds)).tolist():
            refused.setdefault(row, "length")
        return (ids, counts, sizes), refused

    def _prove(self) -> None:
        if not self._proof.holds_for_pattern():
            raise Refused("it ends pieces elsewhere than the reference")
        self._proof.learn(np.arange(0x80, dtype=np.uint32))
        if (self._proof.flags[:0x80] & DIFFERS).any():
            raise Refused("it classes ASCII characters otherwise than the reference")
        if self._rule.seams is not None:
            self._proof.learn_han()
        texts = pa.array(probe_texts(), pa.string())
        expected, found = self.reference.encode_column(texts), self.encode_column(texts)
        if not (np.array_equal(expected.ids, found.ids) and np.array_equal(expected.counts, found.counts)):
            raise Refused("its ids of the probe texts are not the reference's")
        self.checks.clear()

    def _distrusted(self, texts: pa.StringArray) -> Encoded:
        self.checks["by the reference: sample"] += len(texts)
        return self.reference.encode_column(texts)

    def _plan(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
        """Where to cut, in bytes, and the rows that are not for the engine, with the reason."""
        at = np.flatnonzero(data >= 0xC0)
        codes = codes_at(data, at)
        text = Characters(at, codes, self._flags(codes), bounds)
        seams = self._rule.seams_in(text)
        places: list[npt.NDArray[np.int64]] = []
        refused: dict[int, str] = {}
        if self._rule.limited:
            for row in may_hold_long_runs(data, text).tolist():
                characters = codes_of(data[bounds[row] : bounds[row + 1]].tobytes().decode())
                cuts, wrong = self._rule.long_runs(characters, self._flags(characters))
                if cuts.size:
                    places.append(bounds[row] + byte_offsets(characters)[cuts])
                if wrong:
                    refused[row] = "run of letters"
        differing = at[(text.flags & DIFFERS).astype(bool)]
        refused |= dict.fromkeys(np.unique(np.searchsorted(bounds, differing, side="right") - 1).tolist(), "code point")
        return (_union(seams, *places) if places else seams), refused

    def _flags(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        flags = self._proof.flags.take(codes)
        unknown = flags == UNKNOWN
        if not unknown.any():
            return flags
        occurs = np.zeros(self._proof.flags.size, bool)
        occurs[codes[unknown]] = True
        new = np.flatnonzero(occurs).astype(np.uint32)
        self._proof.learn(new)
        self.checks["code points"] += new.size
        return self._proof.flags.take(codes)

    def _sample_agrees(
        self,
        data: npt.NDArray[np.uint8],
        bounds: npt.NDArray[np.int64],
        ids: npt.NDArray[np.uint32],
        counts: npt.NDArray[np.int64],
        order: npt.NDArray[np.uint64],
        refused: Mapping[int, str],
    ) -> bool:
        """Compare the beginning of one document, the one with the smallest id that isn't empty or refused."""
        sizes = np.diff(bounds)
        row = next((r for r in np.argsort(order, kind="stable")[:_TRIED].tolist() if sizes[r] and r not in refused), None)
        if row is None:
            return True
        (text,) = texts_of(data, bounds, [row])
        beginning = next(stretches(text, self.reference.pattern, SAMPLE_CHARS))
        if len(beginning) > _SAMPLE_AT_MOST:
            return True
        expected, _ = self.reference.encode([beginning])
        first = int(counts[:row].sum())
        self.checks["sampled"] += 1
        whole = len(beginning) == len(text)
        return np.array_equal(expected, ids[first : first + (int(counts[row]) if whole else expected.size)])

    def _with_reference(
        self,
        data: npt.NDArray[np.uint8],
        bounds: npt.NDArray[np.int64],
        ids: npt.NDArray[np.uint32],
        counts: npt.NDArray[np.int64],
        rows: list[int],
    ) -> Encoded:
        """The same tokens, but those of some rows by the reference."""
        theirs, their_counts = self.reference.encode(texts_of(data, bounds, rows))
        at = np.concatenate(([0], np.cumsum(counts)))
        parts, done, taken = [], 0, 0
        for row, count in zip(rows, their_counts.tolist(), strict=True):
            parts += [ids[done : at[row]], theirs[taken : taken + count]]
            done, taken = at[row + 1], taken + count
        counts = counts.copy()
        counts[rows] = their_counts
        whole = np.concatenate([*parts, ids[done:]])
        return Encoded(whole, counts, sums(self.token_bytes(whole), counts))


AnyEncoder = Encoder | Proven


def has_seams(document: Mapping[str, Any]) -> bool:
    """Whether texts may be cut at seams: whether the pattern, as gigatoken is given it, is one of those that allow it, and merges
    alone make tokens. (With `ignore_merges` a piece that is a token is that token, even if merges wouldn't have made it.)"""
    regexes = [part.get("pattern", {}).get("Regex") for part in document["pre_tokenizer"].get("pretokenizers", ())]
    return len(regexes) == 2 and regexes[0] in _CUTTABLE and regexes[1] is None and not document["model"].get("ignore_merges")


def _union(*places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All values of increasing arrays, each once, increasing (a stable sort merges what is sorted in parts)."""
    values = np.sort(np.concatenate(places), kind="stable")
    return values[np.concatenate(([True], values[1:] != values[:-1]))]


def first_words(doc_ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each id, as a number."""
    words = np.frombuffer(doc_ids.buffers()[1], ">u8").reshape(-1, 2)
    return words[doc_ids.offset : doc_ids.offset + len(doc_ids), 0]
