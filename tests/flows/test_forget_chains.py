"""Forgetting and compaction in chains of versions: later versions come out as they would without the one, and obey the other."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from pipelines.tombstones import REASON
from schemas.audit import audit
from schemas.store import Store
from tests.flows.chains import ingest, recipe, rows, texts

CORPUS: dict[str, Any] = {
    "rules": {"default": {"min_chars": 1}},
    "dedup": {"near": {"ngram": 2}},
    "held_out": {"validation": 0.25, "test": 0.25, "cut_shared_lines_over": 4},
}
WORDS = st.sampled_from("river stone letter garden window".split())
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=3)
DROPS = st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=2, max_size=4)
"""Texts of a few lines, which come file by file."""


def drop(folder: Path, number: int, lines: list[list[str]]) -> None:
    import json

    (folder / "b" / f"{number}.jsonl").write_text("".join(json.dumps({"text": "\n".join(text)}) + "\n" for text in lines))


def silent(line: str) -> None:
    """Nobody to tell."""


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(DROPS, st.data())
def test_compaction_changes_no_later_version(drops: list[list[list[str]]], data: st.DataObject) -> None:
    compacts = [data.draw(st.booleans()) for _ in drops]
    told = []
    for compacting in (False, True):
        with TemporaryDirectory() as name:
            folder, store = Path(name), Store(Path(name) / "store")
            wanted = recipe(folder, **CORPUS)
            for number, lines in enumerate(drops):
                drop(folder, number, lines)
                version = ingest(store, wanted)
                if compacting and compacts[number]:
                    compact(store, "c", 10_000, silent)
                    version = store.find("documents/c")
            assert audit(version) == []
            rejects = sorted((row["uri"], row["record"], row["reason"], row["detail"]) for row in rows(version, "rejects"))
            told.append((rows(version), rejects, version.manifest.ledgers))
    assert told[0] == told[1]


def test_what_is_forgotten_never_comes_back(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store"), recipe(tmp_path, **CORPUS)
    letter = ["the old letter tells of a river and of the stone garden behind it", "and nobody reads it"]
    drop(tmp_path, 0, [letter, ["window"]])
    drop(tmp_path, 1, [["garden garden"]])
    ingest(store, wanted)
    forget(store, "c", Selection(pattern="old letter"), True, silent)
    drop(tmp_path, 2, [letter, [*letter, "at all"], ["river river river"]])
    version = ingest(store, wanted)
    assert audit(version) == []
    assert texts(version) == ["window", "garden garden", "\n".join([*letter, "at all"]), "river river river"]  # a near copy is another text
    assert [(row["uri"], row["text"]) for row in rows(version, "rejects") if row["reason"] == REASON] == [
        ("0.jsonl", None),
        ("2.jsonl", None),
    ]
    compact(store, "c", 10_000, silent)
    drop(tmp_path, 3, [letter])
    version = ingest(store, wanted)
    assert version.manifest.ledgers["b"].rejected[REASON] == 3 and audit(version) == []
