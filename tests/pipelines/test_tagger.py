"""The weights that ship: what they say depends on a sentence alone, and is what a reader expects of plain sentences."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate import engine_version, open_annotator
from pipelines.annotate.fast import tagger as tagger_module
from pipelines.annotate.fast.han import HanSegmenter
from pipelines.annotate.fast.tagger import Tagger
from pipelines.annotate.fast.weights import packaged, read_weights
from pipelines.characters import codes_of
from schemas.arrow import UPOS
from schemas.errors import RequestError
from schemas.recipe import Annotator

WORDS = st.lists(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=8), min_size=1, max_size=8), max_size=8
)
MOST_BYTES = 4 << 20


def opened(lang: str) -> Tagger:
    found = Tagger.packaged(lang)
    assert found is not None
    return found


def tags(tagger: Tagger, sentences: list[list[str]]) -> list[list[str]]:
    words = [word.encode() for sentence in sentences for word in sentence]
    sizes = np.array([len(word) for word in words], np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1 if words else np.zeros(0, np.int64)
    ends = np.cumsum([len(sentence) for sentence in sentences]).astype(np.int64)
    found = tagger.tag(np.frombuffer(b" ".join(words), np.uint8), starts, starts + sizes, ends)
    return [[UPOS[code] for code in part] for part in np.split(found, ends[:-1])] if sentences else []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_weights_ship_and_are_small(lang: str) -> None:
    path = packaged(lang)
    assert path is not None
    assert path.stat().st_size < MOST_BYTES
    assert path.with_suffix(".md").is_file(), "every file of weights has a model card"
    assert read_weights(path).lang == lang


@pytest.mark.parametrize(
    ("lang", "sentence", "expected"),
    [
        ("en", "The old man quickly bought two red apples in Paris .", "DET ADJ NOUN ADV VERB NUM ADJ NOUN ADP PROPN PUNCT"),
        ("en", "She has n't seen them yet , and they will not come .", "PRON AUX PART VERB PRON ADV PUNCT CCONJ PRON AUX PART VERB PUNCT"),
        ("en", "they can fish", "PRON AUX VERB"),
        ("zh", "北京 是 中国 的 首都 。", "PROPN AUX PROPN PART NOUN PUNCT"),
    ],
)
def test_plain_sentences(lang: str, sentence: str, expected: str) -> None:
    assert tags(opened(lang), [sentence.split()]) == [expected.split()]


@pytest.mark.parametrize("lang", ["en", "zh"])
@settings(deadline=None, max_examples=30)
@given(sentences=WORDS)
def test_a_sentence_is_tagged_by_itself(lang: str, sentences: list[list[str]]) -> None:
    tagger = _TAGGERS.setdefault(lang, opened(lang))
    assert tags(tagger, sentences) == [tags(tagger, [sentence])[0] for sentence in sentences]


_TAGGERS: dict[str, Tagger] = {}


def test_what_was_met_before_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"word{number} of many words{number % 7}".split() for number in range(60)]
    expected = tags(opened("en"), sentences)
    monkeypatch.setattr(tagger_module, "_MOST_TYPES", 5)
    small = opened("en")
    assert [tags(small, [sentence])[0] for sentence in sentences] == expected
    assert tags(small, sentences) == expected, "more types at once than are kept"


def test_chinese_words_are_those_of_universal_dependencies() -> None:
    text = "他们在运动会上获得了第三名。我不知道。"
    segmenter = HanSegmenter.packaged("zh")
    assert segmenter is not None
    codes = codes_of(text)
    begins = segmenter.breaks(codes, np.array([0, len(text)]), np.arange(1, len(text)))
    cuts = [0, *(np.flatnonzero(begins) + 1).tolist(), len(text)]
    words = [text[a:b] for a, b in pairwise(cuts)]
    assert words[:3] == ["他们", "在", "运动"], words
    assert "。" in words and "不" in words, words


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(st.sampled_from("他们在运动会上获得了第三名。a 1\n，我"), max_size=30), min_size=1, max_size=5))
def test_a_text_is_segmented_by_itself(texts: list[str]) -> None:
    segmenter = _SEGMENTERS[0]
    bounds = np.cumsum([0, *map(len, texts)])
    codes = codes_of("".join(texts))
    solid = np.array([place for place, char in enumerate("".join(texts)) if not char.isspace()], np.int64)
    together = segmenter.breaks(codes, bounds, solid)
    alone = []
    for text in texts:
        own = np.array([place for place, char in enumerate(text) if not char.isspace()], np.int64)
        alone.append(segmenter.breaks(codes_of(text), np.array([0, len(text)]), own))
    assert np.array_equal(together, np.concatenate(alone))


_SEGMENTERS = [HanSegmenter.packaged("zh")]


def test_a_file_that_holds_no_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing of ours")
    with pytest.raises(RequestError, match=r"x\.safetensors: is not a readable file of weights"):
        read_weights(path)
    with pytest.raises(RequestError, match=r"none\.safetensors"):
        read_weights(tmp_path / "none.safetensors")


def test_languages_without_weights_have_no_tags_rather_than_wrong_ones() -> None:
    assert Tagger.packaged("th") is None and Tagger.packaged("../en") is None
    made = open_annotator(Annotator(engine="fast"), "fr").annotate(pa.array(["Une phrase simple."], pa.string()))
    assert made.pos.null_count == 1 and made.word_starts[0].as_py()


def test_a_recipe_brings_its_own_weights(tmp_path: Path) -> None:
    shipped = packaged("en")
    assert shipped is not None
    own = tmp_path / "elsewhere.safetensors"
    own.write_bytes(shipped.read_bytes())
    text = pa.array(["She can't come."], pa.string())
    brought = Annotator(engine="fast", weights=str(own))
    assert open_annotator(brought, "en").annotate(text) == open_annotator(Annotator(), "en").annotate(text)
    assert engine_version(brought, "en") == engine_version(Annotator(), "en"), "content counts, not place"
    with pytest.raises(RequestError, match=r"elsewhere\.safetensors: holds weights of 'en', and is asked to annotate 'de'"):
        open_annotator(brought, "de")
    with pytest.raises(ValueError, match="weights are for the fast engine"):
        Annotator(engine="rjieba", weights=str(own))
