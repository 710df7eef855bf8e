"""The model: document shards are read batch by batch into a *tally*: counts by source, language and subset (*cells*),
and for each language the lengths, parts of speech and words of its documents (*profiles*).

All counting is done on whole batches by Arrow and numpy. Memory is bounded by a batch, plus the distinct words and
distinct lengths of each language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from flows.report.facts import Cell, Lengths, Profile, WordCount
from flows.report.wording import CODE
from schemas.arrow import UPOS

TOP_WORDS = 25

_COLUMNS = ("source", "lang", "subset", "text", "sentence_ends", "word_starts", "word_ends", "pos")
_COUNTS = ("documents", "bytes", "characters", "words", "sentences")
_PENDING_ROWS = 1 << 20
_WORDS = pa.schema([pa.field("word", pa.string()), pa.field("n", pa.int64())])


def read_batches(path: Path, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """The record batches of a shard, with these columns only, one in memory at a time."""
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = sorted(schema.get_field_index(name) for name in columns)
        reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


def read_texts(shards: Iterable[Path]) -> tuple[tuple[Cell, ...], tuple[Profile, ...]]:
    """Count all documents of the shards; cells by source, language and subset, profiles by falling size of the language,
    source code last.

    Raises `ValueError` naming the shard if a document's word offsets or tags are not what the schema says.
    """
    cells: Counter[tuple[str, str, str, str]] = Counter()
    languages: dict[str, _Tally] = {}
    for path in shards:
        for batch in read_batches(path, _COLUMNS):
            _count_cells(batch, cells)
            for lang in pc.unique(batch.column("lang")).to_pylist():
                tally = languages.setdefault(lang, _Tally(lang))
                try:
                    tally.add(batch.filter(pc.equal(batch.column("lang"), lang)))
                except (ValueError, pa.ArrowInvalid) as error:
                    raise ValueError(f"{path}: documents in language {lang!r}: {error}; run `gristmill audit`") from error
    keys = sorted({key[:3] for key in cells})
    found = tuple(Cell(*key, *(cells[(*key, name)] for name in _COUNTS)) for key in keys)
    size = Counter[str]()
    for cell in found:
        size[cell.lang] += cell.bytes
    return found, tuple(languages[lang].profile() for lang in sorted(languages, key=lambda lang: (lang == CODE, -size[lang], lang)))


def _count_cells(batch: pa.RecordBatch, cells: Counter[tuple[str, str, str, str]]) -> None:
    text = batch.column("text")
    keys = ["source", "lang", "subset"]
    measures = {
        "documents": pa.array(np.ones(batch.num_rows, np.int64)),
        "bytes": pc.binary_length(text),
        "characters": pc.utf8_length(text),
        "words": pc.list_value_length(batch.column("word_starts")),
        "sentences": pc.list_value_length(batch.column("sentence_ends")),
    }
    table = pa.table({**{key: batch.column(key) for key in keys}, **{k: pc.cast(v, pa.int64()) for k, v in measures.items()}})
    for row in table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in _COUNTS]).to_pylist():
        for name in _COUNTS:
            cells[(row["source"], row["lang"], row["subset"], name)] += row[f"{name}_sum"]


class _Tally:
    """Lengths, tags and words of one language, added up over batches."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.lengths: Counter[int] = Counter()
        self.pos = np.zeros(len(UPOS), np.int64)
        self.untagged = 0
        self.words = _WORDS.empty_table()
        self.pending: list[pa.Table] = []

    def add(self, batch: pa.RecordBatch) -> None:
        values, counts = np.unique(pc.utf8_length(batch.column("text")).to_numpy(), return_counts=True)
        self.lengths.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        pos = batch.column("pos")
        by_code = np.bincount(pos.flatten().to_numpy(), minlength=len(UPOS))
        if len(by_code) > len(UPOS):
            raise ValueError(f"pos holds the code {len(by_code) - 1}, the last known one is {len(UPOS) - 1}")
        self.pos += by_code
        self.untagged += pos.null_count
        self.pending.append(self._count(slice_words(batch)))
        if sum(table.num_rows for table in self.pending) > _PENDING_ROWS:
            self._merge()

    def _count(self, words: pa.StringArray) -> pa.Table:
        types = words.value_counts()
        word, n = types.field("values"), types.field("counts")
        has_letter = pc.match_substring_regex(word, r"\p{L}")
        word, n = word.filter(has_letter), n.filter(has_letter)
        return pa.table({"word": word if self.lang == CODE else pc.utf8_lower(word), "n": n}, schema=_WORDS)

    def _merge(self) -> None:
        table = pa.concat_tables([self.words, *self.pending])
        summed = table.group_by("word", use_threads=False).aggregate([("n", "sum")])
        self.words, self.pending = pa.table({"word": summed["word"], "n": summed["n_sum"]}, schema=_WORDS), []

    def profile(self) -> Profile:
        self._merge()
        top = self.words.sort_by([("n", "descending"), ("word", "ascending")]).slice(0, TOP_WORDS)
        frequent = tuple(WordCount(row["word"], row["n"]) for row in top.to_pylist())
        return Profile(self.lang, _lengths(self.lengths), tuple(self.pos.tolist()), self.untagged, frequent)


def slice_words(batch: pa.RecordBatch) -> pa.StringArray:
    """All words of a batch, cut out of `text` by `word_starts` and `word_ends`, in order.

    Words don't overlap, so marking their bytes and keeping the marked ones joins them without an index a byte.
    Raises `ValueError` if they overlap or leave their text, `pa.ArrowInvalid` if an offset splits a character.
    """
    text, starts, ends = (batch.column(name) for name in ("text", "word_starts", "word_ends"))
    if text.nbytes == 0 or len(text) == 0:
        return pa.array([], pa.string())
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    counts = pc.list_value_length(starts).to_numpy()
    if not np.array_equal(counts, pc.list_value_length(ends).to_numpy()):
        raise ValueError("word_starts and word_ends have different lengths")
    start, end = (column.flatten().to_numpy().astype(np.int64) for column in (starts, ends))
    sizes = np.repeat(np.diff(offsets), counts)
    if np.any(start < 0) or np.any(end < start) or np.any(end > sizes):
        raise ValueError("a word's offsets leave its text")
    base = np.repeat(offsets[:-1] - offsets[0], counts)
    filled = end > start
    start, end = (base + start)[filled], (base + end)[filled]
    edges = np.zeros(len(data) + 1, np.int8)
    edges[start] += 1
    edges[end] -= 1
    inside = np.cumsum(edges[:-1], dtype=np.int8) > 0
    return _join(data[inside], end - start)


def _join(content: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> pa.StringArray:
    if len(content) != sizes.sum():
        raise ValueError("words overlap")
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    words = pa.StringArray.from_buffers(len(sizes), pa.py_buffer(offsets), pa.py_buffer(content))
    words.validate(full=True)
    return words


def _lengths(counts: Counter[int]) -> Lengths:
    values = np.array(sorted(counts), np.int64)
    documents = np.array([counts[int(v)] for v in values], np.int64)
    bins = np.bincount(np.frexp(np.maximum(values, 1).astype(np.float64))[1] - 1, weights=documents)
    reached = np.cumsum(documents)
    tenth, median, ninetieth = (int(values[np.searchsorted(reached, share * reached[-1])]) for share in (0.1, 0.5, 0.9))
    return Lengths(tuple(int(n) for n in bins), tenth, median, ninetieth, int(values[-1]))
