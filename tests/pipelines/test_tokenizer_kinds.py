"""What each kind of tokenizer promises: special tokens and templates of its family, and how much of a text comes back."""

from __future__ import annotations

import json
import math
import random
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from pipelines.encode import new_tokenizer, unigram
from pipelines.encode.alphabet import CharacterCounts
from pipelines.encode.patterns import PATTERNS, RUN, pattern_of
from pipelines.encode.unigram_trainer import log2, train_pieces
from pipelines.tokenizer.families import ids_of, lend_roles, sentinels, special_tokens
from pipelines.tokenizer.training import train
from schemas.errors import RequestError
from schemas.recipe import Tokenizer

ENGLISH = "the of a market river castle teacher repairs watches window garden winter unwatched rewatching gardens".split()
CHINESE = "我们 酒店 房间 服务 非常 不错 满意 早餐 味道 下次 还会 再来".split()


@cache
def texts(seed: int = 0) -> tuple[str, ...]:
    draw = random.Random(seed)
    english = [" ".join(draw.choices(ENGLISH, k=12)) + f", {number} and it's done.\n" for number in range(150)]
    chinese = ["".join(draw.choices(CHINESE, k=9)) + "，很好。" for _ in range(150)]
    return (*english, *chinese)


@cache
def made(kind: str, **options: Any) -> Library:
    return train(Tokenizer(kind=kind, vocab_size=700, **options), texts)


def split_by(name: str, digits: str = "threes") -> Callable[[str], list[str]]:
    tokenizer = new_tokenizer(PATTERNS[name, digits].regex)
    return lambda text: [text[slice(*place)] for _, place in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


# patterns


def test_today_s_pattern_is_the_default_and_every_pattern_is_known_again() -> None:
    recognised = [pattern_of(json.loads(new_tokenizer(p.regex).to_str())["pre_tokenizer"]) for p in PATTERNS.values()]
    assert recognised == list(PATTERNS.values())
    assert pattern_of(json.loads(made("byte_bpe").to_str())["pre_tokenizer"]) == PATTERNS["cl100k", "threes"]
    assert pattern_of(json.loads(made("wordpiece").to_str())["pre_tokenizer"]) is None
    assert pattern_of(None) is None


def test_patterns_cut_as_they_say() -> None:
    text = 'def readLine(x):\n    return "你好，world你"'
    assert split_by("cl100k")(text) == [
        "def", " readLine", "(x", "):\n", "   ", " return", ' "', "你好", "，world你", '"',
    ]  # fmt: skip
    assert split_by("o200k")("readLine HTTPServer it's") == ["read", "Line", " HTTPServer", " it's"]
    assert split_by("indent")(text)[3:6] == ["):\n    ", "return", ' "']
    assert split_by("han")(text)[6:] == ["你好", "，world", "你", '"']
    assert split_by("han")("他说：“好”") == ["他说", "：“", "好", "”"]


@pytest.mark.parametrize(
    ("digits", "pieces"), [("threes", ["123", "456", "7"]), ("right", ["1", "234", "567"]), ("single", list("1234567"))]
)
@pytest.mark.parametrize("name", ["cl100k", "o200k", "indent", "han"])
def test_digits_go_as_the_recipe_says(name: str, digits: str, pieces: list[str]) -> None:
    assert split_by(name, digits)("a1234567.") == ["a", *pieces, "."]


@pytest.mark.parametrize("name", ["cl100k", "o200k", "indent", "han"])
@pytest.mark.parametrize("unit", ["好", "a", "aB", "中a", "1", "é"])
def test_runs_of_letters_and_digits_are_cut_whatever_their_length(name: str, unit: str) -> None:
    for digits in ("threes", "right", "single"):
        pieces = split_by(name, digits)(unit * 5000)
        assert "".join(pieces) == unit * 5000
        assert max(map(len, pieces)) <= 2 * RUN  # o200k: so many capitals, then so many others


PIECES = st.text(st.sampled_from("ab中好'sS .,，。！\n\r\t 1290é#(\u3000\u0301ß²İ")) | st.text(max_size=20)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from(sorted(PATTERNS)))
@example("a\n   b\r\n\t c\n", ("indent", "threes"))
@example("\u1c80中\u1c80", ("han", "right"))
def test_pieces_are_the_text(text: str, names: tuple[str, str]) -> None:
    assert "".join(split_by(*names)(text)) == text


# byte-level BPE


@settings(deadline=None)
@given(st.text(), st.sampled_from(["cl100k", "o200k", "indent", "han"]))
def test_byte_level_bpe_gives_any_text_back(text: str, name: str) -> None:
    tokenizer = made("byte_bpe", pre_tokenizer=name)
    tokenizer.encode_special_tokens = True
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


# special tokens


def test_families_have_their_special_tokens_in_order_and_sentinels_at_the_end() -> None:
    bert, t5, decoder = made("wordpiece"), made("unigram"), made("byte_bpe")
    assert [decoder.id_to_token(n) for n in range(3)] == ["<|bos|>", "<|eos|>", "<|pad|>"]
    assert [bert.id_to_token(n) for n in range(5)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [t5.id_to_token(n) for n in range(3)] == ["<pad>", "</s>", "<unk>"]
    size = t5.get_vocab_size()
    assert [t5.id_to_token(size - 1 - n) for n in range(100)] == [f"<extra_id_{n}>" for n in range(100)]
    assert all(tokenizer.get_vocab_size() <= 700 for tokenizer in (bert, t5, decoder))


def test_templates_are_the_families_and_decoders_have_none() -> None:
    pair = made("wordpiece").encode("the river", "a window")
    assert (pair.tokens, pair.type_ids) == (["[CLS]", "the", "river", "[SEP]", "a", "window", "[SEP]"], [0, 0, 0, 0, 1, 1, 1])
    assert made("unigram").encode("the river", "a window").tokens == ["▁the", "▁river", "</s>", "▁a", "▁window", "</s>"]
    assert made("byte_bpe").encode("the river").tokens == ["the", "Ġriver"]
    assert made("byte_bpe", family="bert").encode("the river").tokens == ["[CLS]", "the", "Ġriver", "[SEP]"]


@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece", "unigram"])
def test_text_that_reads_like_a_special_token_is_text(kind: str) -> None:
    tokenizer = Library.from_str(made(kind, sentinels=3).to_str())
    tokenizer.encode_special_tokens = True
    special = set(special_tokens(Tokenizer(kind=kind)).values()) | set(sentinels(Tokenizer(kind=kind, sentinels=3)))
    unk = tokenizer.token_to_id("[UNK]")  # what WordPiece says of words it doesn't know
    text = " ".join(["x", *special, "<0x0A><0xE4>", "</s></s>"])
    for token in special | {"<0x0A>"}:
        if tokenizer.token_to_id(token) not in (None, unk):
            assert tokenizer.token_to_id(token) not in tokenizer.encode(text, add_special_tokens=False).ids


def test_roles_are_named_in_the_recipe_and_ids_do_not_depend_on_their_order() -> None:
    some = special_tokens(Tokenizer(special_tokens={"end_turn": "<|end|>", "pad": "<p>", "begin_turn": "<|begin|>"}))
    assert some == {"bos": "<|bos|>", "eos": "<|eos|>", "pad": "<p>", "begin_turn": "<|begin|>", "end_turn": "<|end|>"}
    assert special_tokens(Tokenizer(special_tokens=["<s>", "</s>", "<p>", "<x>"])) == {
        "bos": "<s>",
        "eos": "</s>",
        "pad": "<p>",
        "<x>": "<x>",
    }
    with pytest.raises(RequestError, match="'<p>' has two roles"):
        special_tokens(Tokenizer(special_tokens={"pad": "<p>", "x": "<p>"}))


@pytest.mark.parametrize(("kind", "token"), [("byte_bpe", "the"), ("byte_bpe", "###"), ("wordpiece", "PAD")])
def test_a_special_token_that_could_be_a_word_is_refused(kind: str, token: str) -> None:
    with pytest.raises(RequestError, match=f"tokenizer.special_tokens.pad: '{token}' can stand in text"):
        train(Tokenizer(kind=kind, special_tokens={"pad": token}), texts)


def test_a_vocabulary_without_room_is_refused() -> None:
    with pytest.raises(RequestError, match="tokenizer.vocab_size 512 has no room: special tokens and bytes take 559"):
        train(Tokenizer(vocab_size=512, sentinels=300), texts)


def test_roles_that_the_batcher_needs_are_lent() -> None:
    bert = made("wordpiece")
    ids = lend_roles(ids_of(bert, special_tokens(Tokenizer(kind="wordpiece"))))
    assert (ids["bos"], ids["eos"], ids["pad"]) == (bert.token_to_id("[CLS]"), bert.token_to_id("[SEP]"), 0)
    assert lend_roles({"eos": 7}) == {"eos": 7, "bos": 7, "pad": 7}
    with pytest.raises(RequestError, match="no special token that serves as eos; name one: tokenizer.special_tokens.eos"):
        lend_roles({"bos": 1})


# WordPiece and Unigram


def test_wordpiece_takes_chinese_characters_apart_and_words_into_pieces() -> None:
    tokenizer = made("wordpiece")
    assert tokenizer.encode("我们rewatching，", add_special_tokens=False).tokens[:3] == ["我", "们", "rewatching"]
    parts = tokenizer.encode("rewindow", add_special_tokens=False).tokens
    assert len(parts) > 1 and all(part.startswith("##") for part in parts[1:])
    assert "".join(part.removeprefix("##") for part in parts) == "rewindow"
    assert tokenizer.encode("鱻", add_special_tokens=False).tokens == ["[UNK]"]
    lower = made("wordpiece", lowercase=True)
    assert lower.encode("The Tëachér").ids == lower.encode("the teacher").ids


def test_an_alphabet_covers_its_share_and_no_more() -> None:
    counts = CharacterCounts()
    counts.add(["aaaa bbb", "cc\nd"])
    assert counts.alphabet(0.6, 100) == ["a", "b"]
    assert counts.alphabet(0.75, 100) == ["a", "b", "c"]
    assert counts.alphabet(1.0, 100) == ["a", "b", "c", "d"]
    assert counts.alphabet(1.0, 4) == ["a", "b", "c"]
    assert CharacterCounts().alphabet(1.0, 4) == []


@settings(deadline=None)
@given(st.text())
@example("<0x0A> ▁ \n龘 </s>")
def test_unigram_with_byte_fallback_gives_rewritten_text_back(text: str) -> None:
    tokenizer = made("unigram")
    tokenizer.encode_special_tokens = True
    rewritten = " ".join(tokenizer.normalizer.normalize_str(text).replace(unigram.SPACE, " ").split())
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.token_to_id("<unk>") not in encoding.ids
    assert " ".join(tokenizer.decode(encoding.ids, skip_special_tokens=False).split()) == rewritten


def test_unigram_without_byte_fallback_has_unknown_characters() -> None:
    tokenizer = made("unigram", byte_fallback=False)
    assert tokenizer.token_to_id("<unk>") in tokenizer.encode("龘").ids
    assert not any(re.fullmatch("<0x..>", token) for token in tokenizer.get_vocab())


def test_no_piece_crosses_scripts_or_digits() -> None:
    for piece, _ in json.loads(made("unigram").to_str())["model"]["vocab"]:
        kinds = {"han" if "一" <= c <= "龥" else "digit" if c.isdigit() else unicodedata.category(c)[0] for c in piece.removeprefix("▁")}
        assert len(kinds) <= 1 or piece[0] == "<", piece


# the trainer of Unigram


def likelihood(words: dict[str, int], pieces: dict[str, float]) -> float:
    """Sum over all ways to cut each word, written plainly."""
    total = 0.0
    for word, count in words.items():
        ways = [1.0] + [0.0] * len(word)
        for end in range(1, len(word) + 1):
            ways[end] = sum(ways[start] * math.exp(pieces[word[start:end]]) for start in range(end) if word[start:end] in pieces)
        total += count * math.log(ways[-1])
    return total


def test_pieces_beat_single_characters_and_fewer_pieces_are_worse() -> None:
    words = {"banana": 20, "bandana": 10, "and": 30, "ban": 5, "nab": 1, "x": 1}
    alphabet = sorted(set("".join(words)))
    scores = []
    for size in (len(alphabet), len(alphabet) + 2, len(alphabet) + 6):
        pieces = dict(train_pieces(words, alphabet, size))
        assert set(alphabet) <= pieces.keys() and len(pieces) <= size
        assert sum(map(math.exp, pieces.values())) == pytest.approx(1, abs=0.05)
        scores.append(likelihood(words, pieces))
    assert scores == sorted(scores)
    assert {"banana", "and"} <= dict(train_pieces(words, alphabet, len(alphabet) + 6)).keys()


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.text(st.sampled_from("abc好"), min_size=1, max_size=12), st.integers(1, 50), min_size=1, max_size=20), st.randoms()
)
def test_the_order_of_words_does_not_matter(words: dict[str, int], draw: random.Random) -> None:
    shuffled = list(words.items())
    draw.shuffle(shuffled)
    alphabet = ["a", "b", "c", "好"]
    assert train_pieces(words, alphabet, 12) == train_pieces(dict(shuffled), alphabet, 12)


def test_logarithms_are_near_the_library_s() -> None:
    values = np.concatenate([10.0 ** np.arange(-300, 300, 7), np.linspace(0.4, 2.1, 999)])
    assert np.allclose(log2(values), np.log2(values), rtol=1e-13, atol=1e-12)
    assert log2(np.zeros(1))[0] == -math.inf
