"""Taking rows out of documents, and merging their shards: what is left is what was there, and all that is derived from it agrees."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.compaction import compact_documents, groups_of, merged_groups
from pipelines.removal import STAGES, Removal, remove_documents
from pipelines.tombstones import REASON, Tombstones
from schemas.arrow import read_shard
from schemas.artifact import Artifact, PartKey
from schemas.audit import audit
from schemas.draft import PARENT, Draft
from schemas.ledger import Ledger
from schemas.recipe import Clean, Corpus, Dedup, HeldOut, Near, Redact, Rules
from tests.pipelines.drafts import make, source

SETTINGS = Corpus(
    sources=(source(format="jsonl", origin="text"),),
    clean=Clean(),
    rules={"default": Rules(min_chars=3)},
    dedup=Dedup(near=Near(ngram=2), conflict_field="label"),
    held_out=HeldOut(validation=0.2, test=0.2, cut_shared_lines_over=8),
    redact=Redact(),
    keep_raw=True,
    split_bytes=200,
)

WORDS = st.sampled_from("river stone letter garden window a@b.example".split())
TEXTS = st.lists(st.lists(WORDS, min_size=0, max_size=8).map(" ".join), min_size=1, max_size=14)


def version_of(folder: Path, texts: list[str]) -> Artifact:
    """A first version of documents: of each text a record, some with labels that contradict each other."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": f"{text}\n{text}", "label": str(number % 3 == 0)}) for number, text in enumerate(texts)]
    (folder / "raw.jsonl").write_text("\n".join(lines) + "\n")
    return make(folder / "v1", SETTINGS, {"s": folder / "raw.jsonl"}).commit(("prepare", "finish"))


def child_of(parent: Artifact, stages: tuple[str, ...], made: Callable[[Draft], Collection[PartKey]]) -> Artifact:
    identity = replace(parent.manifest.identity, inputs={PARENT: parent.manifest.content_digest})
    draft = Draft.start(parent.path.with_name(parent.version + "c"), "documents", "test", identity, parent.plan_splits())
    draft.assign(inputs={PARENT: parent.path}, roots={}, run={})
    return draft.commit(stages, made(draft))


def without(parent: Artifact, removal: Removal) -> Artifact:
    def made(draft: Draft) -> Collection[PartKey]:
        remove_documents(draft, parent, removal, Tombstones(dict.fromkeys(removal.gone)))
        return ()

    return child_of(parent, STAGES, made)


def compacted(parent: Artifact, target: int) -> Artifact:
    groups = groups_of(parent, target)
    child = child_of(parent, parent.manifest.stages, lambda draft: compact_documents(draft, parent, groups))
    assert merged_groups(parent, child) == groups and groups_of(child, target) == []
    return child


def rows(artifact: Artifact, role: str) -> list[dict[str, Any]]:
    return [row for path in artifact.paths(role) for row in read_shard(path).to_pylist()]


def index(artifact: Artifact, kind: str) -> list[tuple[str, pa.Table]]:
    """The runs of a kind, by the key of their split."""
    files = [(part.key, file) for part in artifact.manifest.parts for file in part.files]
    return [(key, read_shard(artifact.path / file.path)) for key, file in files if file.path.split("/")[-2] == kind]


def total(artifact: Artifact) -> Ledger:
    return sum(artifact.manifest.ledgers.values(), Ledger())


@settings(max_examples=8, deadline=None)
@given(TEXTS, st.data())
def test_rows_are_kept_or_gone_and_every_figure_agrees(texts: list[str], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        parent = version_of(Path(folder), texts)
        documents, rejects = rows(parent, "documents"), rows(parent, "rejects")
        ids = sorted({row["doc_id"] for row in (*documents, *rejects)})
        gone = frozenset(data.draw(st.sets(st.sampled_from(ids))))
        cleared = frozenset(data.draw(st.sets(st.sampled_from(ids)))) - gone
        child = without(parent, Removal(gone, cleared))
        assert audit(child) == []
        assert rows(child, "documents") == [row for row in documents if row["doc_id"] not in gone]
        after = rows(child, "rejects")
        assert {row["doc_id"] for row in after if row["reason"] == REASON} == gone
        assert [row for row in after if row["doc_id"] in gone and row["text"] is not None] == []
        assert [row for row in after if row["reason"] != REASON] == [
            {**row, "text": None} if row["doc_id"] in cleared else row for row in rejects if row["doc_id"] not in gone
        ]
        before, now = total(parent), total(child)
        assert (now.records_read, now.bytes_read) == (before.records_read, before.bytes_read) and now.imbalances() == []
        assert now.rejected.get(REASON, 0) == len(gone)
        kept = [(key, [row for row in run.to_pylist() if row["doc_id"] not in gone]) for key, run in index(parent, "digests")]
        assert kept == [(key, run.to_pylist()) for key, run in index(child, "digests")]
        runs = index(parent, "digests")
        numbers = {(key, row) for key, run in runs for i, row in zip(*_columns(run, "doc_id", "row"), strict=True) if i in gone}
        for key, run in index(child, "lines"):
            assert not {(key, row) for row in run["row"].to_pylist()} & numbers
        for _, run in index(child, "signatures"):
            assert not {i for i, signature in zip(*_columns(run, "doc_id", "signature"), strict=True) if signature} & gone
        assert {part.id for part in child.manifest.parts} == {part.id for part in parent.manifest.parts} | {("forget", "00000")}


@settings(max_examples=8, deadline=None)
@given(TEXTS, st.integers(1, 1_500))
def test_merged_shards_have_the_same_rows_in_the_same_order(texts: list[str], target: int) -> None:
    with TemporaryDirectory() as folder:
        parent = version_of(Path(folder), texts)
        child = compacted(parent, target)
        assert audit(child) == []
        for role in ("documents", "rejects"):
            assert rows(child, role) == rows(parent, role)
        assert child.manifest.ledgers == parent.manifest.ledgers
        place = places(parent)
        for kind in ("digests", "lines", "signatures"):
            for artifact, where in ((parent, place), (child, places(child))):
                for key, run in index(artifact, kind):
                    if kind != "signatures":
                        keys = list(zip(*_columns(run, run.column_names[0], "row"), strict=True))
                        assert keys == sorted(keys)
                    assert all((key, row) in where for row in (run["row"].to_pylist() if kind != "signatures" else range(len(run))))
        for key, run in index(child, "digests"):  # a row number leads to the signature of the same document
            (signatures,) = (own for other, own in index(child, "signatures") if other == key)
            assert [signatures["doc_id"][row].as_py() for row in run["row"].to_pylist()] == run["doc_id"].to_pylist()
        assert [row for _, run in index(parent, "signatures") for row in run.to_pylist()] == [
            row for _, run in index(child, "signatures") for row in run.to_pylist()
        ]
        ends = {part.key: part.facts["offsets"]["digests"][-1] for part in child.manifest.parts if part.stage == "prepare"}
        assert ends == {key: len(run) for key, run in index(child, "digests")}


def places(artifact: Artifact) -> dict[tuple[str, int], bytes]:
    return {(key, row): i for key, run in index(artifact, "signatures") for row, i in enumerate(run["doc_id"].to_pylist())}


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def test_removing_and_merging_go_together(tmp_path: Path) -> None:
    parent = version_of(tmp_path, [f"letter {n} of the river garden" for n in range(12)])
    first = rows(parent, "documents")[0]["doc_id"]
    merged = compacted(without(parent, Removal(frozenset({first}))), 1 << 20)
    assert audit(merged) == []
    assert len(merged.paths("documents")) == 1
    assert [row["doc_id"] for row in rows(merged, "documents")] == [row["doc_id"] for row in rows(parent, "documents")[1:]]
    assert Tombstones.of(merged).by_id == {first: None}


def test_a_part_that_is_recorded_is_not_made_again(tmp_path: Path) -> None:
    parent = version_of(tmp_path, ["river stone letter", "garden window stone"])
    removal = Removal(frozenset(row["doc_id"] for row in rows(parent, "documents")))
    identity = replace(parent.manifest.identity, inputs={PARENT: parent.manifest.content_digest})
    draft = Draft.start(tmp_path / "v2", "documents", "test", identity, parent.plan_splits())
    draft.assign(inputs={PARENT: parent.path}, roots={}, run={})
    tombstones = Tombstones({})
    remove_documents(draft, parent, removal, tombstones)
    records = {path: path.stat().st_mtime_ns for path in (draft.path / "parts").rglob("*.json")}
    remove_documents(draft, parent, removal, tombstones)
    assert {path: path.stat().st_mtime_ns for path in (draft.path / "parts").rglob("*.json")} == records
    assert total(draft.commit(STAGES)).records_kept == 0


@pytest.mark.parametrize("digest", [b"d" * 16, None])
def test_tombstones_grow_and_keep_their_digests(tmp_path: Path, digest: bytes | None) -> None:
    tombstones = Tombstones({b"a" * 16: digest}).with_more({b"a" * 16: None, b"b" * 16: None})
    tombstones.write(tmp_path / "t.arrow")
    assert Tombstones.read(tmp_path / "t.arrow").by_id == {b"a" * 16: digest, b"b" * 16: None}
