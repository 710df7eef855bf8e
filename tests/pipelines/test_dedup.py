"""Duplicates: keep-first against a brute-force model, label conflicts, lines that held-out text shares with training text."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedup.exact import losers
from pipelines.dedup.parts import PartRun, part_digest, shared, without_parts
from pipelines.dedup.runs import DigestRun
from pipelines.job import SHARED_LINES, Job
from pipelines.origin import origin_groups, subset_of
from schemas.arrow import read_shard
from schemas.recipe import Corpus, Dedup, HeldOut
from tests.pipelines.drafts import ledgers, make, rows, source, texts

Rows = list[tuple[str, Any]]
"""Text and label of each document of a split."""


def batch(documents: Rows, split: int = 0, subset: str = "train") -> pa.RecordBatch:
    columns = {
        "text": pa.array([text for text, _ in documents], pa.string()),
        "doc_id": pa.array([b"%08d%08d" % (split, row) for row in range(len(documents))], pa.binary(16)),
        "extra": pa.array([None if label is None else orjson.dumps({"label": label}).decode() for _, label in documents], pa.string()),
        "subset": pa.array([subset] * len(documents), pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns)


def runs(folder: Path, splits: list[Rows], partitions: int) -> list[list[tuple[int, pa.Table]]]:
    """Of each partition, the slices of all splits' runs."""
    found: list[list[tuple[int, pa.Table]]] = [[] for _ in range(partitions)]
    for split, documents in enumerate(splits):
        run = DigestRun("label")
        for start in range(0, len(documents), 3):
            run.add(batch(documents, split).slice(start, 3))
        path = folder / f"{split}.arrow"
        offsets = run.write(path, partitions)
        assert offsets[0] == 0 and offsets[-1] == len(documents)
        for partition in range(partitions):
            found[partition].append((split, read_shard(path).slice(offsets[partition], offsets[partition + 1] - offsets[partition])))
    return found


def brute_force(splits: list[Rows], exact: bool, label_field: str | None) -> dict[tuple[int, int], tuple[tuple[int, int], bool]]:
    """Who loses, against which first document, and whether by conflict; found by comparing every text with every one."""
    documents = [((split, row), text, label) for split, rows in enumerate(splits) for row, (text, label) in enumerate(rows)]
    lost = {}
    for place, text, _ in documents:
        same = [(p, label) for p, t, label in documents if t == text]
        conflict = label_field is not None and len({str(label) for _, label in same if label is not None}) > 1
        if conflict or (exact and place != same[0][0]):
            lost[place] = (same[0][0], conflict)
    return lost


@settings(deadline=None)
@given(
    splits=st.lists(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([None, "x", "y", 1])), max_size=9), max_size=5),
    partitions=st.integers(1, 4),
    exact=st.booleans(),
    label_field=st.sampled_from([None, "label"]),
)
def test_duplicates_against_brute_force(
    tmp_path_factory: pytest.TempPathFactory, splits: list[Rows], partitions: int, exact: bool, label_field: str | None
) -> None:
    found = {}
    for partition in runs(tmp_path_factory.getbasetemp(), splits, partitions):
        table = losers(partition, exact=exact, label_field=label_field)
        places = list(zip(table["split"].to_pylist(), table["row"].to_pylist(), strict=True))
        assert places == sorted(places)
        for place, first, conflict in zip(places, table["first"].to_pylist(), table["conflict"].to_pylist(), strict=True):
            found[place] = ((int(first[:8]), int(first[8:])), conflict is not None)
    assert found == brute_force(splits, exact, label_field)


def test_a_conflict_names_both_labels(tmp_path: Path) -> None:
    [partition] = runs(tmp_path, [[("t", "good"), ("t", None)], [("t", "bad")]], 1)
    assert losers(partition, exact=True, label_field="label")["conflict"].to_pylist() == ['label is "bad" and "good"'] * 3


def test_long_labels_are_compared_whole(tmp_path: Path) -> None:
    [partition] = runs(tmp_path, [[("t", "x" * 100 + "1"), ("t", "x" * 100 + "2")]], 1)
    assert len(losers(partition, exact=True, label_field="label")) == 2


@settings(deadline=None)
@given(splits=st.lists(st.tuples(st.sampled_from(["train", "test"]), st.lists(st.text("ab\n ", max_size=12), max_size=4)), max_size=5))
def test_after_cutting_no_long_line_is_on_both_sides(tmp_path_factory: pytest.TempPathFactory, splits: list[tuple[str, list[str]]]) -> None:
    tables = []
    for split, (subset, documents) in enumerate(splits):
        run, path = PartRun(SHARED_LINES, 3), tmp_path_factory.getbasetemp() / f"lines{split}.arrow"
        if documents:
            run.add(batch([(text, None) for text in documents], split, subset))
        run.write(path, 1)
        tables.append((split, read_shard(path)))
    table = shared(tables)
    trained = {line.strip() for subset, documents in splits if subset == "train" for text in documents for line in text.split("\n")}
    for split, (subset, documents) in enumerate(splits):
        lines = frozenset(table.filter(pc.equal(table["split"], split))["line"].to_pylist())
        for text in documents if subset == "test" else ():
            rest = without_parts(text, SHARED_LINES, lines, 3)
            assert (
                rest.split("\n") == [line for line in text.split("\n") if len(line.strip()) <= 2 or line.strip() not in trained]
                or rest == ""
            )


def corpus(**held_out: Any) -> Corpus:
    sources = (source("a", unit="line", origin="text"), source("b", unit="paragraph", origin="text"))
    return Corpus(sources=sources, held_out=HeldOut(**held_out), split_bytes=100)


def test_of_equal_texts_the_first_source_keeps_its_own(tmp_path: Path) -> None:
    raw = {"a": "one line\nanother line\none line\n", "b": "another line\n\na third line\n"}
    for name, text in raw.items():
        (tmp_path / name).write_text(text)
    draft = make(tmp_path / "draft", corpus(validation=0, test=0), {name: tmp_path / name for name in raw})
    assert texts(draft) == ["one line", "another line", "a third line"]
    kept = {row["text"]: row["doc_id"].hex() for row in rows(draft, "documents")}
    assert [(row["source"], row["record"], row["detail"]) for row in rows(draft, "rejects")] == [
        ("a", 22, f"of {kept['one line']}"),
        ("b", 0, f"of {kept['another line']}"),
    ]
    assert {name: ledger.rejected for name, ledger in ledgers(draft).items()} == {"a": {"exact_duplicate": 1}, "b": {"exact_duplicate": 1}}


def test_shared_lines_are_cut_from_held_out_documents_alone(tmp_path: Path) -> None:
    common = "a line that stands in very many places"
    own = [f"a paragraph's own line, number {n}" for n in range(40)]
    text = "".join(f"{common}\n{line}\n\n" for line in own)
    (tmp_path / "a").write_text(common + "\n")
    (tmp_path / "b").write_text(text)
    settings = corpus(validation=0.2, test=0.2, cut_shared_lines_over=10)
    draft = make(tmp_path / "draft", settings, {"a": tmp_path / "a", "b": tmp_path / "b"})
    documents = [row for row in rows(draft, "documents") if row["source"] == "b"]
    assert {row["subset"] for row in documents} == {"train", "validation", "test"}
    assert [row["text"].strip() for row in documents] == [
        line if row["subset"] != "train" else f"{common}\n{line}" for row, line in zip(documents, own, strict=True)
    ]
    held_out = [row for row in documents if row["subset"] != "train"]
    assert [row["clean_is_identity"] for row in documents] == [row["subset"] == "train" for row in documents]
    assert {row["signals"]["chars"] for row in held_out} == {float(len(row["text"])) for row in held_out}
    assert ledgers(draft)["b"].cleaned == {"shared_lines": (len(common) + 1) * len(held_out)}


def test_a_held_out_document_of_shared_lines_alone_is_rejected(tmp_path: Path) -> None:
    lines = [f"a line of text, number {n}" for n in range(60)]
    (tmp_path / "a").write_text("".join(line + "\n" for line in lines))
    (tmp_path / "b").write_text("".join(f"{lines[n]}\n{lines[n + 1]}\n\n" for n in range(0, 60, 2)))
    settings = corpus(validation=0.2, test=0.2, cut_shared_lines_over=10)
    draft = make(tmp_path / "draft", settings, {"a": tmp_path / "a", "b": tmp_path / "b"})
    documents = rows(draft, "documents")
    train = {line for row in documents if row["subset"] == "train" for line in row["text"].split("\n")}
    held_out = {line for row in documents if row["subset"] != "train" for line in row["text"].split("\n") if line}
    assert not train & held_out and held_out
    rejected = [row for row in rows(draft, "rejects") if row["reason"] == "held_out_overlap"]
    assert rejected and {row["stage"] for row in rejected} == {"held_out"}
    assert ledgers(draft)["a"].rejected["held_out_overlap"] + ledgers(draft)["b"].rejected.get("held_out_overlap", 0) == len(rejected)


def test_a_dropped_document_shares_nothing(tmp_path: Path) -> None:
    """The twin in training is dropped as a duplicate, so the held-out document that stays keeps its lines."""
    text = "the very same line of text"
    settings = Corpus(
        sources=(source("a", unit="line", origin="extra.none"), source("b", unit="line", origin="extra.none")),
        held_out=HeldOut(validation=0, test=0.5, cut_shared_lines_over=10),
    )
    held_out, train = (next(f"{n}.txt" for n in range(99) if subset(f"{n}.txt", settings.held_out) == s) for s in ("test", "train"))
    (tmp_path / held_out).write_text(text + "\n")
    (tmp_path / train).write_text(text + "\n")
    draft = make(tmp_path / "draft", settings, {"a": tmp_path / held_out, "b": tmp_path / train})
    assert [(row["uri"], row["subset"], row["text"]) for row in rows(draft, "documents")] == [(held_out, "test", text)]
    assert [row["reason"] for row in rows(draft, "rejects")] == ["exact_duplicate"]


def subset(uri: str, held_out: HeldOut) -> str:
    return subset_of(origin_groups("uri", [""], [uri], [None])[0], held_out)


def test_partitions_follow_from_the_plan_and_the_budget(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(f"line {n} of some text\n" for n in range(500)))
    kept = []
    for memory, partitions in ((1 << 28, 1), (8000, 5)):
        settings = Corpus(sources=(source("a", unit="line"),), dedup=Dedup(memory=memory), split_bytes=4000)
        draft = make(tmp_path / f"draft{memory}", settings, {"a": tmp_path / "a"})
        assert Job.open(draft.path).partitions == partitions == len(draft.parts("duplicates"))
        assert [part.facts["partitions"] for part in draft.parts("prepare")] == [partitions] * len(draft.parts("prepare"))
        kept.append(rows(draft, "documents"))
    assert kept[0] == kept[1]


def test_line_digests_are_of_stripped_lines() -> None:
    assert without_parts("  kept\n\tgone \nshort", SHARED_LINES, {part_digest("gone")}, 4) == "  kept\nshort"
