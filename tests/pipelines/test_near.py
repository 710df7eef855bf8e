"""Near duplicates: shingles and signatures against plain restatements, the banding curve, who loses against brute force, the whole job."""

import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.dedup import minhash, near
from pipelines.dedup.minhash import agreements, band_keys, shingle_hashes, signatures
from pipelines.dedup.near import NearRun, least_agreement, near_losers
from pipelines.units import ALONE, stands
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near
from tests.bench.near_quality import look_for, make_pairs
from tests.pipelines.drafts import ledgers, make, rows, source, texts
from tests.pipelines.test_dedup import batch, subset

MIXED = st.text(st.sampled_from("aBé\u0301 的书好カก1,.。！\n\t'-_"), max_size=40) | st.text(max_size=30)
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "IDEOGRAPHIC")


def units(text: str) -> list[str]:
    """The definition, slowly: words of letters, digits and marks in lower case; characters of scripts without spaces alone."""
    found, word = [], ""
    for character in text:
        spoken = unicodedata.category(character)[0] in "LNM"
        alone = spoken and stands()[ord(character)] == ALONE
        if word and (alone or not spoken):
            found.append(word)
            word = ""
        if alone:
            found.append(character)
        elif spoken:
            word += lower if len(lower := character.lower()) == 1 else character
    return [*found, word] if word else found


def shingles(text: str, ngram: int) -> list[tuple[str, ...]]:
    found = units(text)
    return [tuple(found[at : at + ngram]) for at in range(len(found) - ngram + 1)]


def jaccard(left: str, right: str, ngram: int = 5) -> float:
    a, b = set(shingles(left, ngram)), set(shingles(right, ngram))
    return len(a & b) / len(a | b) if a | b else 0.0


@settings(deadline=None)
@given(st.lists(MIXED, max_size=6), st.integers(1, 4))
@example(["a b c", "", "c", "d e", "书好"], 2)
@example(["listen silent enlist", "ab ba", "a b", "ba ab"], 1)
def test_equal_shingles_and_no_others_have_equal_hashes(documents: list[str], ngram: int) -> None:
    hashes, counts = shingle_hashes(documents, ngram)
    expected = [shingles(text, ngram) for text in documents]
    assert counts.tolist() == [len(found) for found in expected]
    pairs = {(shingle, number) for shingle, number in zip((s for found in expected for s in found), hashes.tolist(), strict=True)}
    assert len(pairs) == len({shingle for shingle, _ in pairs}) == len({number for _, number in pairs})


@pytest.mark.parametrize("character", "书カกㄅꀀⅠ々ﾗ")
def test_scripts_without_spaces_are_taken_by_characters(character: str) -> None:
    alone = character != "Ⅰ"  # a number of Latin letters is a word's part
    assert shingle_hashes([character * 3], 1)[1].tolist() == [3 if alone else 1]


@settings(deadline=None)
@given(st.lists(MIXED, max_size=8))
def test_a_signature_is_of_the_set_and_of_its_text_alone(documents: list[str]) -> None:
    options = {"ngram": 2, "hashes": 12, "seed": 3}
    together, signed = signatures(documents, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "_GROUP_CHARS", 41)
        patch.setattr(minhash, "_BLOCK", 3)
        assert np.array_equal(signatures(documents, **options)[0], together)
    for text, signature, has_one in zip(documents, together, signed.tolist(), strict=True):
        assert has_one == (len(units(text)) >= 2)
        again, _ = signatures([f"{text}。", text.upper().lower() if text.isascii() else text], **options)
        assert np.array_equal(again[0], signature) and np.array_equal(again[1], signature)


def test_a_long_text_is_signed_wherever_it_lies() -> None:
    draw = random.Random(1)
    text = " ".join(f"w{draw.randrange(3000)}" for _ in range(60_000))
    assert len(text) > 2 * minhash._GROUP_CHARS
    found, _ = signatures([text, f"Added. {text}", "好" * 300_000], ngram=5, hashes=112, seed=1)
    assert agreements(found[:1], found[1:2]) >= 111  # one shingle more
    assert agreements(found[:1], found[2:]) == 0


def varied(draw: random.Random, language: str, length: int, edits: int) -> tuple[str, str]:
    """A text of `length` words or characters, and the same with some of them replaced."""
    alphabet = [f"word{n}" for n in range(3000)] if language == "en" else [chr(0x4E00 + n) for n in range(3000)]
    one = draw.choices(alphabet, k=length)
    other = list(one)
    for at in draw.sample(range(length), edits):
        other[at] = draw.choice(alphabet)
    return tuple((" " if language == "en" else "").join(parts) for parts in (one, other))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("length", "edits"), [(400, 6), (400, 11), (400, 24), (60, 2)])
def test_estimates_and_bands_follow_theory(language: str, length: int, edits: int) -> None:
    """Means and deviations over 600 pairs of known similarity, within four standard errors."""
    draw, settings_, count = random.Random(7), Near(), 600
    pairs = [varied(draw, language, length, edits) for _ in range(count)]
    exact = np.array([jaccard(*pair) for pair in pairs])
    left, right = (signatures([pair[side] for pair in pairs], ngram=5, hashes=112, seed=1)[0] for side in (0, 1))
    errors = agreements(left, right) / 112 - exact
    deviation = np.sqrt(np.mean(exact * (1 - exact)) / 112)
    assert abs(errors.mean()) < 4 * deviation / np.sqrt(count)
    assert abs(errors.std() / deviation - 1) < 4 / np.sqrt(2 * count)
    met = (band_keys(left, 16) == band_keys(right, 16)).any(axis=1)
    expected = np.mean(1 - (1 - exact**settings_.rows) ** settings_.bands)
    assert abs(met.mean() - expected) < 4 * np.sqrt(max(expected * (1 - expected), 0.001) / count)


def test_an_estimate_passes_to_one_deviation_below() -> None:
    assert least_agreement(Near()) == 86  # 0.8 - 0.0378 = 0.7622 of 112
    assert least_agreement(Near(threshold=1)) == 112


FEW = Near(threshold=0.6, ngram=1, bands=4, rows=2)
WORDS = st.lists(st.sampled_from("abcdef"), max_size=6).map(" ".join)


class Looked:
    """What the job looks up in files, from memory."""

    def __init__(self, found: dict[int, np.ndarray]) -> None:
        self._found = found

    def signatures(self, documents: np.ndarray, hashes: int) -> np.ndarray:
        return np.array([self._found[int(d) >> 32][int(d) & 0xFFFFFFFF] for d in documents], np.uint16).reshape(-1, hashes)

    def doc_ids(self, documents: np.ndarray) -> np.ndarray:
        return np.array([b"%08d%08d" % (int(d) >> 32, int(d) & 0xFFFFFFFF) for d in documents], "S16").view("V16")


def found_losers(folder: Path, splits: list[list[str]], partitions: int) -> dict[tuple[int, int], tuple[int, int]]:
    """By loser the earliest document that drops it, both as split and row, from all partitions."""
    runs: list[list[tuple[int, pa.Table]]] = [[] for _ in range(partitions)]
    looked = {}
    for split, documents in enumerate(splits):
        run, path = NearRun(FEW), folder / f"near{split}.arrow"
        for start in range(0, len(documents), 3):
            run.add(batch([(text, None) for text in documents], split).slice(start, 3))
        offsets = run.write(path, partitions)
        for partition in range(partitions):
            runs[partition].append((split, read_shard(path).slice(offsets[partition], offsets[partition + 1] - offsets[partition])))
        looked[split] = signatures(documents, ngram=FEW.ngram, hashes=FEW.hashes, seed=FEW.seed)[0]
    lost: dict[tuple[int, int], tuple[int, int]] = {}
    for partition_runs in runs:
        for row in near_losers(partition_runs, FEW, Looked(looked)).to_pylist():
            place, first = (row["split"], row["row"]), (row["first_split"], row["first_row"])
            assert row["first"] == b"%08d%08d" % first and row["estimate"] >= least_agreement(FEW) / FEW.hashes
            lost[place] = min(lost.get(place, first), first)
    return lost


def brute_force(splits: list[list[str]], compared: int) -> dict[tuple[int, int], tuple[int, int]]:
    """The definition: whoever shares a band with an earlier document, one of the first of those that share it, and is alike."""
    places = [(split, row) for split, documents in enumerate(splits) for row in range(len(documents))]
    found, signed = signatures([text for documents in splits for text in documents], ngram=FEW.ngram, hashes=FEW.hashes, seed=FEW.seed)
    bands = found.reshape(-1, FEW.bands, FEW.rows)
    lost = {}
    for later in np.flatnonzero(signed):
        for earlier in np.flatnonzero(signed[:later]):
            alike = (found[earlier] == found[later]).sum() >= least_agreement(FEW)
            for band in np.flatnonzero((bands[earlier] == bands[later]).all(axis=1)):
                before = sum(bool((bands[o, band] == bands[later, band]).all()) for o in np.flatnonzero(signed[:earlier]))
                if alike and before < compared:
                    lost.setdefault(places[later], places[earlier])
    return lost


@settings(deadline=None, max_examples=60)
@given(splits=st.lists(st.lists(WORDS, max_size=9), max_size=4), partitions=st.integers(1, 4), compared=st.sampled_from([1, 2, 256]))
def test_losers_against_brute_force(
    tmp_path_factory: pytest.TempPathFactory, splits: list[list[str]], partitions: int, compared: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "MAX_COMPARED", compared)
        patch.setattr(near, "_BLOCK", 2)
        assert found_losers(tmp_path_factory.getbasetemp(), splits, partitions) == brute_force(splits, compared)


PLAIN = {"default": Annotator(engine="plain")}


def corpus(dedup: Dedup | None = None, **changed: object) -> Corpus:
    sources = (source("en", unit="line", origin="text"), source("zh", unit="line", lang="zh", origin="text"))
    return Corpus.model_validate({"sources": sources, "dedup": dedup or Dedup(near=Near()), "annotate": PLAIN, **changed})


def write(folder: Path, documents: dict[str, list[str]]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in documents.items():
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return {name: folder / name for name in documents}


def reason_of(rejects: list[dict[str, object]], documents: dict[str, list[str]]) -> dict[tuple[str, int], str]:
    """Reason by source and number of the line."""
    offsets = {name: np.cumsum([0] + [len(line.encode()) + 1 for line in lines]).tolist() for name, lines in documents.items()}
    return {(row["source"], offsets[row["source"]].index(row["record"])): row["reason"] for row in rejects}  # type: ignore


def test_planted_near_duplicates_go_and_others_stay(tmp_path: Path) -> None:
    draw = random.Random(11)
    documents: dict[str, list[str]] = {"en": [], "zh": []}
    expected = {}
    for language, lines in documents.items():
        for edits, alike in ((1, True), (3, True), (40, False), (90, False)) * 10:
            one, other = varied(draw, language, 300, edits)
            assert jaccard(one, other) > 0.85 if alike else jaccard(one, other) < 0.6
            lines += [one, other]
            if alike:
                expected[language, len(lines) - 1] = "near_duplicate"
        lines += [lines[0], lines[1]]  # equal to an earlier one each: that comes first
        expected |= {(language, len(lines) - 2): "exact_duplicate", (language, len(lines) - 1): "exact_duplicate"}
    draft = make(tmp_path / "draft", corpus(), write(tmp_path / "in", documents))
    assert reason_of(rows(draft, "rejects"), documents) == expected
    kept = {row["doc_id"].hex() for row in rows(draft, "documents")}
    for row in rows(draft, "rejects"):
        of, told, estimate = row["detail"].partition(", estimated Jaccard similarity ")
        assert row["stage"] == "duplicates" and (not told or (of.removeprefix("of ") in kept and 0.76 <= float(estimate) <= 1))
    assert {name: ledger.rejected for name, ledger in ledgers(draft).items()} == {
        name: {"exact_duplicate": 2, "near_duplicate": 20} for name in documents
    }
    draft.commit(["prepare", "finish"])
    assert audit(Artifact.open(draft.path)) == []
    assert not (draft.path / "work").exists() and len(list((draft.path / "signatures").iterdir())) == len(draft.plan["splits"])


def test_a_dropped_document_still_drops_later_ones(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(400)]
    middle, last = list(words), list(words)
    middle[5:345:50] = last[5:345:50] = [f"new{n}" for n in range(7)]
    last[20:380:52] = [f"newer{n}" for n in range(7)]
    first, middle_text, last_text = (" ".join(each) for each in (words, middle, last))
    assert jaccard(first, middle_text) > 0.8 and jaccard(middle_text, last_text) > 0.8 and jaccard(first, last_text) < 0.72
    documents = {"en": [first, middle_text, last_text], "zh": []}
    draft = make(tmp_path / "draft", corpus(sources=corpus().sources[:1]), write(tmp_path / "in", {"en": documents["en"]}))
    assert texts(draft) == [first]
    ids = {row["record"]: row["doc_id"].hex() for row in [*rows(draft, "documents"), *rows(draft, "rejects")]}
    winners = [row["detail"].split(",")[0] for row in rows(draft, "rejects")]
    assert winners == [f"of {ids[0]}", f"of {ids[len(first) + 1]}"]


@pytest.mark.slow
def test_what_goes_does_not_depend_on_splits_or_partitions(tmp_path: Path) -> None:
    draw = random.Random(5)
    lines = {
        language: [text for _ in range(60) for text in varied(draw, language, 300, draw.randrange(1, 11))] for language in ("en", "zh")
    }
    roots, found = write(tmp_path / "in", lines), []
    for split_bytes, memory in ((1 << 25, 1 << 28), (1 << 25, 1 << 17), (4000, 1 << 28), (4000, 1 << 17)):
        settings_ = corpus(Dedup(near=Near(), memory=memory), split_bytes=split_bytes)
        draft = make(tmp_path / f"{split_bytes}-{memory}", settings_, roots)
        ledgers(draft)
        found.append((texts(draft), [(row["doc_id"], row["reason"], row["detail"]) for row in rows(draft, "rejects")]))
        assert len(draft.plan["splits"]) > 10 or split_bytes > 4000
        assert len(draft.parts("near_duplicates")) == (1 if memory == 1 << 28 else len(draft.parts("duplicates"))) and found[0] == found[-1]
    assert 60 < len(found[0][1]) < 120  # of 120 pairs, some are too different


def test_held_out_and_training_text_are_never_near_duplicates(tmp_path: Path) -> None:
    """The same text with a few words more in a file of each subset: one of them stays."""
    held_out = HeldOut(validation=0, test=0.5, cut_shared_lines_over=10)
    names = [next(f"{n}.txt" for n in range(99) if subset(f"{n}.txt", held_out) == wanted) for wanted in ("test", "train")]
    text = " ".join(f"word{n}" for n in range(200))
    for name in names:
        (tmp_path / name).write_text(f"{text} {name}\n")
    sources = (source("a", unit="file"), source("b", unit="file"))
    draft = make(tmp_path / "draft", corpus(sources=sources, held_out=held_out), {"a": tmp_path / names[0], "b": tmp_path / names[1]})
    assert [(row["uri"], row["subset"], row["text"]) for row in rows(draft, "documents")] == [(names[0], "test", f"{text} {names[0]}\n")]
    assert [row["reason"] for row in rows(draft, "rejects")] == ["near_duplicate"]


def test_short_texts_are_duplicates_only_if_equal(tmp_path: Path) -> None:
    lines = {
        "en": ["one two three four", "One, two: three four!", "and one more word here", "And one more word here?"],
        "zh": ["很好用", "很好用！"],
    }
    draft = make(tmp_path / "draft", corpus(), write(tmp_path / "in", lines))
    assert texts(draft) == [*lines["en"][:3], *lines["zh"]]
    assert [row["reason"] for row in rows(draft, "rejects")] == ["near_duplicate"]


def test_nothing_near_is_looked_for_unless_the_recipe_asks(tmp_path: Path) -> None:
    lines = {"en": ["and one more word here", "And one more word here?"], "zh": ["书"]}
    draft = make(tmp_path / "draft", corpus(Dedup()), write(tmp_path / "in", lines))
    assert len(texts(draft)) == 3 and not draft.parts("near_duplicates") and not (draft.path / "signatures").exists()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_copies_as_they_are_on_the_web_are_found(tmp_path: Path, language: str) -> None:
    """The bench in small: real text, edited; the bars are those of the whole."""
    found = look_for(make_pairs(language, 300, Near()), language, Near(), tmp_path / "in")
    similar = [pair.similarity for pair in found.pairs]
    assert sum(s >= 0.8 for s in similar) > 60 and sum(s < 0.7 for s in similar) > 60
    assert len({pair.edit for pair in found.pairs if pair.similarity >= 0.8}) == 8
    assert all(abs(pair.similarity - jaccard(pair.original, pair.copy)) < 1e-9 for pair in found.pairs[:20])
    assert found.recall >= 0.95 and found.far <= 0.02
