"""The fast engine inside of spaCy pipelines, found through the package's entry points."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc

from pipelines.annotate import open_annotator
from schemas.arrow import UPOS
from schemas.recipe import Annotator

TEXT = "I can't go to the U.S. now.  Mr. Smith's dog\n\nbarks! "
TEXTS = [TEXT, "", "  ", "One. Two?", "\n x"]
OURS = {"nlp": {"tokenizer": {"@tokenizers": "gristmill.FastTokenizer.v1"}}}


@pytest.fixture(scope="module")
def nlp() -> Language:
    made = spacy.blank("en", config=OURS)
    made.add_pipe("gristmill_fast")
    return made


def says(doc: Doc) -> tuple[list[str], list[int], list[str]]:
    """Words, sentence ends in bytes, and tags of a Doc."""
    words = [token for token in doc if not token.is_space]
    ends = [len(doc.text[: a.start_char].encode()) for a in list(doc.sents)[1:]]
    return [word.text for word in words], ends, [word.pos_ for word in words]


def engine_says(text: str) -> tuple[list[str], list[int], list[str]]:
    raw = text.encode()
    ends, starts, stops, pos = (column[0].as_py() for column in open_annotator(Annotator(), "en").annotate(pa.array([text], pa.string())))
    words = [raw[a:b].decode() for a, b in zip(starts, stops, strict=True)]
    return words, ends[:-1], [""] * len(words) if pos is None else [UPOS[code] for code in pos]


@pytest.mark.parametrize("text", TEXTS)
def test_a_doc_says_what_the_engine_says(nlp: Language, text: str) -> None:
    doc = nlp(text)
    assert doc.text == text
    assert says(doc)[0] == engine_says(text)[0] and says(doc)[2] == engine_says(text)[2]
    if text.strip() == text:  # spaCy may begin a sentence only at a token, and white space can be one
        assert says(doc) == engine_says(text)


def test_pipe_says_the_same(nlp: Language) -> None:
    assert [says(doc) for doc in nlp.pipe(TEXTS, batch_size=2)] == [says(nlp(text)) for text in TEXTS]


def test_sentences_and_tags_are_set_over_the_words_of_another_tokenizer() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("gristmill_fast")
    doc = nlp("Hello there, Mr. Smith. It's me!")
    assert [sentence.text for sentence in doc.sents] == ["Hello there, Mr. Smith.", "It's me!"]


def test_given_words_are_kept(nlp: Language) -> None:
    doc = nlp.get_pipe("gristmill_fast")(Doc(nlp.vocab, words=["Can", "not", ".", "Yes"], spaces=[True, False, True, False]))
    assert [token.is_sent_start for token in doc] == [True, False, False, True]


def test_a_saved_pipeline_says_the_same(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "saved")
    assert says(spacy.load(tmp_path / "saved")(TEXT)) == says(nlp(TEXT))
    again = spacy.blank("en", config=OURS)
    again.add_pipe("gristmill_fast")
    assert says(again.from_bytes(nlp.to_bytes())(TEXT)) == says(nlp(TEXT))


def test_the_standard_is_an_option() -> None:
    nlp = spacy.blank("zh", config={"nlp": {"tokenizer": {"@tokenizers": "gristmill.FastTokenizer.v1", "standard": "dictionary"}}})
    nlp.add_pipe("gristmill_fast", config={"standard": "dictionary"})
    doc = nlp("我们去北京。你呢？")
    assert [token.text for token in doc] == ["我们", "去", "北京", "。", "你", "呢", "？"]
    assert [a.text for a in doc.sents] == ["我们去北京。", "你呢？"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text() | st.text(st.sampled_from("ab. \n\t'é😀\u200d好!\"")), max_size=4))
def test_any_text_makes_a_doc(nlp: Language, texts: list[str]) -> None:
    for text, doc in zip(texts, nlp.pipe(texts), strict=True):
        assert doc.text == text
        assert says(doc)[0] == engine_says(text)[0]
        assert all(a.end == b.start for a, b in pairwise(doc.sents))
