"""Replays: what was rejected for one reason is read and judged again, and every record still counts once."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from flows.planning import decide
from flows.replaying import ready_to_replay
from pipelines.job import Job
from pipelines.replay import Rejects, take_out
from pipelines.runners import run_in_process
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.ledger import Ledger
from schemas.recipe import Recipe
from schemas.store import Store
from tests.flows.chains import DOCUMENTS, assign, ingest, recipe, rows, texts

WORDS = st.sampled_from("river stone letter garden window".split())
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=5)


def limits(chars: int) -> dict[str, Any]:
    return {"rules": {"default": {"min_chars": chars}}, "held_out": {"validation": 0.25, "test": 0.25, "cut_shared_lines_over": 4}}


def drop(folder: Path, number: int, lines: list[str]) -> None:
    (folder / "b").mkdir(parents=True, exist_ok=True)
    (folder / "b" / f"{number}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))


def silent(line: str) -> None:
    """Nobody to tell."""


def replay(store: Store, wanted: Recipe, reason: str) -> Artifact:
    """As the command does it, but in this process."""
    ready = ready_to_replay(wanted, store, Rejects(reason, None))
    if (there := decide(DOCUMENTS, wanted, store, ready).artifact) is not None:
        return there
    draft = store.start("documents", wanted.name, ready.identity, ready.splits)
    assign(draft, ready, {})
    job = Job.open(draft.path)
    assert job.parent is not None
    take_out(draft, job.parent)
    run_in_process(job)
    return draft.commit(DOCUMENTS.stages)


def total(artifact: Artifact) -> Ledger:
    return sum(artifact.manifest.ledgers.values(), Ledger())


def ids(artifact: Artifact) -> list[bytes]:
    return sorted(row["doc_id"] for role in ("documents", "rejects") for row in rows(artifact, role))


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(st.lists(LINES, min_size=1, max_size=3), st.booleans())
def test_it_keeps_what_a_full_build_would(drops: list[list[str]], compacts: bool) -> None:
    with TemporaryDirectory() as name:
        folder, store = Path(name), Store(Path(name) / "store")
        for number, lines in enumerate(drops):
            drop(folder, number, [*lines, "oh", f"a longer line of number {number}, which is kept anyhow"])
            ingest(store, recipe(folder, **limits(20)))
        if compacts:
            compact(store, "c", 10_000, silent)
        before = store.find("documents/c")
        after = replay(store, recipe(folder, **limits(4)), "min_chars")
        assert audit(after) == [] and ids(after) == ids(before)
        assert (total(after).records_read, total(after).bytes_read) == (total(before).records_read, total(before).bytes_read)
        assert set(texts(before)) <= set(texts(after))
        assert rows(after)[: len(rows(before))] == rows(before)
        whole = ingest(Store(folder / "other"), recipe(folder, **limits(4)))
        assert set(texts(after)) == set(texts(whole)) and total(after).rejected["min_chars"] == total(whole).rejected["min_chars"]
        assert replay(store, recipe(folder, **limits(4)), "min_chars").path == after.path
        drop(folder, 9, ["window", "a line that came behind the replay"])
        later = ingest(store, recipe(folder, **limits(4)))
        assert audit(later) == [] and texts(later)[: len(texts(after))] == texts(after)


def test_it_obeys_tombstones_and_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    drop(tmp_path, 0, ["short one", "short two", "long enough to be kept by all means"])
    ingest(store, recipe(tmp_path, **limits(20)))
    (short,) = (row["doc_id"].hex() for row in rows(store.find("documents/c"), "rejects") if row["record"] == 0)
    forget(store, "c", Selection(docs=(short,)), False, silent)
    with pytest.raises(RequestError, match="no reject has reason 'min_words'; there is forgotten, min_chars"):
        replay(store, recipe(tmp_path, **limits(4)), "min_words")
    with pytest.raises(RequestError, match=r"only rules, harmful, decontaminate may differ, and corpus.dedup.exact true -> false"):
        replay(store, recipe(tmp_path, **limits(4), dedup={"exact": False}), "min_chars")
    assert sorted(texts(replay(store, recipe(tmp_path, **limits(4)), "min_chars"))) == ["long enough to be kept by all means", "short two"]
    again = replay(store, recipe(tmp_path, **limits(3)), "forgotten")
    assert total(again).rejected == {"forgotten": 1} and audit(again) == []


def test_of_a_file_that_changed_what_it_holds_now_is_replayed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    drop(tmp_path, 0, ["short one", "short two", "long enough to be kept by all means"])
    ingest(store, recipe(tmp_path, **limits(20)))
    drop(tmp_path, 0, ["short one", "another", "long enough to be kept by all means", "later"])
    before = ingest(store, recipe(tmp_path, **limits(20)))
    after = replay(store, recipe(tmp_path, **limits(4)), "min_chars")
    assert audit(after) == [] and ids(after) == ids(before)
    assert sorted(texts(after)) == ["another", "later", "long enough to be kept by all means", "short one"]
    assert total(after).rejected["min_chars"] == 2  # as the file was at first, which nobody can read any more


def test_a_folder_may_be_called_as_an_archive_is_in_a_uri(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "b" / "odd!").mkdir(parents=True)
    (tmp_path / "b" / "odd!" / "0.jsonl").write_text('{"text": "short one"}\n{"text": "long enough to be kept by all means"}\n')
    ingest(store, recipe(tmp_path, **limits(20)))
    after = replay(store, recipe(tmp_path, **limits(4)), "min_chars")
    assert audit(after) == [] and sorted(texts(after)) == ["long enough to be kept by all means", "short one"]


def test_what_is_in_no_file_any_more_is_not_replayed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    drop(tmp_path, 0, ["short one", "long enough to be kept by all means"])
    ingest(store, recipe(tmp_path, **limits(20)))
    drop(tmp_path, 0, ["long enough to be kept by all means, and another"])
    ingest(store, recipe(tmp_path, **limits(20)))
    with pytest.raises(RequestError, match="what was rejected as min_chars is in no file any more"):
        replay(store, recipe(tmp_path, **limits(4)), "min_chars")


def test_files_without_such_rejects_are_not_read_again_behind_it(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path, split_bytes=1000), Store(tmp_path / "store")
    drop(tmp_path, 0, ["a line of the first file"])
    drop(tmp_path, 1, ["a line of the first file", "a line of the second file"])
    ingest(store, wanted)
    assert len(replay(store, wanted, "exact_duplicate").manifest.inherits) == 1  # of which no part is left
    drop(tmp_path, 2, ["a line of the third file"])
    assert total(ingest(store, wanted)).records_read == 4
