"""Whatever engine computes them, ids are the reference's: on any text, at any cut, and when the engine is wrong."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pipelines.encode import Encoder, open_encoder, train
from pipelines.encode.gigatoken_engine import Refused, for_gigatoken, open_probe
from pipelines.encode.patterns import PATTERNS
from pipelines.encode.probes import probe_texts
from pipelines.encode.proof import DIFFERS, HAN, LETTER, SAME, UNKNOWN, Encode, Proof, with_pieces
from pipelines.encode.proven import Proven
from pipelines.encode.seams import FIRST, LAST, Seams, byte_alphabet, bytes_of_tokens
from pipelines.encode.utf8 import codes_at
from schemas.errors import RequestError

TEXT = (
    "It's 1290 things, and (all) that's 中好好，中好。！他说：“今天天气不错！”我们去公园吧。的确是不错的书\n\n  a\tb\n好中 ab's ÉÉ ## \r\n"
    "def f(x):\n    return x ** 2 + 好的  # 注释 😀 e\u0301\n"
)
SPECIAL = ["<|bos|>", "<|eos|>", "<|pad|>"]


def tokenizer_file(folder: Path, name: str = "cl100k", digits: str = "threes", size: int = 620) -> Path:
    path = folder / f"{name}-{digits}.json"
    texts = [TEXT, *probe_texts()] * 3
    path.write_text(train(texts, size, SPECIAL, PATTERNS[name, digits].regex).to_str(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer_file(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def proven(path: Path) -> Proven:
    encoder = open_encoder(path, "gigatoken")
    assert isinstance(encoder, Proven)
    return encoder


def column(texts: list[str]) -> pa.StringArray:
    return pa.array(texts, pa.string())


def ids_of(count: int) -> pa.FixedSizeBinaryArray:
    return pa.array([bytes([number % 256]) * 16 for number in range(count)], pa.binary(16))


def assert_equal(proven: Proven, texts: list[str]) -> None:
    expected, found = proven.reference.encode_column(column(texts)), proven.encode_column(column(texts), ids_of(len(texts)))
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.sizes.tolist() == expected.sizes.tolist() == [len(text.encode()) for text in texts]
    assert proven.trusted


RUNS = st.builds(
    lambda unit, count: unit * count, st.sampled_from(["好", "的确", "s", "a中", "é", "1", "ab'", "=", "ſ"]), st.integers(100, 700)
)
PIECES = st.text(st.sampled_from("ab中好的确是'sS .,，。！\n\r\t 1290é#(\u3000\u0301ß²ſ")) | st.text(max_size=20) | RUNS


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=5))
@example(["'" + "s" * 600 + " 's" + "好" * 600, "的确是"])
@example(["好" * 300, "好" * 300, "", "好" * 257])
@example(["好\r好的确\r\n是", "\r", "是\r"])
@example(["\U0001df00\U0001e4d0\u1c89\ua7dc a", "中\u31f0"])
def test_any_texts_have_the_references_ids(proven: Proven, texts: list[str]) -> None:
    assert_equal(proven, texts)


def test_probe_texts_cover_every_category_and_are_the_same_each_time() -> None:
    import unicodedata

    texts = probe_texts.__wrapped__()
    assert texts == probe_texts()
    assert {unicodedata.category(chr(code)) for code in range(0x20000)} - {"Cs"} <= {unicodedata.category(c) for t in texts for c in t}


@pytest.mark.parametrize("digits", ["threes", "single"])
def test_what_it_can_run_is_run(tmp_path: Path, digits: str) -> None:
    encoder = open_encoder(tokenizer_file(tmp_path, digits=digits))
    assert isinstance(encoder, Proven)
    assert encoder.engine.startswith("gigatoken ") and encoder.version.startswith("tokenizers ")
    assert_equal(encoder, [TEXT * 3, "好" * 1000, "x" * 1000])


def test_o200k_runs_without_cuts_and_leaves_long_runs_to_the_reference(tmp_path: Path) -> None:
    encoder = open_encoder(tokenizer_file(tmp_path, "o200k"))
    assert isinstance(encoder, Proven)
    assert_equal(encoder, [TEXT, "好" * 1000, "aB" * 300])
    assert encoder.checks["by the reference: run of letters"] == 2


@pytest.mark.parametrize("name", ["indent", "han"])
def test_what_it_cannot_run_is_left_to_the_reference(tmp_path: Path, name: str) -> None:
    path = tokenizer_file(tmp_path, name)
    assert isinstance(open_encoder(path), Encoder)
    with pytest.raises(RequestError, match="Unknown pre_tokenizer.* Take `auto` or `tokenizers`"):
        open_encoder(path, "gigatoken")


def test_tokenizers_that_change_the_text_are_refused(path: Path, tmp_path: Path) -> None:
    document = json.loads(path.read_text())
    other = tmp_path / "nfc.json"
    other.write_text(json.dumps({**document, "normalizer": {"type": "NFC"}}))
    assert isinstance(open_encoder(other), Encoder)
    with pytest.raises(Refused, match="without normalizer"):
        Proven(Encoder(other))
    added = [{**token, "special": False} for token in document["added_tokens"]]
    other.write_text(json.dumps({**document, "added_tokens": added}))
    with pytest.raises(Refused, match="added tokens"):
        Proven(Encoder(other))


@pytest.mark.parametrize("digits", ["threes", "single"])
@pytest.mark.slow
def test_the_pattern_is_cut_alike_in_every_string_of_six(tmp_path: Path, digits: str) -> None:
    """The proof at start stops at four characters; this goes on, over one character a class."""
    document = Encoder(tokenizer_file(tmp_path, digits=digits)).document
    strings = ["".join(found) for found in product("a'1. \n", repeat=6)]
    proof = Proof(document, for_gigatoken(document), open_probe, r"\p{L}")
    pieces = {string[:n] for string in strings for n in range(1, 7)}
    reference, engine = proof._open(lambda given: with_pieces(given, pieces))
    assert reference(strings) == engine(strings)


def test_code_points_are_proved_once_and_the_ones_that_differ_are_known(path: Path) -> None:
    document = Encoder(path).document
    opened = for_gigatoken(document)
    proof = Proof(document, opened, open_probe, r"\p{L}")
    codes = np.array([0x41, 0x31, 0x20, 0xE9, 0x4E2D, 0x3002, 0x1F600], np.uint32)
    proof.learn(codes)
    assert (proof.flags[codes] & SAME).all() and not (proof.flags[codes] & DIFFERS).any()
    other = {**opened, "pre_tokenizer": json.loads(json.dumps(opened["pre_tokenizer"]).replace("{1,3}", ""))}
    wrong = Proof(document, other, open_probe, r"\p{L}")
    assert not wrong.holds_for_pattern()


def test_ideographs_are_proved_in_runs_as_they_would_be_one_by_one(path: Path) -> None:
    document = Encoder(path).document
    opened = for_gigatoken(document)
    together, apart = (Proof(document, opened, open_probe, r"\p{L}") for _ in range(2))
    together.learn_han()
    ideographs = np.arange(FIRST, LAST + 1, dtype=np.uint32)
    apart.learn(ideographs)
    assert (together.flags[ideographs] == SAME | LETTER | HAN).all()
    assert np.array_equal(together.flags, apart.flags)


def test_a_run_with_an_ideograph_that_is_no_letter_to_an_engine_is_left_to_be_looked_at(path: Path) -> None:
    document = Encoder(path).document
    blind = json.loads(json.dumps(document).replace(r"\\p{L}{1,256}", r"[\\p{L}&&[^\u4e2d]]{1,256}"))
    assert blind != document

    def by_the_library(given: str) -> Encode:
        library = Tokenizer.from_str(given)
        return lambda texts: [library.encode(text, add_special_tokens=False).ids for text in texts]

    proof = Proof(document, blind, by_the_library, r"\p{L}")
    proof.learn_han()
    assert proof.flags[0x4E2D] == UNKNOWN and proof.flags[0x597D] == SAME | LETTER | HAN
    proof.learn(np.array([0x4E2D], np.uint32))
    assert proof.flags[0x4E2D] == DIFFERS


def test_every_code_point_goes_the_right_way(proven: Proven) -> None:
    """Code points of all of Unicode, in texts of a few: ids are equal, and what the engines class differently went to the reference."""
    codes = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    some = codes[:0x600] + codes[0x600:0x20000:13] + codes[0x20000::997]
    texts = ["".join(f"a{chr(code)}1 {chr(code)}" for code in some[at : at + 8]) for at in range(0, len(some), 8)]
    assert_equal(proven, texts)
    differing = np.flatnonzero(proven._proof.flags & DIFFERS)
    assert proven.checks["by the reference: code point"] >= differing.size / 8


def test_an_engine_that_is_found_out_is_not_used_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_encoder(path)
    assert isinstance(encoder, Proven)
    right = encoder._engine.encode

    def wrong(*given: Any) -> tuple[Any, Any]:
        ids, counts = right(*given)
        ids = ids.copy()
        ids[0], ids[1] = ids[1], ids[0]  # of the same length together: only comparing ids can tell
        return ids, counts

    monkeypatch.setattr(encoder._engine, "encode", wrong)
    texts = column(["ab cd ef", TEXT])
    assert encoder.encode_column(texts).ids.tolist() != encoder.reference.encode_column(texts).ids.tolist()
    assert encoder.encode_column(texts, ids_of(2)).ids.tolist() == encoder.reference.encode_column(texts).ids.tolist()
    assert not encoder.trusted
    assert encoder.encode_column(texts).ids.tolist() == encoder.reference.encode_column(texts).ids.tolist()
    assert encoder.checks["by the reference: sample"] == 4


def test_a_text_of_another_length_goes_to_the_reference(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_encoder(path)
    assert isinstance(encoder, Proven)
    right = encoder._engine.encode

    def short(*given: Any) -> tuple[Any, Any]:
        ids, counts = right(*given)
        counts = counts.copy()
        counts[1] -= 1
        return ids[:-1], counts

    monkeypatch.setattr(encoder._engine, "encode", short)
    texts = column(["fine", TEXT])
    assert encoder.encode_column(texts).ids.tolist() == encoder.reference.encode_column(texts).ids.tolist()
    assert encoder.checks["by the reference: length"] == 1


LONG = st.lists(PIECES | st.just(TEXT), min_size=4, max_size=12).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.just("") | PIECES | LONG, max_size=5))
@example(["", "好" * 1000, "", "'" + "s" * 700 + " " + TEXT, ""])
def test_long_texts_are_encoded_in_stretches(proven: Proven, monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    with monkeypatch.context() as patch:
        whole = proven.reference.encode_column(column(texts))
        patch.setattr("pipelines.encode.stretches.STRETCH_CHARS", 20)
        patch.setattr("pipelines.encode.utf8.BLOCK_BYTES", 100)
        found = proven.encode_column(column(texts), ids_of(len(texts)))
    assert found.ids.tolist() == whole.ids.tolist() and found.counts.tolist() == whole.counts.tolist()
    assert found.sizes.tolist() == [len(text.encode()) for text in texts]


def test_a_token_that_merges_never_make_is_no_trap(path: Path, tmp_path: Path) -> None:
    """With `ignore_merges` a whole piece may be a token: at seams new pieces would come to be."""
    document = json.loads(path.read_text())
    model = document["model"]
    shown = {byte: character for character, byte in byte_alphabet().items()}
    unmade = "".join(shown[byte] for byte in "龠龡".encode())
    model["vocab"] |= {unmade: len(model["vocab"])}
    trap = tmp_path / "trap.json"
    trap.write_text(json.dumps({**document, "model": {**model, "ignore_merges": True}}))
    encoder = open_encoder(trap)
    assert isinstance(encoder, Proven)
    assert_equal(encoder, ["龠龡", "。龠龡", "的龠龡的", "确龠龡是龠龡的"])
    assert len(encoder.encode(["龠龡"])[0]) == 1 and len(encoder.encode(["的龠龡的"])[0]) > 3


def test_opening_the_engine_anew_changes_nothing(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    before = proven.encode([TEXT])[0].tolist()
    opened = proven._engine._tokenizer
    monkeypatch.setattr("pipelines.encode.gigatoken_engine.GROWTH", -(1 << 40))
    assert proven.encode([TEXT])[0].tolist() == before
    assert proven._engine._tokenizer is not opened


def test_a_column_may_be_a_slice(proven: Proven) -> None:
    texts = ["aaa", TEXT, "中好好", "", "é" * 5]
    whole = pa.array(texts)
    expected = proven.encode_column(whole.slice(1, 3), ids_of(5).slice(1, 3))
    assert expected.ids.tolist() == proven.encode_column(column(texts[1:4])).ids.tolist()
    assert proven.encode_column(whole.slice(2, 0)).ids.size == 0


@settings(deadline=None)
@given(st.text())
def test_code_points_are_read_from_the_bytes(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    assert codes_at(data, np.flatnonzero(data >= 0xC0)).tolist() == [ord(c) for c in text if ord(c) >= 0x80]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("中好的确是书，".encode()), min_size=1, max_size=5).map(bytes), max_size=8),
    st.text("中好的确是书", max_size=12),
)
def test_no_token_crosses_a_seam(tokens: list[bytes], text: str) -> None:
    codes = np.array([ord(c) for c in text], np.uint32)
    if codes.size < 2:
        return
    seams = Seams(tokens).between(codes, np.ones(codes.size, bool))
    data = text.encode()
    for at in np.flatnonzero(seams).tolist():
        place = 3 * (at + 1)
        for token in tokens:
            for start in range(max(0, place - len(token) + 1), place):
                assert data[start : start + len(token)] != token or start + len(token) <= place


def test_bytes_of_tokens_are_those_of_the_texts(proven: Proven) -> None:
    vocabulary = bytes_of_tokens(proven.reference.tokens)
    ids, _ = proven.encode([TEXT])
    assert b"".join(vocabulary[number] for number in ids.tolist()) == TEXT.encode()
