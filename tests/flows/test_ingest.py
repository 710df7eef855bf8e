"""Versions that extend each other: what arrives is read once, loses to what was there, and nothing old is touched or read again."""

import json
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.incremental import NothingYet
from flows.planning import decide
from pipelines.origin import origin_groups, subset_of
from schemas.artifact import Artifact, Damaged
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.ledger import Ledger
from schemas.recipe import HeldOut
from schemas.store import Store
from tests.flows.chains import DOCUMENTS, ingest, own_texts, prepare, recipe, rows, texts

Batch = dict[str, list[str]]
"""Lines by file, named `a/...` or `b/...`."""


def line(name: str, text: str) -> str:
    return json.dumps({"text": text}) if name.startswith("b/") else text


def put(folder: Path, batch: Batch) -> None:
    for name, lines in batch.items():
        (folder / name).write_text("".join(line(name, text) + "\n" for text in lines))


def chain(folder: Path, batches: list[Batch], **corpus: Any) -> list[Artifact]:
    """A version for each batch, in a store of its own."""
    wanted, store, made = recipe(folder / "in", **corpus), Store(folder / "store"), []
    for batch in batches:
        put(folder / "in", batch)
        made.append(ingest(store, wanted))
    return made


def read_in_all(artifact: Artifact) -> Ledger:
    assert audit(artifact) == []
    total = sum(artifact.manifest.ledgers.values(), Ledger())
    assert total.imbalances() == []
    return total


def shards(artifact: Artifact) -> dict[str, str]:
    """Digest of every file by its path in the version that holds it."""
    return {re.sub(r"^\.\./[^/]*/", "", file.path): file.digest for file in artifact.manifest.files()}


FILES = st.dictionaries(
    st.sampled_from([f"{source}/{n}" for source in "ab" for n in range(6)]),
    st.lists(st.sampled_from([f"line number {n} of the text" for n in range(12)]), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=4)
@given(arrivals=st.lists(FILES, min_size=1, max_size=4))
def test_whatever_arrives_in_whatever_order_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[Batch]
) -> None:
    batches = [{f"{name}-{n}": lines for name, lines in batch.items()} for n, batch in enumerate(arrivals)]
    made = chain(tmp_path_factory.mktemp("chain"), batches)
    seen: list[str] = []
    for version, batch in zip(made, batches, strict=True):
        seen += [text for lines in batch.values() for text in lines]
        total = read_in_all(version)
        assert total.records_read == len(seen)
        assert total.rejected.get("exact_duplicate", 0) == len(seen) - len(set(seen))
        assert Counter(texts(version)) == Counter(dict.fromkeys(seen, 1))
    again = chain(tmp_path_factory.mktemp("again"), batches)
    assert [shards(version) for version in again] == [shards(version) for version in made]
    assert [version.manifest.content_digest for version in again] == [version.manifest.content_digest for version in made]


def varied(draw: random.Random, n: int) -> list[str]:
    """Lines of which some are equal and some nearly so."""
    lines: list[str] = []
    for _ in range(n):
        if lines and draw.random() < 0.5:
            words = draw.choice(lines).split()
            words[draw.randrange(len(words))] = f"other{draw.randrange(3)}"
            lines.append(" ".join(words))
        else:
            lines.append(" ".join(f"w{draw.randrange(500)}" for _ in range(40)))
    return lines


def test_a_chain_in_canonical_order_has_the_documents_of_one_build(tmp_path: Path) -> None:
    lines = varied(random.Random(1), 60)
    batches = [{f"a/{n}.txt": lines[n * 15 : n * 15 + 15]} for n in range(4)]
    corpus = {"dedup": {"near": {}, "memory": 100000}}
    whole = chain(tmp_path / "whole", [{name: text for batch in batches for name, text in batch.items()}], **corpus)[-1]
    version = chain(tmp_path / "chain", batches, **corpus)[-1]
    assert [row["doc_id"] for row in rows(version)] == [row["doc_id"] for row in rows(whole)]
    rejects = [[(row["doc_id"], row["reason"], row["detail"]) for row in rows(one, "rejects")] for one in (version, whole)]
    assert rejects[0] == rejects[1]
    assert Counter(reason for _, reason, _ in rejects[0])["near_duplicate"] > 5


def test_parts_that_old_documents_have_are_cut_from_new_ones(tmp_path: Path) -> None:
    draw = random.Random(1)
    pool = [f"a line of text that comes back, number {n}" for n in range(30)]
    documents = ["\n\n".join("\n".join(draw.sample(pool, 2)) for _ in range(3)) for _ in range(24)]
    documents[8:10] = documents[:2]  # what duplicates drop has no part in it
    batches = [{f"b/{n}.jsonl": documents[n * 6 : n * 6 + 6]} for n in range(4)]
    corpus = {
        "dedup": {"paragraphs": {"min_characters": 20}, "lines": {"min_characters": 20, "documents": 2}},
        "held_out": {"validation": 0, "test": 0},
    }
    whole = chain(tmp_path / "whole", [{name: found for batch in batches for name, found in batch.items()}], **corpus)[-1]
    version = chain(tmp_path / "chain", batches, **corpus)[-1]
    assert texts(version) == texts(whole) and len(texts(whole)) < 22
    assert read_in_all(version).cleaned == read_in_all(whole).cleaned
    assert read_in_all(whole).cleaned["repeated_lines"] > 100


def test_old_documents_never_lose_and_new_ones_lose_to_them(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(60)]
    near = " ".join([*words[:59], "other"])
    made = chain(tmp_path, [{"b/1.jsonl": [" ".join(words)]}, {"a/1.txt": [near, "something else"]}], dedup={"near": {}})
    assert texts(made[1]) == [" ".join(words), "something else"]
    assert own_texts(made[1]) == ["something else"]
    (reject,) = rows(made[1], "rejects")
    assert (reject["reason"], reject["source"]) == ("near_duplicate", "a")
    assert reject["detail"].startswith(f"of {rows(made[0])[0]['doc_id'].hex()}")


def test_a_dropped_document_still_drops_later_ones(tmp_path: Path) -> None:
    first = [f"word{n}" for n in range(200)]
    second = [*first[:180], *(f"tail{n}" for n in range(20))]
    third = [*(f"head{n}" for n in range(20)), *second[20:]]  # alike to the second, not to the first
    made = chain(tmp_path, [{f"a/{n}.txt": [" ".join(words)]} for n, words in enumerate((first, second, third))], dedup={"near": {}})
    assert texts(made[2]) == [" ".join(first)]
    assert [row["detail"].split(",")[0] for row in rows(made[2], "rejects")] == [
        f"of {rows(made[0])[0]['doc_id'].hex()}",
        f"of {rows(made[1], 'rejects')[0]['doc_id'].hex()}",
    ]


def test_nothing_of_the_parent_is_written_and_none_of_its_text_is_read(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", dedup={"near": {}}, held_out={"cut_shared_lines_over": 5}), Store(tmp_path / "store")
    put(tmp_path / "in", {f"a/{n}.txt": [f"text number {n} {k} of the old version" for k in range(5)] for n in range(9)})
    parent = ingest(store, wanted)
    for role in ("documents", "rejects"):
        for path in parent.paths(role):
            path.write_bytes(b"\0" * path.stat().st_size)  # whoever reads it, fails
    before = {path: path.stat().st_mtime_ns for path in parent.path.rglob("*")}
    put(tmp_path / "in", {"b/new.jsonl": ["a new text", "text number 3 3 of the old version"]})
    child = ingest(store, wanted)
    assert own_texts(child) == ["a new text"]
    ordinal = len(parent.plan_splits())
    assert [(part.stage, part.key) for part in child.manifest.own_parts] == [("prepare", f"{ordinal:05d}"), ("finish", f"{ordinal:05d}")]
    assert {path: path.stat().st_mtime_ns for path in parent.path.rglob("*")} == before


def test_without_new_files_there_is_no_new_version(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    with pytest.raises(NothingYet, match="the sources hold no file"):
        prepare(store, wanted)
    (tmp_path / "in" / "a").mkdir(parents=True, exist_ok=True)
    (tmp_path / "in" / "a" / "0.txt").touch()
    with pytest.raises(NothingYet, match="all files are empty or can't be read"):
        prepare(store, wanted)
    (tmp_path / "in" / "a" / "0.txt").unlink()
    put(tmp_path / "in", {"a/1.txt": ["one"]})
    first = ingest(store, wanted)
    (tmp_path / "in" / "a" / "empty.txt").touch()
    (tmp_path / "in" / "a" / "dangling.txt").symlink_to("nowhere")
    assert ingest(store, wanted).path == first.path
    put(tmp_path / "in", {"a/2.txt": ["two"]})
    second = ingest(store, wanted)
    assert read_in_all(second).inputs_listed == 4 == read_in_all(second).inputs_read + 2
    assert ingest(store, wanted).path == second.path
    put(tmp_path / "in", {"a/empty.txt": ["text at last"]})
    ready = prepare(store, wanted)
    assert ready.arrivals and ready.arrivals.new == (("a", "empty.txt"),)


def test_labels_are_compared_with_old_ones(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", dedup={"conflict_field": "label"}), Store(tmp_path / "store")
    for n, label in enumerate("xxyx"):
        (tmp_path / "in" / "b" / f"{n}.jsonl").write_text(json.dumps({"text": "one text", "label": label}) + "\n")
        made = ingest(store, wanted)
    assert texts(made) == ["one text"]  # the first is frozen
    assert [row["reason"] for row in rows(made, "rejects")] == ["exact_duplicate", "label_conflict", "label_conflict"]


def test_a_file_that_grows_gives_its_new_records_alone(tmp_path: Path) -> None:
    lines = [f"event number {n}" for n in range(9)]
    made = chain(tmp_path, [{"b/log.jsonl": lines[:3]}, {"b/log.jsonl": lines[:7]}, {"b/log.jsonl": lines}])
    assert texts(made[2]) == lines
    assert [own_texts(version) for version in made] == [lines[:3], lines[3:7], lines[7:]]
    put(tmp_path / "in", {"b/log.jsonl": lines[:7]})  # back to what was read before
    assert ingest(Store(tmp_path / "store"), recipe(tmp_path / "in")).path == made[2].path


@pytest.mark.parametrize(("corpus", "why"), [({"changed": "refuse"}, "corpus.changed is refuse"), ({"dedup": {"exact": False}}, "doubled")])
def test_changed_files_can_be_refused(tmp_path: Path, corpus: dict[str, Any], why: str) -> None:
    chain(tmp_path, [{"a/1.txt": ["one"]}], **corpus)
    put(tmp_path / "in", {"a/1.txt": ["another"]})
    with pytest.raises(RequestError, match=rf"a:1\.txt: was read before with other content.*{why}"):
        prepare(Store(tmp_path / "store"), recipe(tmp_path / "in", **corpus))


def test_files_that_are_gone_stay_read(tmp_path: Path) -> None:
    made = chain(tmp_path, [{"a/1.txt": ["one"], "a/2.txt": ["two"]}])
    (tmp_path / "in" / "a" / "1.txt").unlink()
    wanted, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    ready = prepare(store, wanted)
    assert ready.arrivals and ready.arrivals.notes() == ["1 file of source a gone; what was read from them stays"]
    assert decide(DOCUMENTS, wanted, store, ready).artifact == made[0]
    put(tmp_path / "in", {"a/3.txt": ["three"]})
    assert texts(ingest(store, wanted)) == ["one", "two", "three"]


def test_other_settings_are_a_full_build_that_says_why_unless_that_would_lose_something(tmp_path: Path) -> None:
    made = chain(tmp_path, [{"a/1.txt": ["one"]}, {"a/2.txt": ["two words"]}])
    stricter, store = recipe(tmp_path / "in", rules={"default": {"min_words": 2}}), Store(tmp_path / "store")
    assert prepare(store, stricter).why == (
        f'{made[1].reference} can\'t be extended: recipe corpus.rules.default added: {{"min_words": 2}}',
    )
    full = ingest(store, stricter)
    assert (full.manifest.inherits, texts(full)) == ((), ["two words"])
    (tmp_path / "in" / "a" / "2.txt").unlink()
    with pytest.raises(
        RequestError, match=r"can't be extended \(recipe corpus.rules.*and a file that it was made from can't be found \(a:2.txt\)"
    ):
        prepare(store, recipe(tmp_path / "in"))


def test_a_rebuild_tells_which_files_hold_something_else_by_now(tmp_path: Path) -> None:
    chain(tmp_path, [{"a/1.txt": ["one"], "b/1.jsonl": ["a b"]}, {"a/1.txt": ["two"]}])
    why = prepare(Store(tmp_path / "store"), recipe(tmp_path / "in", rules={"default": {"min_chars": 1}})).why
    assert "can't be extended: recipe corpus.rules" in why[0] and why[1:] == ("1 file of source a read as now, not as before",)


def test_a_version_that_lost_a_file_is_not_extended(tmp_path: Path) -> None:
    made = chain(tmp_path, [{"a/1.txt": ["one"]}, {"a/2.txt": ["two"]}])
    made[1].paths("documents")[-1].unlink()
    put(tmp_path / "in", {"a/3.txt": ["three"]})
    with pytest.raises(Damaged, match=f"is missing. Restore it from a copy, or remove {made[1].path}"):
        prepare(Store(tmp_path / "store"), recipe(tmp_path / "in"))
    shutil.rmtree(made[1].path)
    assert texts(ingest(Store(tmp_path / "store"), recipe(tmp_path / "in"))) == ["one", "two", "three"]


def test_the_oldest_unfinished_plan_is_finished_before_what_came_since(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"]})
    first = ingest(store, wanted)
    put(tmp_path / "in", {"a/2.txt": ["two"]})
    ready = prepare(store, wanted)
    left = store.start("documents", "c", ready.identity, ready.splits)
    put(tmp_path / "in", {"a/3.txt": ["three"]})
    last = ingest(store, wanted)
    assert [one.version for one in last.manifest.inherits] == [first.version, left.path.name]
    assert own_texts(last) == ["three"] and texts(last) == ["one", "two", "three"]


def test_a_plan_whose_files_changed_is_given_up(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["one"]})
    ready = prepare(store, wanted)
    store.start("documents", "c", ready.identity, ready.splits)
    put(tmp_path / "in", {"a/1.txt": ["another"], "a/2.txt": ["two"]})
    assert texts(ingest(store, wanted)) == ["another", "two"]


LONG = [f"long line {n}" for n in range(5)]
FILE = st.lists(st.lists(st.sampled_from(LONG), min_size=1, max_size=3, unique=True).map("\n".join), min_size=1, max_size=3)


def cut_by_hand(arrivals: list[dict[int, list[str]]], held_out: HeldOut) -> list[tuple[str, str]]:
    """Text and subset of each document, if every line is left where the first version that has it leaves it."""
    seen: set[str] = set()
    sides: dict[str, bool] = {}
    left = []
    for n, batch in enumerate(arrivals):
        new: list[tuple[str, str]] = []
        for name in sorted(batch):
            uri = f"{n}-{name}.jsonl"
            subset = subset_of(origin_groups("uri", [""], [uri], [None])[0], held_out)
            for text in batch[name]:
                if text not in seen:
                    new.append((text, subset))
                seen.add(text)
        trained = {line for text, subset in new if subset == "train" for line in text.split("\n")}
        for line in {line for text, _ in new for line in text.split("\n")} - sides.keys():
            sides[line] = line in trained
        for text, subset in new:
            rest = "\n".join(line for line in text.split("\n") if sides[line] == (subset == "train"))
            left += [(rest, subset)] if rest else []
    return left


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(arrivals=st.lists(st.dictionaries(st.integers(0, 9), FILE, min_size=1, max_size=4), min_size=2, max_size=3))
def test_a_line_stays_on_the_side_where_its_first_version_left_it(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[dict[int, list[str]]]
) -> None:
    held_out = HeldOut(validation=0.2, test=0.3, cut_shared_lines_over=5)
    batches = [{f"b/{n}-{name}.jsonl": texts for name, texts in batch.items()} for n, batch in enumerate(arrivals)]
    version = chain(tmp_path_factory.mktemp("lines"), batches, origin="uri", held_out=held_out.model_dump())[-1]
    read_in_all(version)
    found = [(row["text"], row["subset"]) for row in rows(version)]
    assert found == cut_by_hand(arrivals, held_out)
    sides = [{line for text, subset in found if (subset == "train") == trained for line in text.split("\n")} for trained in (True, False)]
    assert not sides[0] & sides[1]
