"""Words and remembered tags are those that jieba gives with each text, whatever was met before."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import rjieba
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.demo import reviews
from pipelines.annotate.fast import jieba_words
from pipelines.annotate.fast.jieba_words import JiebaWords, tags_of

TEXTS = st.lists(st.text(st.sampled_from("我们在中国人民银行长江大桥上杭研杰出的3.5%aB+-。，é𠀀"), min_size=1, max_size=12), max_size=8)
_WORDS = JiebaWords()


def by_jieba(sequences: list[str]) -> list[tuple[int, int]]:
    """Length and tag of every word, by the definition."""
    return [(len(word), int.from_bytes(tag.encode(), "little")) for sequence in sequences for word, tag in rjieba.tag(sequence)]


def found(words: JiebaWords, sequences: list[str]) -> list[tuple[int, int]]:
    lengths, tags = words.words(sequences)
    return list(zip(lengths.tolist(), tags.tolist(), strict=True))


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_any_text(sequences: list[str]) -> None:
    assert found(_WORDS, sequences) == by_jieba(sequences)


def test_real_text_with_words_that_stand_only_in_their_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = ["".join(review["text"].split()) or "。" for review in islice(reviews(), 3000)]
    words = {word for sequence in sequences for word, _ in rjieba.tag(sequence)}
    assert any(len(tags) > 1 for tags in tags_of(sorted(words))), "the text has no word that is taken apart when it stands by itself"
    assert found(JiebaWords(), sequences) == by_jieba(sequences)
    monkeypatch.setattr(jieba_words, "_MOST_WORDS", 50)
    few = JiebaWords()
    assert [pair for sequence in sequences[:200] for pair in found(few, [sequence])] == by_jieba(sequences[:200])


def test_tags_of_words_with_white_space_and_of_none() -> None:
    for words in (["中国", "a b", "\n", "x\r", "北京"], ["中国", "", "北京"], []):
        assert tags_of(words) == [tuple(tag for _, tag in rjieba.tag(word)) for word in words]
    lengths, tags = JiebaWords().words([])
    assert lengths.size == tags.size == 0 and lengths.dtype == np.int64
