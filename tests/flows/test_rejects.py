"""Rejects are counted whole, sampled fairly and reproducibly, and shown without what could move a cursor."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from flows.rejects import Wanted, browse, by_stage
from schemas.arrow import REJECTS, read_shard, write_shard
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.store import Store
from tests.flows.conftest import Command, command_in

Row = dict[str, Any]
EVERY = Wanted()


def reject(n: int) -> Row:
    return {
        "doc_id": xxhash.xxh3_128_digest(str(n).encode()),
        "source": "web" if n % 3 else "books",
        "uri": f"{n}.txt",
        "record": n,
        "record_bytes": 10,
        "stage": "rules" if n % 2 else "read",
        "reason": "min_words" if n % 2 else "invalid_json",
        "detail": "",
        "text": f"text {n}" if n % 5 else None,
    }


def artifact(store: Store, rows: list[Row], shards: int) -> Artifact:
    draft = store.start("documents", "d", Identity("documents", 1, {}, {}, {}))
    files = []
    for n, part in enumerate(np.array_split(np.arange(len(rows)), shards)):
        path, chosen = draft.scratch() / "x", [rows[k] for k in part.tolist()]
        batches = [pa.RecordBatch.from_pylist(chosen[k : k + 7], REJECTS) for k in range(0, len(chosen), 7)]
        write_shard(path, REJECTS, batches, compress=True)
        files.append(draft.adopt(path, folder="rejects", stem=f"{n:05d}", suffix=".arrow", role="rejects", rows=len(chosen)))
    draft.add_part("finish", "00000", files)
    return draft.commit(["finish"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def records(artifact: Artifact, wanted: Wanted, limit: int, seed: int | None) -> list[int]:
    return [row["record"] for row in browse(artifact, wanted, limit, seed)[1]]


def test_the_first_come_in_order_and_counts_are_whole(store: Store) -> None:
    found = artifact(store, [reject(n) for n in range(100)], 3)
    counts, rows = browse(found, Wanted(source="books", stage="rules"), 4)
    assert [row["record"] for row in rows] == [3, 9, 15, 21]
    assert counts == [{"source": "books", "stage": "rules", "reason": "min_words", "records": 17, "bytes": 170}]
    counts, _ = browse(found, EVERY, 0)
    assert by_stage(counts) == [{"stage": s, "records": 50, "bytes": 500} for s in ("read", "rules")]


def test_a_sample_does_not_depend_on_shards_and_grows_at_its_end(store: Store) -> None:
    rows = [reject(n) for n in range(200)]
    one, many = artifact(store, rows, 1), artifact(store, rows, 9)
    sample = records(one, EVERY, 20, 7)
    assert sample == records(many, EVERY, 20, 7)
    assert sample[:5] == records(one, EVERY, 5, 7)
    assert sample != records(one, EVERY, 20, 8) and sample != sorted(sample)
    assert len(set(records(one, EVERY, 500, 7))) == 200
    fewer = artifact(store, [row for row in rows if row["record"] != sample[0]], 4)
    assert records(fewer, EVERY, 19, 7) == sample[1:]


def test_a_filter_draws_from_what_it_leaves(store: Store) -> None:
    found = artifact(store, [reject(n) for n in range(200)], 4)
    everything = records(found, EVERY, 200, 3)
    assert records(found, Wanted(reason="min_words"), 10, 3) == [n for n in everything if n % 2][:10]


def test_samples_are_uniform(store: Store) -> None:
    """Each of 50 rejects is among 10 drawn with probability 1/5: over 400 seeds 80 times, standard deviation 8."""
    found = artifact(store, [reject(n) for n in range(50)], 3)
    drawn = Counter(n for seed in range(400) for n in records(found, EVERY, 10, seed))
    assert sum(drawn.values()) == 4000
    assert min(drawn.values()) > 80 - 5 * 8 and max(drawn.values()) < 80 + 5 * 8


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(stage="bake"), "no reject has stage 'bake'; there is read, rules"),
        (Wanted(reason="min_words", stage="read"), "all of that at once"),
    ],
)
def test_what_is_not_there_is_named(store: Store, wanted: Wanted, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        browse(artifact(store, [reject(n) for n in range(10)], 2), wanted, 5)


@pytest.mark.slow
def test_the_command_samples_a_real_run(workspace: Path, gristmill: Command) -> None:
    documents = Store(workspace / ".gristmill" / "store").find("documents/tiny")
    there = {row["doc_id"].hex() for path in documents.paths("rejects") for row in read_shard(path).to_pylist()}
    told = json.loads(gristmill("rejects", documents.reference, "--sample", "6", "--seed", "3", "--json").stdout)
    assert {row["doc_id"] for row in told["rows"]} < there and len(told["rows"]) == 6
    assert sum(s["records"] for s in told["stages"]) == sum(c["records"] for c in told["counts"]) == len(there)
    text = gristmill("rejects", documents.reference, "--stage", "duplicates", "--sample", "3").stdout
    assert "exact_duplicate" in text and "min_words" not in text


def test_text_from_outside_cannot_move_a_cursor(tmp_path: Path) -> None:
    evil = {**reject(1), "text": "\x1b[2J\x9b31m\u202e!", "uri": "a\x07.txt", "detail": "\x1b]0;title\x07"}
    found = artifact(Store(tmp_path / "store"), [evil], 1)
    shown = command_in(tmp_path)("rejects", found.reference, "--sample", "1", "--store", "store").stdout
    assert "\\x1b[2J\\x9b31m\\u202e!" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
