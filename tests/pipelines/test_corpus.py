"""The documents step as a whole: identity, provenance, origin groups and subsets, guarded stages, what planning imports."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.summary import encodings
from pipelines import corpus
from pipelines.job import Job
from pipelines.origin import doc_ids, origin_groups, subset_of
from pipelines.runners import run_in_process
from pipelines.sources import InputChanged
from pipelines.stages import RAW, Sifted, guarded, sift
from schemas.arrow import DOCUMENTS, REJECTS, read_shard
from schemas.recipe import Annotator, Corpus, HeldOut
from tests.pipelines.drafts import ROOT, digests, ledgers, make, reasons, rows, run_command, source, start, texts


def write(folder: Path) -> dict[str, Path]:
    """Three sources: a folder of notes, JSON lines in two languages, a source tree."""
    (folder / "notes").mkdir(parents=True)
    for n in range(6):
        (folder / "notes" / f"{n}.txt").write_text(f"Note number {n}. It has two sentences.\r\n")
    lines = [{"text": f"第{n}条评论，很好用。" if n % 2 else f"Review {n} says it is fine.", "n": n} for n in range(40)]
    (folder / "reviews.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    (folder / "code" / "pkg").mkdir(parents=True)
    for name in ("pkg/__init__.py", "pkg/a.py", "top.py"):
        (folder / "code" / name).write_text(f'"""Module {name}."""\n')
    return {"notes": folder / "notes", "reviews": folder / "reviews.jsonl", "code": folder / "code"}


def recipe(**settings: object) -> Corpus:
    sources = (
        source("notes"),
        source("reviews", format="jsonl", lang=None, origin="text"),
        source("code", format="tree", lang="code", origin="extra.module"),
    )
    return Corpus.model_validate({"sources": sources, "annotate": {"zh": Annotator(engine="rjieba")}, "split_bytes": 1000, **settings})


def test_shards_hold_provenance_text_and_annotation(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    draft = make(tmp_path / "draft", recipe(), roots)
    found = rows(draft, "documents")
    assert [row["source"] for row in found] == ["notes"] * 6 + ["reviews"] * 40 + ["code"] * 3
    for row in found:
        stored = (roots["reviews"] if row["source"] == "reviews" else roots[row["source"]] / row["uri"]).read_bytes()
        record = stored[row["record"] : row["record"] + row["record_bytes"]]
        assert row["clean_is_identity"] == (record == row["text"].encode())
        expected = doc_ids(row["source"], [row["uri"]], [row["record"]], [xxhash.xxh3_128_digest(record)])
        assert [row["doc_id"]] == expected
        words = [row["text"].encode()[a:b].decode() for a, b in zip(row["word_starts"], row["word_ends"], strict=True)]
        assert "".join(words) in row["text"].replace(" ", "").replace("\n", "") and row["sentence_ends"]
    assert {row["lang"] for row in found if row["source"] == "reviews"} == {"en", "zh"}
    assert [(row["pos"] is not None) for row in found] == [row["lang"] != "code" for row in found]
    assert [json.loads(row["extra"]).get("n") for row in found[6:46]] == list(range(40))
    assert found[0]["text"] == "Note number 0. It has two sentences.\n"
    assert ledgers(draft)["notes"].cleaned == {"control": 6}


def test_shards_are_of_the_declared_schemas_and_name_their_engines(tmp_path: Path) -> None:
    draft = make(tmp_path / "draft", recipe(), write(tmp_path / "in"))
    parts = draft.parts("finish")
    assert len(parts) == len(draft.plan["splits"]) > 2
    for part in parts:
        documents, rejects = (read_shard(draft.path / file.path) for file in part.files)
        assert documents.schema.equals(DOCUMENTS) and rejects.schema.equals(REJECTS)
        assert json.loads(documents.schema.metadata[b"annotators"]).keys() == {"code", "default", "zh"}
        assert [file.rows for file in part.files] == [len(documents), len(rejects)]


def test_a_second_run_on_a_finished_draft_does_nothing(tmp_path: Path) -> None:
    draft = make(tmp_path / "draft", recipe(), write(tmp_path / "in"))
    times = {path: path.stat().st_mtime_ns for path in draft.path.rglob("*") if path.is_file()}
    for path in (tmp_path / "in").rglob("*.*"):
        if path.is_file():
            path.unlink()  # nothing is even read again
    make_again = subprocess.run([sys.executable, "-c", AGAIN, str(draft.path)], cwd=ROOT, check=True)
    assert make_again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in draft.path.rglob("*") if path.is_file()} == times


AGAIN = "import sys; from pipelines.job import Job; from pipelines.runners import run_in_process; run_in_process(Job.open(sys.argv[1]))"


def test_lost_work_is_done_again_with_the_same_bytes(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    draft, whole = (make(tmp_path / name, recipe(), roots) for name in ("draft", "whole"))
    for part in (*draft.parts("prepare")[:2], *draft.parts("finish")[1:3], *draft.parts("duplicates")):
        (draft.path / part.record_path).unlink()
        (draft.path / part.files[0].path).unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", AGAIN, str(draft.path)], cwd=ROOT, check=True)
    assert digests(draft) == digests(whole)


def test_identity_says_nothing_of_where_text_lies() -> None:
    here, there = (recipe(sources=(source(path=path),)) for path in ("here", "there"))
    assert corpus.identity_settings(here) == corpus.identity_settings(there)
    assert corpus.identity_settings(here) != corpus.identity_settings(recipe(sources=(source(lang="zh"),)))
    assert json.dumps(corpus.identity_settings(here))


def test_engines_are_those_that_the_recipe_uses() -> None:
    declared = corpus.engines(recipe(sources=(source(),), annotate={}))
    identified = corpus.engines(recipe(sources=(source(lang=None),)))
    assert declared.keys() < identified.keys()
    assert {"annotator zh", "annotator default", "unicode", "pyarrow"} < identified.keys()


def test_planning_imports_no_beam() -> None:
    script = "import sys, pipelines.corpus; print([m for m in sys.modules if m.split('.')[0] in ('apache_beam', 'spacy', 'torch')])"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_preparing_imports_neither_torch_nor_spacy() -> None:
    script = "import sys, pipelines.transforms; print([m for m in sys.modules if m.split('.')[0] in ('spacy', 'torch')])"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout.endswith("[]\n")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_changed_input_is_one_clear_error(tmp_path: Path, workers: int) -> None:
    roots = write(tmp_path / "in")
    draft = start(tmp_path / "draft", recipe(), roots, workers)
    (roots["notes"] / "3.txt").write_text("Note number 3. It has now three sentences. Or so.\n")
    ended = run_command(draft)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("is not the file that this run planned to read (changed or removed). Run again to plan anew")
    assert "3.txt" in ended.stderr.splitlines()[-1]


def test_origin_keys_are_shared_by_sources() -> None:
    texts, uris = ["Ａ Bc!", "a-BC", "!!", "??"], ["json/a.py", "json/b.py", "x", "y"]
    by_text = origin_groups("text", texts, uris, [None] * 4)
    assert by_text[0] == by_text[1] and len(set(by_text)) == 3
    module = origin_groups("extra.module", texts, uris, ['{"module":"json"}', '{"module":"json","n":1}', "{}", None])
    assert module[0] == module[1] == origin_groups("uri", ["t"], ["json"], [None])[0]
    assert module[2:] == origin_groups("uri", texts, uris, [None] * 4)[2:]


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_only_takes_in_more(group: int, a: float, b: float) -> None:
    small, large = sorted((a / 2, b / 2))
    drawn = [subset_of(group, HeldOut(test=test, validation=0.5)) for test in (small, large)]
    assert drawn[0] != "test" or drawn[1] == "test"
    assert subset_of(group, HeldOut(test=0, validation=0)) == "train"
    assert subset_of(group, HeldOut(test=1, validation=0)) == "test"


def test_subsets_are_of_the_size_that_was_asked_for() -> None:
    held_out = HeldOut(validation=0.1, test=0.2)
    drawn = [subset_of(group, held_out) for group in origin_groups("uri", [""] * 5000, [str(n) for n in range(5000)], [None] * 5000)]
    assert 850 < drawn.count("test") < 1150 and 400 < drawn.count("validation") < 600


def raw_batch(texts: list[str]) -> pa.RecordBatch:
    rows = [
        {"seq": n, "doc_id": b"%016d" % n, "source": "s", "uri": "u", "record": n, "record_bytes": 1, "digest": b"0" * 16}
        | {"raw": text.encode(), "encoding": "utf-8", "extra": None, "reason": None, "detail": None}
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=RAW)


def picky(batch: pa.RecordBatch, error: type[Exception]) -> Sifted:
    if b"bad" in batch.column("raw").to_pylist():
        raise error("can't bear\nthis")
    return sift(batch, "picky", [("no", "by rule") if raw == b"no" else None for raw in batch.column("raw").to_pylist()], keep_text=True)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["good", "bad", "no"]), min_size=1, max_size=40))
def test_a_stage_that_raises_costs_only_the_culprits(texts: list[str]) -> None:
    outcomes = list(guarded("picky", partial(picky, error=ValueError), raw_batch(texts), keep_text=True))
    kept = [row["seq"] for outcome in outcomes for row in outcome.kept.to_pylist()]
    rejects = {row["seq"]: row for outcome in outcomes for row in outcome.rejects.to_pylist()}
    assert kept == [n for n, text in enumerate(texts) if text == "good"]
    for n, text in enumerate(texts):
        if text != "good":
            reason, detail = ("no", "by rule") if text == "no" else ("error_picky", "ValueError: can't bear this")
            assert (rejects[n]["reason"], rejects[n]["detail"], rejects[n]["text"]) == (reason, detail, text)
    assert len(kept) + len(rejects) == len(texts)


def test_what_no_record_is_to_blame_for_is_raised() -> None:
    with pytest.raises(ModuleNotFoundError):
        list(guarded("picky", partial(picky, error=ModuleNotFoundError), raw_batch(["bad"]), keep_text=False))


def test_raw_text_of_rejects_is_kept_only_on_demand(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    for keep_raw in (False, True):
        settings = recipe(keep_raw=keep_raw, rules={"default": {"min_chars": 30}})
        draft = make(tmp_path / f"draft{keep_raw}", settings, roots)
        assert set(reasons(draft)) == {"min_chars"} and len(texts(draft)) > 5
        assert {reject["text"] is not None for reject in rows(draft, "rejects")} == {keep_raw}


def test_encodings_are_recorded_once_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("这家酒店的房间很大，服务也不错。\n" * 200, encoding="gb18030")
    (tmp_path / "in" / "b.txt").write_text("Plain text.\n" * 300)
    (tmp_path / "in" / "c.txt").write_text("café\n")
    draft = make(tmp_path / "draft", recipe(sources=(source("notes", unit="line", lang="zh"),)), {"notes": tmp_path / "in"})
    assert len(draft.plan["splits"]) > 2
    found = [part.facts["encodings"].get("notes", {}) for part in draft.parts("prepare")]
    assert {name: sum(counts.get(name, 0) for counts in found) for name in ("gb18030", "utf-8")} == {"gb18030": 1, "utf-8": 2}
    artifact = draft.commit(["prepare", "finish"])
    assert encodings(artifact) == ["notes: 2 utf-8, 1 gb18030"]


def test_changing_inputs_raise_in_process_too(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    draft = start(tmp_path / "draft", recipe(), roots)
    (roots["notes"] / "3.txt").unlink()
    with pytest.raises(InputChanged, match=r"3\.txt"):
        run_in_process(Job.open(draft.path))
