"""Hugging Face `transformers` opens an artifact's folder, with equal ids, roles and decoding; and what we train as BERT's or T5's
behaves as its own classes do with the same vocabulary."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Encoding
from tokenizers import Tokenizer as Library

from pipelines import tokenizer
from schemas.recipe import Tokenizer
from tests.pipelines.documents import Document, documents_artifact, step_draft
from tests.pipelines.test_tokenizer_kinds import texts

pytestmark = pytest.mark.slow  # importing transformers takes seconds

KINDS: dict[str, dict[str, Any]] = {
    "decoder": {"vocab_size": 600, "special_tokens": {"im_end": "<|im_end|>"}},
    "han": {"vocab_size": 600, "pre_tokenizer": "han", "digits": "right"},
    "byte bert": {"vocab_size": 600, "family": "bert"},
    "bert": {"vocab_size": 600, "kind": "wordpiece"},
    "uncased": {"vocab_size": 600, "kind": "wordpiece", "lowercase": True},
    "t5": {"vocab_size": 700, "kind": "unigram"},
    "t5 unknown": {"vocab_size": 700, "kind": "unigram", "byte_fallback": False, "sentinels": 5},
}
TEXT = st.text() | st.lists(
    st.sampled_from(["the", " river", "watches", "我们", "酒店", "<|eos|>", "[SEP]", "</s>", "\n", "  ", "é", "1", "."])
).map("".join)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Committed tokenizer artifacts by name."""
    store = tmp_path_factory.mktemp("store")
    made: list[Document] = [(text, "zh" if "，很" in text else "en", "train") for text in texts()]
    documents = documents_artifact(store / "documents", [[made]])
    found = {}
    for name, options in KINDS.items():
        draft = step_draft(store / name, "tokenizer", Tokenizer(**options).model_dump(mode="json"), {"documents": documents})
        tokenizer.run(draft)
        found[name] = draft.commit([tokenizer.STAGE]).path
    return found


@cache
def opened(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(folder))


@cache
def library(folder: Path) -> Library:
    return Library.from_file(str(folder / "tokenizer.json"))


def pair_of(ours: Library, text: str, second: str) -> Encoding:
    """For transformers, an empty second text is none."""
    return ours.encode(text, second) if second else ours.encode(text)


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=60)
@given(text=TEXT, second=TEXT)
@example(text="the river  我们。\n", second="")
def test_ids_and_decoded_texts_are_equal(folders: dict[str, Path], name: str, text: str, second: str) -> None:
    theirs, ours = opened(folders[name]), library(folders[name])
    assert theirs(text)["input_ids"] == ours.encode(text).ids
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text, add_special_tokens=False).ids
    pair = pair_of(ours, text, second)
    both = theirs(text, second)
    assert both["input_ids"] == pair.ids
    if "token_type_ids" in both:
        assert both["token_type_ids"] == pair.type_ids
    for skip in (True, False):
        assert theirs.decode(pair.ids, skip_special_tokens=skip) == ours.decode(pair.ids, skip_special_tokens=skip)


@pytest.mark.parametrize("name", KINDS)
def test_roles_are_those_of_the_facts(folders: dict[str, Path], name: str) -> None:
    theirs = opened(folders[name])
    report = json.loads((folders[name] / "report.json").read_text())
    roles = {special["role"]: special["id"] for special in report["special_tokens"]}
    for role in ("bos", "eos", "pad", "unk", "cls", "sep", "mask"):
        assert getattr(theirs, f"{role}_token_id") == roles.get(role), role
    assert len(theirs) == report["vocabulary"]["tokens"]
    assert set(theirs.all_special_ids) >= set(roles.values())


def test_type_ids_are_given_where_the_family_has_them(folders: dict[str, Path]) -> None:
    assert opened(folders["bert"])("the", "river")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert "token_type_ids" not in opened(folders["t5"])("the", "river")
    assert "token_type_ids" not in opened(folders["decoder"])("the", "river")


def test_class_by_name_opens_it_too(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast.from_pretrained(str(folders["decoder"]))
    assert theirs("the river")["input_ids"] == library(folders["decoder"]).encode("the river").ids
    assert theirs.convert_tokens_to_ids("<|im_end|>") in theirs.all_special_ids


@pytest.mark.parametrize("name", ["bert", "uncased"])
@settings(deadline=None, max_examples=100)
@given(text=TEXT, second=TEXT)
def test_wordpiece_is_bert_s_own(folders: dict[str, Path], name: str, text: str, second: str) -> None:
    ours, theirs = library(folders[name]), bert_of(folders[name], name == "uncased")
    expected = theirs(text, second)
    found = pair_of(ours, text, second)
    assert (found.ids, found.type_ids) == (expected["input_ids"], expected["token_type_ids"])
    assert ours.decode(found.ids) == theirs.decode(found.ids, skip_special_tokens=True)


@cache
def bert_of(folder: Path, lower: bool) -> Any:
    from transformers import BertTokenizer

    return BertTokenizer(vocab=library(folder).get_vocab(), do_lower_case=lower)


@settings(deadline=None, max_examples=100)
@given(text=TEXT, second=TEXT)
@example(text="the <extra_id_0> river <extra_id_4>", second=" ")
def test_unigram_is_t5_s_own(folders: dict[str, Path], text: str, second: str) -> None:
    """On normal text: T5's normalizer is a table of SentencePiece's that its file carries."""
    ours, theirs = library(folders["t5 unknown"]), t5_of(folders["t5 unknown"])
    text, second = (ours.normalizer.normalize_str(part) for part in (text, second))
    found = pair_of(ours, text, second)
    assert found.ids == theirs(text, second)["input_ids"]
    assert ours.decode(found.ids) == theirs.decode(found.ids, skip_special_tokens=True)


@cache
def t5_of(folder: Path) -> Any:
    from transformers import T5Tokenizer

    pieces = [tuple(piece) for piece in json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]]
    sentinels = [f"<extra_id_{number}>" for number in reversed(range(5))]
    return T5Tokenizer(vocab=[*pieces, *((token, -1000.0) for token in sentinels)], extra_ids=5, additional_special_tokens=sentinels)
