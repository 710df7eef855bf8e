"""Harmful content: how terms match, what a score is, what a recipe makes of it, and that only a list's content counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines import corpus
from pipelines.harmful import harmful_scores, own_lists_digest
from pipelines.harmful.lexicon import Lexicon, Lexicons, own_lists
from pipelines.job import Job
from pipelines.settings import with_files
from pipelines.word_lists import terms_of
from schemas.errors import RequestError
from schemas.recipe import Annotator, Corpus, Harmful
from tests.pipelines.drafts import ledgers, make, reasons, rows, source, start


@pytest.mark.parametrize(
    "text, hits",
    [
        ("BAD word", 3),
        ("badly, forbad; bad-ish", 3),
        ("bad\n  words end", 8),
        ("bad words and bad", 11),
        ("a bad.", 3),
        ("bads", 0),
        ("éбad bád", 0),
        ("这是坏话吗", 2),
        ("坏话坏话连篇", 6),
        ("bad坏话bad", 2),
        ("", 0),
        (" \n", 0),
    ],
)
def test_terms_match_as_words_or_anywhere(text: str, hits: int) -> None:
    score = Lexicon(["bad", "Bad  words".replace("  ", " "), "坏话", "坏话连篇"]).score(text)
    assert score == pytest.approx(hits / max(1, len("".join(text.split()))))


@given(
    st.lists(st.sampled_from(["bad", "good", "坏", "好", " ", "x bad", "BAD"]), max_size=30),
    st.lists(st.sampled_from(["bad", "坏", "x bad"])),
)
def test_a_score_is_a_share_and_grows_with_the_list(words: list[str], terms: list[str]) -> None:
    text = " ".join(words)
    some, more = Lexicon(terms).score(text), Lexicon([*terms, "good", "好"]).score(text)
    assert 0 <= some <= more <= 1
    assert Lexicon([]).score(text) == 0


def test_lists_are_lines_with_comments() -> None:
    assert terms_of("\ufeff# all\nbad\n\n two   words  # why\nc# sharp\n坏话\r\n") == ["bad", "two words", "c# sharp", "坏话"]


def test_each_language_has_its_lists_and_default_serves_all() -> None:
    lexicons = Lexicons({"en": ["bad"], "default": ["worst"]})
    assert lexicons.scores(["bad", "worst", "bad", "worst"], ["en", "en", "fr", "fr"]).tolist() == [1, 1, 0, 1]


def test_the_lists_that_ship_are_clean() -> None:
    lists = own_lists()
    assert set(lists) == {"en", "zh"}
    for (content,) in lists.values():
        terms = terms_of(content)
        assert len(terms) == len({term.casefold() for term in terms}) > 40
        assert all(term == term.casefold() for term in terms)
    assert all(len(term) >= 2 for term in terms_of(lists["zh"][0]))
    assert len(own_lists_digest()) == 8


@pytest.mark.parametrize(
    "lang, text",
    [
        ("en", "The casino in Monte Carlo opened in 1863; she sexed the chicks; a cocktail in Scunthorpe; the Essex milfoil."),
        ("zh", "医生说做爱不会影响伤口。警方打击网络赌博，三级医院，黄色的裙子，包夜宵。"),
    ],
)
def test_innocent_text_scores_nothing(lang: str, text: str) -> None:
    scores = harmful_scores(Harmful(), [text], [lang])
    assert scores is not None and scores.tolist() == [0]


TEXTS = [
    "A quiet walk along the river with nothing in it.",
    "Bad bad bad words, and bad ones only.",
    "A long text in which the word bad stands once, and everything else is as it should be in any text.",
]


def write(folder: Path) -> tuple[dict[str, Path], Path]:
    (folder / "in").mkdir()
    for n, text in enumerate(TEXTS):
        (folder / "in" / f"{n}.txt").write_text(text)
    (folder / "list.txt").write_text("bad\n")
    return {"s": folder / "in"}, folder / "list.txt"


def recipe(words: Path, **harmful: Any) -> Corpus:
    return Corpus.model_validate(
        {"sources": (source(),), "harmful": {"own_lists": False, "lists": {"en": [str(words)]}, "max_score": 0.1, **harmful}}
    )


@pytest.mark.parametrize("action", ["drop", "flag", "weight"])
def test_actions(tmp_path: Path, action: str) -> None:
    roots, words = write(tmp_path)
    draft = make(tmp_path / "draft", recipe(words, action=action, weight=0.1 if action == "weight" else None), roots)
    documents = rows(draft, "documents")
    assert [row["text"] for row in documents] == (TEXTS[::2] if action == "drop" else TEXTS)
    assert [row["flags"] for row in documents] == ([[], ["harmful"], []] if action == "flag" else [[]] * len(documents))
    assert [row["weight"] for row in documents] == ([1, np.float32(0.1), 1] if action == "weight" else [1] * len(documents))
    assert reasons(draft) == (["harmful"] if action == "drop" else [])
    expected = [0, 12 / 30, 3 / 79]
    assert [row["signals"]["harmful"] for row in documents] == pytest.approx(expected[::2] if action == "drop" else expected, abs=0.01)
    if action == "drop":
        assert rows(draft, "rejects")[0]["detail"] == "harmful 0.4 > 0.1"
    assert ledgers(draft)["s"].records_kept == len(documents)


def test_without_the_section_nothing_is_scored(tmp_path: Path) -> None:
    roots, _ = write(tmp_path)
    documents = rows(make(tmp_path / "draft", Corpus(sources=(source(),)), roots), "documents")
    assert [(row["signals"]["harmful"], row["flags"], row["weight"]) for row in documents] == [(None, [], 1)] * 3


def test_the_content_of_a_list_counts_and_not_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("bad\n")
    (tmp_path / "b.txt").write_text("bad\n")
    (tmp_path / "c.txt").write_text("worse\n")
    here, there, other = (corpus.identity_settings(recipe(tmp_path / name)) for name in ("a.txt", "b.txt", "c.txt"))
    assert here == there != other
    assert "harmful lists" in corpus.engines(Corpus(sources=(source(),), harmful=Harmful()))
    with pytest.raises(RequestError, match="none.txt: can't be read"):
        corpus.identity_settings(recipe(tmp_path / "none.txt"))


def test_a_list_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    roots, words = write(tmp_path)
    draft = start(tmp_path / "draft", recipe(words), roots)
    words.write_text("other\n")
    with pytest.raises(RequestError, match="not the word list that this run was planned with"):
        _ = Job.open(draft.path).settings


def test_workers_get_the_weights_that_the_recipe_names(tmp_path: Path) -> None:
    weights = tmp_path / "en.safetensors"
    settings = Corpus(sources=(source(),), annotate={"en": Annotator(weights=str(weights)), "zh": Annotator()})
    roots_of = corpus.file_roots(settings)
    assert list(roots_of.values()) == [str(weights)]
    assert with_files(corpus.identity_settings(settings), roots_of).annotate == settings.annotate


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"own_lists": False}, "there is no list"),
        ({"action": "weight"}, "action weight needs a weight"),
        ({"weight": 0.5}, "action weight needs a weight, and no other"),
        ({"max_score": 2}, "less than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Harmful.model_validate(settings)
