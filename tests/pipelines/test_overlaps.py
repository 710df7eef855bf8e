"""Long texts in overlapping stretches have the tokens, and the places of tokens, of the whole text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, normalizers, pre_tokenizers

from pipelines.encode import overlaps
from pipelines.encode.engine import Encoder
from pipelines.encode.overlaps import overlaps_of
from pipelines.tokenizer.training import train
from schemas.recipe import Tokenizer

WORDS = "the of a market river 我们 酒店 房间 服务 非常 不错 满意 早餐 味道 watching un-watched it's 3.5".split()
TEXTS = st.lists(st.sampled_from([*"the of我们酒店房间服务非常龘鑫，。.é\u0301 \n\t３ａ\U0001f600", "watch"]), max_size=60).map("".join)


def sentences() -> list[str]:
    draw = np.random.default_rng(0)
    return [sep.join(draw.choice(WORDS, 12)) + "。" for sep in (" ", "") for _ in range(150)]


def trained(kind: str, **options: object) -> Library:
    return train(Tokenizer(kind=kind, vocab_size=700, **options), sentences)  # type: ignore[arg-type]


def t5_like() -> Library:
    """Metaspace alone, as SentencePiece models are converted."""
    vocabulary = json.loads(trained("unigram").to_str())["model"]["vocab"]
    library = Library(models.Unigram([(piece, score) for piece, score in vocabulary], unk_id=2))
    library.normalizer = normalizers.NFKC()
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return library


MAKERS: dict[str, Callable[[], Library]] = {
    "wordpiece": lambda: trained("wordpiece"),
    "uncased": lambda: trained("wordpiece", lowercase=True),
    "unigram": lambda: trained("unigram"),
    "unigram without bytes": lambda: trained("unigram", byte_fallback=False),
    "t5": t5_like,
}


@cache
def encoder(name: str) -> Encoder:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_text(MAKERS[name]().to_str())
        return Encoder(path)


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=150)
@given(texts=st.lists(TEXTS, max_size=3))
def test_stretches_have_the_tokens_of_the_whole(name: str, texts: list[str]) -> None:
    column = pa.array(texts, pa.string())
    whole = encoder(name)
    rule = whole._overlaps
    assert rule is not None
    try:
        whole._overlaps = rule._replace(chars=1 << 20)
        expected = whole.encode_column(column)
        whole._overlaps = rule._replace(chars=3)
        found = whole.encode_column(column)
    finally:
        whole._overlaps = rule
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.counts.tolist() == expected.counts.tolist()
    assert expected.places is not None and found.places is not None
    assert [part.tolist() for part in found.places] == [part.tolist() for part in expected.places]


@pytest.mark.parametrize("name", ["wordpiece", "unigram"])
def test_a_long_line_of_chinese_is_cut(name: str) -> None:
    rule = overlaps_of(encoder(name).document)
    assert rule is not None
    line = "我们酒店房间服务非常不错" * 100_000
    longest = max(len(stretch) for *_, stretch in rule.stretches(line))
    assert longest <= rule.chars + 32


def test_unknown_parts_are_not_cut() -> None:
    document = encoder("wordpiece").document
    replaced = {"type": "Replace", "pattern": {"String": "a b"}, "content": "c"}
    for change in (
        {"normalizer": replaced},
        {"normalizer": {"type": "Sequence", "normalizers": [document["normalizer"], replaced]}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}},
        {"model": {"type": "BPE", "vocab": {}, "merges": []}},
        {"added_tokens": [{"content": "a b", "special": False}]},
    ):
        assert overlaps_of({**document, **change}) is None, change
    spaces = overlaps_of({**document, "normalizer": None})
    assert spaces is not None and not spaces.places.search("我们") and spaces.places.search("我 们")
    assert overlaps.WORDPIECE_CHARS < overlaps.UNIGRAM_CHARS
