"""Evaluation items are found where they stand, whatever is edited around them, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.contamination import grams, index, search
from pipelines.contamination.evaluation_sets import Item
from pipelines.contamination.grams import folds
from pipelines.contamination.hits import hits, told
from pipelines.contamination.index import Index, build
from pipelines.contamination.search import find_matches
from schemas.recipe import Clean, Decontaminate, EvaluationSet
from tests.pipelines.naive_contamination import found_in, units_of

ENGLISH = (
    "The Panthers defense gave up just 308 points, ranking sixth in the league, while also leading the NFL in interceptions with 24 "
    "and boasting four Pro Bowl selections."
)
CHINESE = "《战国无双3》是由光荣和ω-force开发的战国无双系列的正统第三续作，本作以三大故事为主轴，分别是以武田信玄等人为主的《关东三国志》。"
MIXED = "在Python里用pandas读取csv文件时，read_csv函数的encoding参数应设为gb18030，否则中文列名会变成乱码。"
CODE = "def min_cost(cost, m, n):\n    tc = [[0 for x in range(C)] for x in range(R)]\n    tc[0][0] = cost[0][0]\n    return tc[m][n]"
SHORT = "生命数耗完即算为什么意思呢，请回答？"

ITEMS = (ENGLISH, CHINESE, MIXED, CODE, SHORT)

SMALL = {"words": 3, "characters": 6, "shortest": 0.6}


def settings_of(**changes: object) -> Decontaminate:
    return Decontaminate(sets=(EvaluationSet(name="e", path="", format="txt"),), **changes)


@contextmanager
def index_of(items: Sequence[str], **changes: object) -> Iterator[Index]:
    """An index of items, written as the job writes it; new lines in an item stand as they are."""
    chosen = settings_of(**changes)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "read_items", lambda *_: iter([Item(f"e row {n}", item) for n, item in enumerate(items)]))
        build(Path(folder) / "index", chosen, Clean(), {"e": Path("e")})
        yield Index.open(Path(folder) / "index", chosen)


def found(text: str, opened: Index) -> dict[int, tuple[int, int]]:
    return {hit.item: (hit.found, hit.grams) for hit in hits(find_matches([text], opened).entries, opened, 0)}


@pytest.mark.parametrize("item", range(len(ITEMS)))
@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False), st.text(max_size=30), st.text(max_size=30))
def test_a_planted_item_is_found_whatever_trivial_edits_it_suffered(item: int, draw: random.Random, before: str, after: str) -> None:
    text = "".join(_edited(character, draw) for character in ITEMS[item])
    with index_of(ITEMS) as opened:
        whole = found(ITEMS[item], opened)[item]
        assert whole[0] == whole[1]
        planted = found(f"{before}\n{text}\n{after}", opened)
    if not units_of(before)[-1:] and not units_of(after)[:1]:
        assert planted == {item: whole}
    assert planted[item] == whole


def _edited(character: str, draw: random.Random) -> str:
    """Another case or width, other punctuation or white space, something invisible."""
    kind = draw.randrange(6)
    if kind == 0 and "!" <= character <= "~":
        return chr(ord(character) + 0xFEE0)
    if kind == 1 and len(character.swapcase()) == 1:
        return character.swapcase()
    if kind == 2:
        return character + draw.choice("\u200b\u00ad\ufe0f")
    if not character.isalnum() and not units_of(character):
        return draw.choice(" \n\t,，。“-") * draw.randint(1, 3)
    return character


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_an_edit_breaks_only_the_grams_that_hold_it(item: int, draw: random.Random) -> None:
    units = units_of(ITEMS[item])
    broken = draw.choice(units)
    text = ITEMS[item][: broken.start] + "鼎" + ITEMS[item][broken.end :]
    with index_of(ITEMS, **SMALL) as opened:
        assert found(text, opened) == found_in(text, ITEMS, **SMALL)
        assert found(text, opened)[item][0] < found(ITEMS[item], opened)[item][0]


LETTERS = st.sampled_from(list("abAB Ａ　书好，.\u200bﬁ²कि\n"))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text(LETTERS, max_size=25), min_size=1, max_size=6),
    st.lists(st.text(LETTERS, max_size=40), max_size=5),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([0.3, 0.6, 1.0]),
    st.sampled_from([64, 1 << 2, 1]),
    st.sampled_from([1 << 20, 300]),
)
@example(["书好书好书", "书好书好"], ["书好书好书好"], 2, 5, 0.6, 1, 300)
def test_hits_are_those_of_a_naive_search_whatever_collides(
    items: list[str], documents: list[str], words: int, characters: int, shortest: float, keys: int, memory: int
) -> None:
    """`keys` is how many different keys there are: with few of them everything collides. With little memory, sorting takes many passes."""
    chosen = {"words": words, "characters": characters, "shortest": shortest}
    items = [*items, "书 " * 6]
    real = grams.gram_keys
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_GROUP_CHARS", 16)
        if keys < 64:
            patch.setattr(grams, "gram_keys", lambda *run: real(*run) % np.uint64(keys))
        with index_of(items, memory=memory, **chosen) as opened:
            matches = find_matches(documents, opened)
            for number, document in enumerate(documents):
                entries = matches.entries[matches.texts == number]
                told_here = {opened.labels[hit.item].as_py(): (hit.found, hit.grams) for hit in hits(entries, opened, 0)}
                expected = found_in(document, items, **chosen)
                assert told_here == {f"e row {item}": counts for item, counts in expected.items()}


@settings(deadline=None, max_examples=40)
@given(st.text(LETTERS, max_size=200), st.integers(1, 9))
def test_a_long_text_is_searched_as_a_short_one(text: str, chars: int) -> None:
    with index_of(["ab 书 ab 好 a b", "书好书好书好书"], **SMALL) as opened, pytest.MonkeyPatch.context() as patch:
        whole = find_matches([text], opened)
        patch.setattr(search, "_GROUP_CHARS", chars)
        pieces = find_matches([text], opened)
    assert [column.tolist() for column in pieces] == [column.tolist() for column in whole]


def test_folding_is_done_after_one_time() -> None:
    assert (folds()[folds()] == folds()).all()


def test_a_share_counts_grams_and_the_detail_is_short() -> None:
    words = [f"w{n}" for n in range(40)]
    items = [" ".join(words)] * 5 + ["other words that nobody has"]
    with index_of(items, **SMALL) as opened:
        half = find_matches([" ".join(words[:20])], opened).entries
        assert [hit.item for hit in hits(half, opened, 0.4)] == [0, 1, 2, 3, 4]
        assert hits(half, opened, 0.5) == []
        detail = told(hits(half, opened, 0), opened)
    assert detail == "; ".join([f"e row {n}: 18 of 38 grams (0.47)" for n in range(3)] + ["2 more items"])


def test_gram_lengths_are_those_of_the_recipe() -> None:
    with index_of([ENGLISH, CHINESE], words=13, characters=26) as opened:
        english, chinese = ([unit.text for unit in units_of(text)] for text in (ENGLISH, CHINESE))
        assert found(" ".join(english[3:16]), opened) == {0: (1, len(english) - 12)}
        assert found(" ".join(english[3:15]), opened) == {}
        only_han = "本作以三大故事为主轴分别是以武田信玄等人为主的关东三国志"
        assert found(only_han[:26], opened)[1][0] == 1
        assert found(only_han[:25], opened) == {}
    assert len(chinese) > 26
