"""Lines and paragraphs that earlier documents have: against brute force, and through the whole job."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.dedup.parts import PartRun, parts_of, repeated, without_parts
from pipelines.job import REPEATED_LINES, REPEATED_PARAGRAPHS, SHARED_LINES, Job
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near, Repeats
from tests.pipelines.drafts import ledgers, make, reasons, rows, run_command, source, start, texts
from tests.pipelines.test_dedup import batch, subset

TEXTS = st.text("ab \n", max_size=14)
KINDS = [REPEATED_LINES, REPEATED_PARAGRAPHS]


@given(TEXTS)
@example("\n\n a\n \n\nb\nc\n\n")
def test_what_is_not_cut_stays_as_it_is(text: str) -> None:
    for kind in KINDS:
        assert without_parts(text, kind, set(), 1) == text


def test_paragraphs_are_lines_between_blank_ones() -> None:
    assert [part.strip() for part in parts_of("a\nb\n \n\n c\n", REPEATED_PARAGRAPHS)] == ["a\nb", "c"]


def left(text: str, kind: str, gone: set[str]) -> str:
    """The definition: what stands between two parts goes with the former; with the last part, what stands before it."""
    pieces = re.split(r"(\n\s*\n)" if kind == REPEATED_PARAGRAPHS else r"(\n)", text)
    pairs = zip(pieces[::2], [*pieces[1::2], ""], strict=True)
    kept = [(part, between) for part, between in pairs if part.strip() not in gone]
    return "".join(part + between for part, between in kept[:-1]) + "".join(part for part, _ in kept[-1:])


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(splits=st.lists(st.lists(TEXTS, max_size=5), max_size=4), documents=st.integers(1, 2), partitions=st.integers(1, 3))
def test_repeated_parts_against_brute_force(
    kind: str, tmp_path_factory: pytest.TempPathFactory, splits: list[list[str]], documents: int, partitions: int
) -> None:
    found: list[list[tuple[int, pa.Table]]] = [[] for _ in range(partitions)]
    for split, documents_of_split in enumerate(splits):
        run, path = PartRun(kind, 2), tmp_path_factory.getbasetemp() / f"{kind}{split}.arrow"
        for at in range(0, len(documents_of_split), 2):
            run.add(batch([(text, None) for text in documents_of_split[at : at + 2]], split))
        offsets = run.write(path, partitions)
        for number in range(partitions):
            found[number].append((split, read_shard(path).slice(offsets[number], offsets[number + 1] - offsets[number])))
    gone: dict[tuple[int, int], set[int]] = {}
    for tables in found:
        for row in repeated(tables, documents).to_pylist():
            gone.setdefault((row["split"], row["row"]), set()).add(row["line"])
    holders: dict[str, int] = {}
    for split, documents_of_split in enumerate(splits):
        for row, text in enumerate(documents_of_split):
            parts = {part.strip() for part in parts_of(text, kind) if len(part.strip()) >= 2}
            full = {part for part in parts if holders.get(part, 0) >= documents}
            assert without_parts(text, kind, gone.get((split, row), set()), 2) == left(text, kind, full)
            for part in parts:
                holders[part] = holders.get(part, 0) + 1


def recipe(dedup: Dedup, names: str = "a", **changed: object) -> Corpus:
    sources = tuple(source(name, unit="file") for name in names)
    plain = {"default": Annotator(engine="plain")}
    return Corpus.model_validate(
        {"sources": sources, "dedup": dedup, "held_out": HeldOut(validation=0, test=0), "annotate": plain} | changed
    )


def write(folder: Path, documents: dict[str, list[str]]) -> dict[str, Path]:
    for name, contents in documents.items():
        (folder / name).mkdir(parents=True)
        for number, text in enumerate(contents):
            (folder / name / f"{number:02d}.txt").write_text(text)
    return {name: folder / name for name in documents}


HEADER = "The header of every page of this site"
SHORT = "- 1 -"
NOTICE = "A notice of two lines,\nwhich stands below."


def test_later_documents_lose_what_earlier_ones_have(tmp_path: Path) -> None:
    documents = {
        "a": [f"{HEADER}\n{SHORT}\nfirst story\n\n{NOTICE}\n", f"{HEADER}\n{SHORT}\nsecond story\n\n{NOTICE}\n"],
        "b": [f"{SHORT}\nthird story\n {HEADER} \n\n{NOTICE}\n\nmore", f"{HEADER}\n\n{NOTICE}"],
    }
    once = Repeats(min_characters=10)
    draft = make(tmp_path / "draft", recipe(Dedup(lines=once, paragraphs=once), "ab"), write(tmp_path / "in", documents))
    assert texts(draft) == [documents["a"][0], f"{SHORT}\nsecond story", f"{SHORT}\nthird story\n\nmore"]
    notice = len(NOTICE) + 2
    assert {name: ledger.cleaned for name, ledger in ledgers(draft).items()} == {
        "a": {"repeated_lines": len(HEADER) + 1, "repeated_paragraphs": notice + 1},
        "b": {"repeated_lines": len(HEADER) + 3, "repeated_paragraphs": notice},
    }
    assert [(row["source"], row["stage"], row["reason"]) for row in rows(draft, "rejects")] == [("b", "duplicates", "repeated")]
    kept = rows(draft, "documents")
    assert [row["clean_is_identity"] for row in kept] == [True, False, False]
    assert [row["signals"]["chars"] for row in kept] == [len(row["text"]) for row in kept]
    draft.commit(["prepare", "finish"])
    assert audit(Artifact.open(draft.path)) == []
    assert not (draft.path / "work").exists()


def test_a_part_stays_in_as_many_documents_as_the_recipe_says(tmp_path: Path) -> None:
    documents = {"a": [f"{HEADER}\nstory {number}" for number in range(5)]}
    draft = make(tmp_path / "draft", recipe(Dedup(lines=Repeats(min_characters=20, documents=3))), write(tmp_path / "in", documents))
    assert texts(draft) == [*documents["a"][:3], "story 3", "story 4"]


def test_a_duplicate_document_does_not_count(tmp_path: Path) -> None:
    """Only the first copy of a document counts as one that has its lines, and what is dropped isn't cut as well."""
    documents = {"a": [f"{HEADER}\nstory"] * 3 + [f"{HEADER}\nanother", f"{HEADER}\na third"]}
    draft = make(tmp_path / "draft", recipe(Dedup(lines=Repeats(min_characters=20, documents=2))), write(tmp_path / "in", documents))
    assert texts(draft) == [documents["a"][0], documents["a"][3], "a third"]
    assert reasons(draft) == ["exact_duplicate"] * 2


@pytest.mark.parametrize("first", ["test", "train"])
def test_a_line_that_training_text_lost_is_not_shared(tmp_path: Path, first: str) -> None:
    """The first document keeps the line, held out or not, and so nothing is trained on that held-out text has."""
    held_out = HeldOut(validation=0, test=0.5, cut_shared_lines_over=20)
    names = {subset_: [n for n in range(40) if subset(f"{n:02d}.txt", held_out) == subset_] for subset_ in ("test", "train")}
    order = [names[first][0], *(n for n in range(names[first][0] + 1, 40))]
    (tmp_path / "a").mkdir()
    for number in order:
        (tmp_path / "a" / f"{number:02d}.txt").write_text(f"{HEADER}\nstory {number}")
    found = {}
    for name, dedup in (("shared", Dedup()), ("both", Dedup(lines=Repeats(min_characters=20)))):
        draft = make(tmp_path / name, recipe(dedup, held_out=held_out), {"a": tmp_path / "a"})
        found[name] = [(row["subset"], HEADER in row["text"]) for row in rows(draft, "documents")]
    assert {has for subset_, has in found["shared"] if subset_ == "test"} == {False}
    assert found["both"][0] == (first, True) and not any(has for _, has in found["both"][1:])


@pytest.mark.slow
def test_what_is_cut_depends_on_the_documents_alone(tmp_path: Path) -> None:
    """Not on splits, partitions, or whether Beam's workers do it."""
    documents = {
        name: ["\n\n".join(f"{HEADER} {(number * step) % 17}\nline {number}-{step} of {name}" for step in range(6)) for number in range(40)]
        for name in ("a", "b")
    }
    roots, found = write(tmp_path / "in", documents), []
    for split_bytes, memory, workers in ((1 << 25, 1 << 28, 1), (5000, 1 << 17, 1), (5000, 1 << 17, 2)):
        dedup = Dedup(near=Near(), lines=Repeats(min_characters=12), paragraphs=Repeats(min_characters=30, documents=2), memory=memory)
        settings_ = recipe(dedup, "ab", split_bytes=split_bytes, held_out=HeldOut(validation=0.1, test=0.1, cut_shared_lines_over=11))
        folder = tmp_path / f"{split_bytes}-{workers}"
        if workers == 1:
            draft = make(folder, settings_, roots)
        else:
            draft = start(folder, settings_, roots, workers)
            done = run_command(draft)
            assert done.returncode == 0, done.stderr
        ledgers(draft)
        found.append((rows(draft, "documents"), [(row["doc_id"], row["reason"]) for row in rows(draft, "rejects")]))
        assert found[0] == found[-1]
        if split_bytes == 5000:
            assert len(draft.plan["splits"]) > 4 and Job.open(draft.path).partitions > 3
    lines = [line for row in found[0][0] for line in {*map(str.strip, row["text"].split("\n"))} if len(line) >= 12]
    assert len(lines) == len(set(lines)) > 100


def test_partitions_keep_merging_lines_within_the_budget(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("x" * 6400)
    for dedup, partitions in ((Dedup(memory=19_200), 1), (Dedup(memory=19_200, lines=Repeats(min_characters=9)), 4)):
        draft = start(tmp_path / f"{partitions}", recipe(dedup), {"a": tmp_path / "a"})
        assert Job.open(draft.path).partitions == partitions


def test_kinds_come_in_the_order_in_which_they_are_cut(tmp_path: Path) -> None:
    dedup = Dedup(lines=Repeats(min_characters=5), paragraphs=Repeats(min_characters=6))
    settings_ = recipe(dedup, held_out=HeldOut(cut_shared_lines_over=7))
    job = Job.open(start(tmp_path / "draft", settings_, write(tmp_path / "in", {"a": ["text"]})).path)
    assert list(job.kinds_of_parts.items()) == [(REPEATED_PARAGRAPHS, 6), (REPEATED_LINES, 5), (SHARED_LINES, 8)]
