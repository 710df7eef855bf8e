"""The matched, digested and counted rows of a difference are those that dictionaries would give."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.diff.matching import match
from flows.diff.sides import compare_rows
from flows.digests import column_digests
from schemas.arrow import DOCUMENTS, REJECTS, SIGNALS, write_shard
from schemas.artifact import Artifact, Damaged
from schemas.fingerprint import Identity
from schemas.ledger import Ledger
from schemas.store import Store

Row = dict[str, Any]

SOURCES = {n: "web" if n % 2 else "books" for n in range(12)}


@st.composite
def documents(draw: st.DrawFn) -> list[Row]:
    """Some of twelve documents, in canonical order, each in one of a few states."""
    return [
        {
            "doc_id": bytes([0, n]) + b"\0" * 14 if n < 6 else b"\xff" * 15 + bytes([n]),  # ids that share a half, and end in zeros
            "source": SOURCES[n],
            "uri": f"{n}.txt",
            "record": 0,
            "record_bytes": 5,
            "clean_is_identity": True,
            "text": draw(st.sampled_from(["one", "two", "文"])),
            "lang": draw(st.sampled_from(["en", "zh"])),
            "lang_score": 1.0,
            "origin_group": n,
            "subset": "train",
            "sentence_ends": [3],
            "word_starts": [0],
            "word_ends": [3],
            "pos": draw(st.sampled_from([None, [1], [2]])),
            "signals": dict.fromkeys(SIGNALS, 0.5),
            "extra": draw(st.sampled_from([None, "", "{}"])),
        }
        for n in sorted(draw(st.sets(st.integers(0, 11))))
    ]


def rejected(row: Row) -> Row:
    about = {key: row[key] for key in ("doc_id", "source", "uri", "record", "record_bytes")}
    return {**about, "stage": "judge", "reason": f"rule_{row['uri'][0]}", "detail": "", "text": None}


def artifact(store: Store, shards: list[list[Row]], rejects: list[Row]) -> Artifact:
    draft = store.start("documents", "d", Identity("documents", 1, {}, {}, {}))
    files = []
    for role, schema, tables in (("documents", DOCUMENTS, shards), ("rejects", REJECTS, [rejects])):
        for n, rows in enumerate(tables):
            path = draft.scratch() / "x"
            batches = [pa.RecordBatch.from_pylist(rows[k : k + 2], schema) for k in range(0, len(rows), 2)]
            write_shard(path, schema, batches, compress=True)
            files.append(draft.adopt(path, folder=role, stem=f"{n:05d}", suffix=".arrow", role=role, rows=len(rows)))
    draft.add_part("finish", "00000", files, {"s": Ledger()})
    return draft.commit(["finish"])


def naive(a: list[Row], b: list[Row]) -> dict[str, Counter[tuple[str, str]]]:
    old, new = {row["doc_id"]: row for row in a}, {row["doc_id"]: row for row in b}
    sides = {
        "equal": [new[key] for key in old.keys() & new.keys() if old[key] == new[key]],
        "changed": [new[key] for key in old.keys() & new.keys() if old[key] != new[key]],
        "only_a": [old[key] for key in old.keys() - new.keys()],
        "only_b": [new[key] for key in new.keys() - old.keys()],
    }
    return {side: Counter((row["source"], row["lang"]) for row in rows) for side, rows in sides.items()}


def counted(by: list[Row]) -> Counter[tuple[str, str]]:
    return Counter({(one["source"], one["lang"]): one["documents"] for one in by})


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(documents(), documents(), st.integers(0, 12), st.integers(0, 12))
def test_sides_are_those_of_dictionaries(a: list[Row], b: list[Row], cut_a: int, cut_b: int) -> None:
    there = {row["doc_id"] for row in b}
    gone = [rejected(row) for row in a if row["doc_id"] not in there and row["uri"] != "3.txt"]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        told = compare_rows(artifact(store, [a[:cut_a], a[cut_a:]], []), artifact(store, [b[:cut_b], b[cut_b:]], gone), 100)
    for side, expected in naive(a, b).items():
        assert counted(told[side]["by"]) == expected
        assert told[side]["documents"] == expected.total()
    old, new = {row["doc_id"]: row for row in a}, {row["doc_id"]: row for row in b}
    assert [e["doc_id"] for e in told["only_a"]["examples"]] == [key.hex() for key in old if key not in new]
    for example in told["changed"]["examples"]:
        key = bytes.fromhex(example["doc_id"])
        assert example["changes"].keys() == {c for c in old[key] if old[key][c] != new[key][c]}
    columns = {"text": "text", "annotation": "pos", "language": "lang", "fields": "extra"}
    both = old.keys() & new.keys()
    changed = {aspect: sum(old[k][column] != new[k][column] for k in both) for aspect, column in columns.items()}
    assert told["changed"]["aspects"] == {aspect: n for aspect, n in changed.items() if n}
    assert {r["reason"]: r["documents"] for r in told["only_a"]["rejected_there"]} == Counter(row["reason"] for row in gone)
    assert told["only_a"]["not_read_there"] == told["only_a"]["documents"] - len(gone)


ids = st.lists(st.tuples(*[st.sampled_from([0, 1, 255, 2**64 - 1])] * 2), unique=True, max_size=16)


@given(ids, ids)
def test_partners_are_equal_and_nobody_is_left_out(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    found = match(np.array(a, np.uint64).reshape(-1, 2), np.array(b, np.uint64).reshape(-1, 2), ("A", "B"))
    assert [a[i] for i in found.a] == [b[j] for j in found.b] == [x for x in a if x in b]
    assert [a[i] for i in found.only_a] == [x for x in a if x not in b]
    assert [b[j] for j in found.only_b] == [x for x in b if x not in a]


@pytest.mark.parametrize("doubled", ["A", "B"])
def test_an_id_that_is_twice_on_one_side_is_damage(doubled: str) -> None:
    one, two = np.array([[1, 2]], np.uint64), np.array([[7, 7], [1, 2], [7, 7]], np.uint64)
    with pytest.raises(Damaged, match=f"{doubled}: document 00000000000000070000000000000007 is there twice"):
        match(*((two, one) if doubled == "A" else (one, two)), ("A", "B"))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", "", None, "文"]),
        pa.array([b"a", b"", None], pa.large_binary()),
        pa.array([[1], [1, 0], [], None, [0, 1]], pa.list_(pa.int32())),
        pa.array([[True], [False], None, []], pa.list_(pa.bool_())),
        pa.array([0.0, 1.0, None, -0.0], pa.float32()),
        pa.array([True, False, None]),
        pa.array([0, 1, 2**64 - 1], pa.uint64()),
        pa.array([b"0" * 16, b"1" * 16], pa.binary(16)),
        pa.array([{"x": 1.0, "y": None}, {"x": None, "y": 1.0}, None], pa.struct([("x", pa.float32()), ("y", pa.float32())])),
    ],
    ids=lambda column: str(column.type),
)
def test_different_values_have_different_digests_wherever_they_stand(column: pa.Array) -> None:
    digests = column_digests(column).tolist()
    assert len(set(digests)) == len(digests)
    assert column_digests(column.slice(1)).tolist() == digests[1:]
    assert column_digests(pa.concat_arrays([column, column])).tolist() == digests * 2


def test_a_wider_vocabulary_changes_no_token() -> None:
    narrow, wide = (pa.array([[1, 2], [], [65535]], pa.large_list(kind)) for kind in (pa.uint16(), pa.uint32()))
    assert column_digests(narrow).tolist() == column_digests(wide).tolist()
