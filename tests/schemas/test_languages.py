"""Language codes are those that identification gives; another is refused with the nearest."""

import pytest

from schemas.languages import LANGUAGES, is_language


def test_codes_of_the_model_are_known() -> None:
    assert len(LANGUAGES) == 176
    assert [is_language(code) for code in ("en", "zh", "yue", "code", "und")] == ["en", "zh", "yue", "code", "und"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("chinese", "zh"), ("English", "en"), ("zh-CN", "zh"), ("en_US", "en"), ("Germn", "de"), ("cod", "code"), ("EN", "en")],
)
def test_another_name_is_refused_with_the_nearest_code(given: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        is_language(given)


def test_a_code_that_is_like_none_is_refused() -> None:
    with pytest.raises(ValueError, match="en and zh are some"):
        is_language("xx")
