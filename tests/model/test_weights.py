"""The model: what weights of documents do to the samples of training: repeat and leave out documents, and change nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import Batches, training_batches
from model.evaluate.held_out import read_texts
from model.index import Index
from model.layout import Blocks
from model.phases import Stage
from model.text import Special, Text, open_text
from schemas.arrow import read_shard, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.sampling import times_read

AROUND = Special(0, 1)
BY_LANG = {"zh": 2.5, "en": 0.4, "code": 1.0}


def commit(folder: Path, tables: list[pa.Table]) -> Artifact:
    draft = Draft.start(folder / "artifact", "tokens", "weighed", Identity("tokens", 1, {}, {}, {}))
    for number, table in enumerate(tables):
        path = draft.scratch() / f"{number}.arrow"
        write_shard(path, table.schema, table.to_batches(max_chunksize=50), compress=False)
        file = draft.adopt(path, folder="tokens", stem=f"{number:05d}", suffix=".arrow", role="tokens", rows=table.num_rows)
        draft.add_part("tokens", f"{number:05d}", [file])
    return draft.commit(["tokens"])


def weighed(tables: list[pa.Table], by_lang: dict[str, float]) -> list[pa.Table]:
    place = tables[0].schema.get_field_index("weight")
    columns = [pa.array([by_lang[lang] for lang in table.column("lang").to_pylist()], pa.float32()) for table in tables]
    return [table.set_column(place, table.schema.field("weight"), column) for table, column in zip(tables, columns, strict=True)]


@pytest.fixture(scope="module")
def tables(tokens_artifact: Artifact) -> list[pa.Table]:
    return [read_shard(path) for path in tokens_artifact.paths("tokens")]


@pytest.fixture(scope="module")
def heavy(tables: list[pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return commit(tmp_path_factory.mktemp("heavy"), weighed(tables, BY_LANG))


def same_index(one: Index, other: Index) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("end", "place", "n_bytes"))
    return arrays and one.streams == other.streams and one.width == other.width


def documents_of(text: Text, stream: str) -> list[tuple[int, ...]]:
    """The token ids of a stream's documents, in its order."""
    first, last = text.index.streams[stream]
    found = []
    for document in range(first, last):
        begin, end = text.index.begin(document), int(text.index.end[document])
        segments = text.segments(np.array([begin]), end - begin)
        found.append(tuple(text.read(segments, segments.laid(1, end - begin), end - begin).tolist()))
    return found


def test_weights_of_one_change_nothing(tables: list[pa.Table], tmp_path: Path) -> None:
    """Byte for byte: against shards of the time before there were weights."""
    old = commit(tmp_path / "old", [table.drop_columns(["weight"]) for table in tables])
    new = commit(tmp_path / "new", tables)
    stages = [Stage(0, 12, 16, {}), Stage(3, 12, 16, {"zh": 2.0, "en": 1.0})]
    made = []
    for artifact in (old, new):
        text, _ = open_text(artifact.path, "train", AROUND)
        made.append(Batches(text, {16: Blocks(text, 17)}, stages, "one digest", 3, False))
    assert made[0].state(5) == made[1].state(5)
    assert all(torch.equal(made[0].batch_at(step).ids, made[1].batch_at(step).ids) for step in range(8))


def test_a_stream_holds_each_document_as_often_as_it_is_read(tables: list[pa.Table], heavy: Artifact) -> None:
    text, _ = open_text(heavy.path, "train", AROUND)
    for lang in BY_LANG:
        expected: Counter[tuple[int, ...]] = Counter()
        for table in weighed(tables, BY_LANG):
            for batch in table.to_batches():
                for row, times in zip(batch.select(["lang", "subset", "tokens"]).to_pylist(), times_read(batch).tolist(), strict=True):
                    if (row["lang"], row["subset"]) == (lang, "train"):
                        expected[0, *row["tokens"], 1] += times
        assert Counter(documents_of(text, lang)) == +expected


def test_copies_lie_a_round_apart(heavy: Artifact) -> None:
    text, _ = open_text(heavy.path, "train", AROUND)
    found = documents_of(text, "zh")
    documents = len(set(found))
    assert len(found) > 2 * documents
    assert found[:documents] == found[documents : 2 * documents]
    assert set(found[2 * documents :]) < set(found)


@pytest.mark.parametrize("subset", ["validation", "test"])
def test_held_out_text_is_not_weighed(tables: list[pa.Table], heavy: Artifact, tokens_artifact: Artifact, subset: str) -> None:
    one, other = (open_text(artifact.path, subset, AROUND)[0].index for artifact in (tokens_artifact, heavy))
    assert np.array_equal(one.end, other.end) and one.streams == other.streams


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_ranks_and_a_kept_index_see_the_same_samples(heavy: Artifact, tmp_path: Path, packing: Any) -> None:
    whole = training_batches(heavy.path, [Stage(0, 12, 16, {})], 3, AROUND, packing=packing)
    kept = [training_batches(heavy.path, [Stage(0, 12, 16, {})], 3, AROUND, packing=packing, keep=tmp_path) for _ in range(2)]
    for step in (0, 5, 90):
        expected = whole.batch_at(step).ids
        for ranks in (1, 2, 3):
            shares = [kept[rank % 2].batch_at(step, rank, ranks).ids for rank in range(ranks)]
            assert torch.equal(torch.cat(shares), expected)
    assert kept[0].resume(whole.state(90)) == 90


def test_the_mix_is_of_weighed_text(heavy: Artifact, tokens_artifact: Artifact) -> None:
    """Without a mix, languages have shares as they are weighed; with one, it decides."""

    def shares(artifact: Artifact, mix: dict[str, float]) -> list[float]:
        batches = training_batches(artifact.path, [Stage(0, 5040, 16, mix)], 0, AROUND)
        stream = batches.phases.rows[0].draw(np.arange(5040))[0]
        return [float((stream == number).mean()) for number in range(len(batches.streams))]

    plain, changed = shares(tokens_artifact, {}), shares(heavy, {})
    code, en, zh = (after / before for before, after in zip(plain, changed, strict=True))
    assert zh / code == pytest.approx(2.5, rel=0.1) and en / code == pytest.approx(0.4, rel=0.35)
    mix = {"zh": 1.0, "en": 1.0, "code": 2.0}
    assert shares(tokens_artifact, mix) == shares(heavy, mix) == pytest.approx([0.5, 0.25, 0.25])


def test_what_weighs_nothing_is_nowhere(tables: list[pa.Table], tmp_path: Path) -> None:
    artifact = commit(tmp_path / "none", weighed(tables, {**BY_LANG, "en": 0.0}))
    batches = training_batches(artifact.path, [Stage(0, 12, 16, {})], 3, AROUND)
    assert batches.streams == ["code", "zh"]
    with pytest.raises(RequestError, match="'en' has no block of 17 tokens"):
        training_batches(artifact.path, [Stage(0, 12, 16, {"en": 1})], 3, AROUND)
    read = {text.lang for text in read_texts(artifact.paths("tokens"), "train")}
    assert read == {"code", "zh"} and {text.lang for text in read_texts(artifact.paths("tokens"), "test")} == set(BY_LANG)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 4, width=32), min_size=1, max_size=30), st.integers(1, 3))
def test_an_epoch_holds_every_reading_once(tmp_path_factory: pytest.TempPathFactory, weights: list[float], shards: int) -> None:
    """With any weights: the blocks of an epoch are those of the documents as often as they are read."""
    rows = [
        {"doc_id": xxhash.xxh3_128_digest(b"%d" % number), "source": "s", "lang": "en", "subset": "train", "weight": weight,
         "tokens": [number + 2] * 3, "n_bytes": 3}
        for number, weight in enumerate(weights)
    ]  # fmt: skip
    schema = pa.schema([
        ("doc_id", pa.binary(16)), ("source", pa.string()), ("lang", pa.string()), ("subset", pa.string()), ("weight", pa.float32()),
        ("tokens", pa.large_list(pa.uint16())), ("n_bytes", pa.uint64()),
    ])  # fmt: skip
    artifact = commit(tmp_path_factory.mktemp("any"), [pa.Table.from_pylist(rows[shard::shards], schema) for shard in range(shards)])
    times = times_read(pa.RecordBatch.from_pylist(rows, schema))
    text, _ = open_text(artifact.path, "train", AROUND)
    if not times.sum():
        assert not text.index.streams
        return
    blocks = Blocks(text, 2)  # each block: two neighbours, so each token but the first is the second of one
    count = blocks.counts[0]
    batches = Batches(text, {1: blocks}, [Stage(0, 1, 1, {})], "digest", 7, False)
    second = Counter(batches.samples(np.arange(count)).ids[:, 1].tolist())
    assert [second[number + 2] for number in range(len(rows))] == (3 * times).tolist()
