"""The model: the *index* of the evaluation sets is a folder of columns. An *entry* is one gram, or one item that is compared
whole, with the key that it is looked up by; a *posting* says how often an item holds it. Entries are sorted by key.

    filter                           which heads of grams there are (`head_filter`)
    keys, starts, lengths, units     of each entry: key, where it stands in `spelled`, code points and units there
    postings                         where the postings of each entry start, and their number at the end
    items, counts                    of each posting
    spelled                          the folded items (`Grams.spelled`): what is found by a key is compared with them
    items.arrow                      label of each item, how many grams it has, and whether it is compared whole

Entries are distinct by their text, never by their key: grams that share a key by accident are entries side by side.

Memory is bounded by the budget: items are spelled block by block, and grams are sorted a range of keys at a time. Hashing
all of them again for each range is quicker than writing them out.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.characters import codes_of
from pipelines.clean.text import clean_text
from pipelines.contamination.columns import Column, append, mapped, part
from pipelines.contamination.evaluation_sets import Item, read_items
from pipelines.contamination.grams import Grams, Weights, Windows
from pipelines.contamination.head_filter import Heads, empty_filter, put_in
from pipelines.span_hashes import Ints
from schemas.arrow import read_shard, write_shard
from schemas.errors import RequestError
from schemas.files import remove_tree
from schemas.recipe import Clean, Decontaminate

ITEMS = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("grams", pa.uint32(), nullable=False),
        pa.field("whole", pa.bool_(), nullable=False),
    ]
)

_ITEMS_FILE = "items.arrow"

_BLOCK_CHARS = 1 << 19
"""Characters of items to work on at a time."""

_GRAM_BYTES = 240
"""Bytes that a gram takes while it is sorted: its columns, their sorted copies, the order, and its postings."""


@dataclass(frozen=True)
class Index:
    """An open index; see the module."""

    weights: Weights
    keys: Column
    starts: Column
    lengths: Column
    units: Column
    postings: Column
    items: Column
    counts: Column
    spelled: Column
    filter: Column
    labels: pa.ChunkedArray
    grams: Ints
    """Of each item."""
    has_whole: bool
    """Whether any item is compared whole."""

    @classmethod
    def open(cls, folder: Path, settings: Decontaminate) -> Index:
        table = read_shard(folder / _ITEMS_FILE)
        return cls(
            weights=Weights.of(settings),
            keys=mapped(folder, "keys"),
            starts=mapped(folder, "starts"),
            lengths=mapped(folder, "lengths"),
            units=mapped(folder, "units"),
            postings=mapped(folder, "postings"),
            items=mapped(folder, "items"),
            counts=mapped(folder, "counts"),
            spelled=mapped(folder, "spelled"),
            filter=mapped(folder, "filter"),
            labels=table["label"],
            grams=table["grams"].to_numpy().astype(np.int64),
            has_whole=bool(table["whole"].to_numpy().any()),
        )


def build(folder: Path, settings: Decontaminate, clean: Clean, paths: Mapping[str, Path]) -> None:
    """Make the index in `folder`, in one step: it is there as a whole, or not at all. `paths` are the sets' files by name.

    Items are cleaned as documents are, so that both are spelled the same. Raises `RequestError` for a file that can't be
    read, and for a set of which no item is long enough to be found.
    """
    made = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    made.mkdir(parents=True)
    try:
        weights = Weights.of(settings)
        ends: list[Ints] = []
        write_shard(made / _ITEMS_FILE, ITEMS, _spell(made, settings, clean, paths, weights, ends), compress=False)
        _sort(made, np.concatenate(ends), weights, settings.memory)
        if not folder.exists():  # another process of this job may have been quicker, with the same bytes
            os.replace(made, folder)
    finally:
        remove_tree(made)


def _spell(
    folder: Path, settings: Decontaminate, clean: Clean, paths: Mapping[str, Path], weights: Weights, ends: list[Ints]
) -> Iterator[pa.RecordBatch]:
    """Write the folded items and the rows of `ITEMS`; `ends` gets where each item ends among all code points."""
    size = 0
    for chosen in settings.sets:
        found = kept = 0
        for items in _blocks(read_items(chosen, paths[chosen.name], settings)):
            texts = [clean_text(item.text, clean)[0] for item in items]
            _, weight = _grams(texts, weights).texts()
            heavy = np.flatnonzero(weight >= weights.least)
            found, kept = found + len(items), kept + heavy.size
            if not heavy.size:
                continue
            grams = _grams([texts[row] for row in heavy], weights)
            spelled, offsets = grams.spelled()
            append(folder, spelled=spelled)
            ends.append(size + offsets[grams.bounds])
            size += spelled.size
            whole = weight[heavy] < weights.whole
            windows = grams.windows(np.arange(grams.units), weights.whole)
            counts = np.bincount(np.searchsorted(grams.bounds, windows.firsts, side="right"), minlength=heavy.size)
            labels = pa.array([items[row].label for row in heavy], pa.string())
            columns = [labels, pa.array(np.where(whole, 1, counts).astype(np.uint32)), pa.array(whole)]
            yield pa.RecordBatch.from_arrays(columns, schema=ITEMS)
        if not kept:
            words, characters = (-(-weights.least // unit) for unit in (weights.word, weights.alone))
            raise RequestError(
                f"{paths[chosen.name]}: none of the {found:,} texts of evaluation set {chosen.name!r} has {words} words or {characters} "
                "characters, so none would ever be found. Lower corpus.decontaminate.shortest, name longer fields, or leave the set out"
            )


def _blocks(items: Iterator[Item]) -> Iterator[list[Item]]:
    block: list[Item] = []
    chars = 0
    for item in items:
        block.append(item)
        chars += len(item.text)
        if chars >= _BLOCK_CHARS:
            yield block
            block, chars = [], 0
    if block:
        yield block


def _grams(texts: list[str], weights: Weights) -> Grams:
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    return Grams(codes_of("\n".join(texts) + "\n"), ends, weights)


class _Rows(NamedTuple):
    """Grams of items, one row for each place where one stands; a whole item is a row as well."""

    keys: Column
    starts: Column
    lengths: Column
    units: Column
    items: Column


def _sort(folder: Path, ends: Ints, weights: Weights, memory: int) -> None:
    """Write the entries, their postings, and the filter."""
    spelled = mapped(folder, "spelled")
    total = int(read_shard(folder / _ITEMS_FILE)["grams"].to_numpy().sum(dtype=np.int64))
    bits = empty_filter(total, memory // 8)
    ranges = -(-total * _GRAM_BYTES // memory)
    postings = 0
    for number in range(ranges):
        first, last = (-(-(n << 64) // ranges) for n in (number, number + 1))
        found = []
        for rows, heads in _rows(folder, ends, weights):
            if number == 0:
                put_in(bits, heads)
            inside = (rows.keys >= np.uint64(first)) & (rows.keys <= np.uint64(last - 1))
            found.append(_Rows(*(column[inside] for column in rows)))
        rows = _Rows(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
        del found  # the budget holds two copies, not three
        order = np.argsort(rows.keys, kind="stable")
        postings += _write_entries(folder, _Rows(*(column[order] for column in rows)), spelled, postings)
    append(folder, postings=np.array([postings]), filter=bits)


def _rows(folder: Path, ends: Ints, weights: Weights) -> Iterator[tuple[_Rows, Heads]]:
    """The grams of all items, and the hashes of their heads, block by block, in order."""
    first = 0
    while first < ends.size:
        base = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, base + _BLOCK_CHARS)))
        grams = Grams(part(folder, "spelled", base, int(ends[last - 1])), ends[first:last] - base, weights)
        starts, weight = grams.texts()
        offsets = grams.spelled()[1]
        light = weight < weights.whole
        beginnings = grams.windows(starts[light], weights.least)
        wholes = Windows(beginnings.firsts, grams.bounds[light])
        windows = grams.windows(np.arange(grams.units), weights.whole)
        firsts, behind = (np.concatenate(pair) for pair in zip(windows, wholes, strict=True))
        rows = _Rows(
            np.concatenate([grams.keys(windows), grams.keys(beginnings)]),
            base + offsets[firsts],
            (offsets[behind] - offsets[firsts]).astype(np.uint32),
            (behind - firsts).astype(np.uint32),
            (first + np.searchsorted(grams.bounds, firsts, side="right")).astype(np.uint32),
        )
        yield rows, grams.heads()[firsts]
        first = last


def _write_entries(folder: Path, rows: _Rows, spelled: Column, postings: int) -> int:
    """Append the entries of rows that are sorted by key, and their postings; return how many, beside the `postings` before."""
    same = np.flatnonzero(rows.keys[1:] == rows.keys[:-1]) + 1
    spells = np.arange(rows.keys.size)  # the row that spells its text first
    spellings: list[int] = []
    before = -1
    for row, start, length in zip(same.tolist(), rows.starts[same].tolist(), rows.lengths[same].tolist(), strict=True):
        if row != before + 1:  # another key than that of the rows before
            spellings = [row - 1]
        before = row
        text = spelled[start : start + length].tobytes()
        for known in spellings:
            at = int(rows.starts[known])
            if rows.lengths[known] == length and spelled[at : at + length].tobytes() == text:
                spells[row] = known
                break
        else:
            spellings.append(row)
    own = spells == np.arange(spells.size)
    entry = (np.cumsum(own) - 1)[spells]
    pairs, counts = np.unique((entry.astype(np.uint64) << np.uint64(32)) | rows.items.astype(np.uint64), return_counts=True)
    firsts = np.searchsorted(pairs >> np.uint64(32), np.arange(int(own.sum()), dtype=np.uint64))
    columns = {name: getattr(rows, name)[own] for name in ("keys", "starts", "lengths", "units")}
    append(folder, **columns, postings=postings + firsts, items=pairs & np.uint64(0xFFFFFFFF), counts=counts)
    return pairs.size
