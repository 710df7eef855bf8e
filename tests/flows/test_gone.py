"""Files that are gone, or hold other text by now: what was read from them stays or goes, as the recipe says, and every figure agrees."""

import os
import signal
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from flows.incremental import NothingYet
from flows.planning import decide
from pipelines.leaving import REASON
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.ledger import Ledger
from schemas.recipe import Recipe, Tokenizer
from schemas.store import Store
from tests.flows.chains import DOCUMENTS, ingest, ingest_tokens, own_texts, prepare, recipe, rows, texts
from tests.flows.test_ingest import Batch, put, read_in_all, shards
from tests.flows.test_ingest_processes import start
from tests.flows.test_ingest_tokens import make_tokenizer
from tests.flows.test_launch import wait_for
from tests.flows.test_replay import replay


def set_out(folder: Path, files: Batch) -> None:
    """Have these files below a folder, and no others."""
    for source in "ab":
        (folder / source).mkdir(parents=True, exist_ok=True)
        for path in (folder / source).iterdir():
            path.unlink()
    put(folder, files)


def only(wanted: Recipe, *names: str) -> Recipe:
    """The recipe with these of its sources, in this order."""
    sources = {source.name: source for source in wanted.corpus.sources}
    corpus = wanted.corpus.model_copy(update={"sources": tuple(sources[name] for name in names)})
    return wanted.model_copy(update={"corpus": corpus})


class Plain:
    """What versions should hold, in plain Python: rows as (file, text) in order, and what was read of each file."""

    def __init__(self, gone: str, changed: str) -> None:
        self.gone, self.changed = gone, changed
        self.rows: list[tuple[str, str]] = []
        self.read: dict[str, list[list[str]]] = {}
        self.records = 0

    def emptied(self, files: Batch, sources: list[str]) -> list[str]:
        """Sources that have no file any more, though text was read from some."""
        had_text = {name.split("/")[0] for name, contents in self.read.items() if any(contents)}
        return [source for source in sources if source in had_text and not any(name.startswith(f"{source}/") for name in files)]

    def ingest(self, files: Batch) -> None:
        had_text = {name for name, contents in self.read.items() if any(contents)}
        seen = {name: contents[-1:] if self.changed == "replace" else contents for name, contents in self.read.items()}
        news = {name: lines for name, lines in files.items() if lines not in seen.get(name, [])}
        leaving = {name for name in had_text - files.keys() if self.gone == "drop"}
        leaving |= {name for name in news if self.changed == "replace" and name in had_text}
        if not leaving and not any(news.values()):
            return
        self.rows = [(name, text) for name, text in self.rows if name not in leaving]
        for name in leaving:
            del self.read[name]
        for name in sorted(news):
            self.read.setdefault(name, []).append(news[name])
            self.records += len(news[name])
            for text in news[name]:
                if text not in {text for _, text in self.rows}:
                    self.rows.append((name, text))


def held(artifact: Artifact) -> list[tuple[str, str]]:
    return [(f"{row['source']}/{row['uri']}", row["text"]) for row in rows(artifact)]


def index_agrees(artifact: Artifact) -> bool:
    """Whether texts that a later one would lose to are exactly those of documents."""
    runs = [read_shard(p) for p in artifact.paths("digests") if p.parent.name == "digests"]
    found = [(row["digest"], row["doc_id"]) for run in runs for row in run.to_pylist()]
    kept = {row["doc_id"] for row in rows(artifact)}
    return {digest for digest, _ in found} == {digest for digest, doc_id in found if doc_id in kept} and kept <= {i for _, i in found}


NAMES = [f"{source}/{n}.txt" for source in "ab" for n in range(3)]
FILES = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from([f"line number {n} of it" for n in range(7)]), max_size=4), max_size=5
)
ASPECTS = [(gone, changed) for gone in ("keep", "drop") for changed in ("add", "replace")]


@pytest.mark.slow
@pytest.mark.parametrize(("gone", "changed"), ASPECTS)
@settings(deadline=None, max_examples=3)
@given(states=st.lists(st.tuples(FILES, st.sampled_from(["", "", "compact", "without b"])), min_size=2, max_size=5))
def test_versions_hold_what_a_plain_model_holds(gone: str, changed: str, states: list[tuple[Batch, str]]) -> None:
    with TemporaryDirectory() as name:
        folder, plain = Path(name), Plain(gone, changed)
        whole, store = recipe(folder / "in", gone=gone, changed=changed), Store(folder / "store")
        whole = whole.model_copy(update={"tokenizer": Tokenizer(vocab_size=512)})
        for files, also in states:
            wanted, there = whole, files
            if also == "without b" and gone == "drop":
                wanted, there = only(whole, "a"), {name: lines for name, lines in files.items() if name < "b"}
            set_out(folder / "in", files)
            if gone == "drop" and (emptied := plain.emptied(there, [source.name for source in wanted.corpus.sources])):
                with pytest.raises(RequestError, match=f"source {emptied[0]}: has no file any more"):
                    ingest(store, wanted)
                continue
            try:
                version = ingest(store, wanted)
            except NothingYet:
                assert not any(there.values())
                continue
            plain.ingest(there)
            if also == "compact":
                version = compact(store, "c", 10_000, lambda line: None).documents
            assert Counter(held(version)) == Counter(plain.rows)
            total = read_in_all(version)
            assert (total.records_read, total.records_kept) == (plain.records, len(plain.rows))
            assert set(total.rejected) <= {"exact_duplicate", REASON}
            assert index_agrees(version)
            assert ingest(store, wanted).path == version.path
            if any(row["subset"] == "train" for row in rows(version)):  # else there is nothing for a tokenizer to learn from
                tokens = ingest_tokens(store, wanted, version, make_tokenizer(store, wanted, version))
                assert audit(tokens, version) == []


def total(artifact: Artifact) -> Ledger:
    return read_in_all(artifact)


def test_what_is_gone_goes_by_choice_and_comes_again(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one", "both"], "a/2.txt": ["both", "two"]})
    first = ingest(store, wanted)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    ready = prepare(store, wanted)
    assert ready.arrivals is not None and ready.arrivals.notes() == []
    assert ready.why == ("1 gone file in source a", f"extends {first.reference}")
    second = ingest(store, wanted)
    assert texts(second) == ["two"]  # a duplicate of what is gone doesn't come back by itself
    assert [(row["uri"], row["reason"], row["text"]) for row in rows(second, "rejects")] == [
        ("2.txt", "exact_duplicate", None),
        ("1.txt", REASON, None),
        ("1.txt", REASON, None),
    ]
    assert total(second).records_read == 4 and total(second).rejected == {"exact_duplicate": 1, REASON: 2}
    assert ingest(store, wanted).path == second.path
    put(tmp_path / "in", {"b/3.jsonl": ["both"]})
    assert texts(ingest(store, wanted)) == ["two", "both"]
    put(tmp_path / "in", {"a/1.txt": ["one", "both"]})
    last = ingest(store, wanted)
    assert texts(last) == ["two", "both", "one"] and total(last).records_read == 7


def test_files_of_a_part_that_is_made_anew_are_not_read_again(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop", dedup={"exact": False}), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"], "a/2.txt": ["two"]})
    ingest(store, wanted)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    ingest(store, wanted)
    put(tmp_path / "in", {"a/3.txt": ["three"]})
    ingest(store, wanted)
    put(tmp_path / "in", {"a/4.txt": ["four"]})
    assert texts(ingest(store, wanted)) == ["two", "three", "four"]


def test_a_replay_brings_back_duplicates_of_what_is_gone(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one", "both"], "a/2.txt": ["both", "two"]})
    ingest(store, wanted)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    ingest(store, wanted)
    made = replay(store, wanted, "exact_duplicate")
    assert texts(made) == ["two", "both"] and total(made).rejected == {REASON: 2}
    assert ingest(store, wanted).path == made.path


def test_near_duplicates_of_what_is_gone_drop_nothing_any_more(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(200)]
    alike = [*words[:180], *(f"tail{n}" for n in range(20))]
    wanted, store = recipe(tmp_path / "in", gone="drop", dedup={"near": {}}), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": [" ".join(words)], "a/2.txt": [" ".join(alike)]})
    assert texts(ingest(store, wanted)) == [" ".join(words)]
    (tmp_path / "in" / "a" / "1.txt").unlink()
    put(tmp_path / "in", {"a/3.txt": [" ".join(["new", *alike[1:]])]})
    assert texts(ingest(store, wanted)) == [" ".join(["new", *alike[1:]])]


def test_a_changed_file_is_replaced_and_a_record_in_both_contents_stands_once(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", changed="replace", dedup={"exact": False}), Store(tmp_path / "store")
    for lines in (["one", "both"], ["both", "three"], ["one", "both"]):
        put(tmp_path / "in", {"b/1.jsonl": lines})
        made = ingest(store, wanted)
        assert texts(made) == lines == own_texts(made)
    assert total(made).rejected == {REASON: 4} and total(made).records_read == 6
    put(tmp_path / "in", {"b/1.jsonl": []})
    assert texts(ingest(store, wanted)) == []


def test_members_of_archives_go_with_them_and_what_a_locked_folder_holds_stays(tmp_path: Path) -> None:
    from zipfile import ZipFile

    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    (tmp_path / "in" / "a" / "locked").mkdir()
    put(tmp_path / "in", {"a/locked/1.txt": ["one"], "a/2.txt": ["two"]})
    with ZipFile(tmp_path / "in" / "a" / "3.txt.zip", "w") as archive:
        archive.writestr("x/4.txt", "four\n")
    for source in wanted.corpus.sources[:1]:
        wanted = only(wanted, "a").model_copy(
            update={"corpus": wanted.corpus.model_copy(update={"sources": (source.model_copy(update={"include": ("*.txt", "*.zip")}),)})}
        )
    assert sorted(texts(ingest(store, wanted))) == ["four", "one", "two"]
    (tmp_path / "in" / "a" / "3.txt.zip").unlink()
    locked = tmp_path / "in" / "a" / "locked"
    (locked / "1.txt").unlink()
    locked.rmdir()
    locked.symlink_to(tmp_path)  # out of the source's folder: told as unreadable, as a folder without permission is
    made = ingest(store, wanted)
    assert sorted(texts(made)) == ["one", "two"]


def test_forgotten_records_stay_forgotten(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one", "secret"], "a/2.txt": ["two"]})
    ingest(store, wanted)
    forget(store, "c", Selection(pattern="secret"), False, lambda line: None)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    made = ingest(store, wanted)
    assert texts(made) == ["two"] and total(made).rejected == {"forgotten": 1, REASON: 1}
    put(tmp_path / "in", {"a/1.txt": ["one", "secret"]})
    again = ingest(store, wanted)
    assert texts(again) == ["two", "one"] and total(again).rejected == {"forgotten": 2, REASON: 1}


@pytest.mark.parametrize("gone", ["keep", "drop"])
def test_sources_are_added_and_taken_out(tmp_path: Path, gone: str) -> None:
    both, store = recipe(tmp_path / "in", gone=gone), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"], "b/1.jsonl": ["one", "two"]})
    first = ingest(store, only(both, "b"))
    added = ingest(store, only(both, "b", "a"))
    assert texts(added) == ["one", "two"] and added.manifest.inherits[0].version == first.version
    assert total(added).rejected == {"exact_duplicate": 1}
    put(tmp_path / "in", {"a/2.txt": ["three"]})
    taken_out = ingest(store, only(both, "a"))
    assert taken_out.manifest.inherits
    assert texts(taken_out) == (["one", "two", "three"] if gone == "keep" else ["three"])
    back = prepare(store, only(both, "a", "b"))
    if gone == "keep":  # nobody knows how what it has of b was read
        assert "can't be extended: recipe corpus.sources" in back.why[0]
    else:
        assert back.why[0] == "1 new file in source b"
        assert texts(ingest(store, only(both, "a", "b"))) == ["three", "one", "two"]


def test_other_changes_of_sources_are_a_full_build(tmp_path: Path) -> None:
    both, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"], "a/2.txt": ["three"], "b/1.jsonl": ["two"]})
    ingest(store, both)
    other = recipe(tmp_path / "in", origin="uri")
    assert "can't be extended: recipe corpus.sources[b].origin text -> uri" in prepare(store, other).why[0]
    (tmp_path / "in" / "a" / "1.txt").unlink()
    with pytest.raises(RequestError, match=r"a file that it was made from can't be found \(a:1\.txt\)"):
        prepare(store, other)
    assert texts(ingest(store, recipe(tmp_path / "in", origin="uri", gone="drop"))) == ["three", "two"]


def test_a_source_without_any_file_lets_nothing_go(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"], "b/1.jsonl": ["two"]})
    first = ingest(store, wanted)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    with pytest.raises(RequestError, match="source a: has no file any more, though some were read: so looks a disk that is not mounted"):
        prepare(store, wanted)
    assert ingest(store, recipe(tmp_path / "in")).path == first.path, "a recipe that keeps what is gone has no need to ask"
    assert texts(ingest(store, only(wanted, "b"))) == ["two"]


def test_a_plan_that_drops_what_is_back_is_given_up(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", gone="drop"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"], "a/2.txt": ["two"]})
    first = ingest(store, wanted)
    (tmp_path / "in" / "a" / "1.txt").unlink()
    ready = prepare(store, wanted)
    left = store.start("documents", "c", ready.identity, ready.splits)
    decision = decide(DOCUMENTS, wanted, store, prepare(store, wanted))
    assert decision.draft is not None and decision.draft.path == left.path
    assert ingest(store, recipe(tmp_path / "in")).path == first.path  # by now the recipe keeps it
    put(tmp_path / "in", {"a/1.txt": ["one"]})
    assert ingest(store, wanted).path == first.path


def versions(store: Path) -> list[Path]:
    return list((store / "documents" / "c").iterdir())


def has_begun(version: Path) -> bool:
    """Whether a version is at work, and has parts that its parent had."""
    return (version / "work").is_dir() and any(version.glob("parts/finish/*"))


@pytest.mark.slow
def test_a_killed_ingest_that_drops_and_replaces_is_finished_by_the_next(tmp_path: Path) -> None:
    made: dict[str, Artifact] = {}
    for name in ("whole", "killed"):
        wanted = recipe(tmp_path / name / "in", gone="drop", changed="replace", dedup={"near": {}})
        store = Store(tmp_path / name / "store")
        wanted = wanted.model_copy(update={"run": wanted.run.model_copy(update={"workers": 1})})
        before = {f"a/{n}.txt": [f"line {k} of file {n} as it was" for k in range(20)] for n in range(12)}
        set_out(tmp_path / name / "in", before)
        ingest(store, wanted)
        after = {**{name: lines for name, lines in before.items() if name > "a/3"}, "a/5.txt": ["five"], "b/1.jsonl": before["a/0.txt"]}
        set_out(tmp_path / name / "in", after)
        if name == "killed":
            run = start(tmp_path / name, wanted)
            wait_for(lambda: any(has_begun(path) for path in versions(tmp_path / "killed" / "store")), "old parts are made anew")
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            told = start(tmp_path / name, wanted).communicate(timeout=300)[0]
            assert "resume: an unfinished run left" in told
        made[name] = ingest(store, wanted)
        assert len(list(store.artifacts("documents"))) == 2
    assert shards(made["killed"]) == shards(made["whole"])
    expected = [text for name, lines in sorted(after.items(), key=lambda item: item[0] in ("a/5.txt", "b/1.jsonl")) for text in lines]
    assert Counter(texts(made["killed"])) == Counter(expected)
    assert total(made["killed"]).rejected.get(REASON)
