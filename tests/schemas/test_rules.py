"""Rules settle to plain thresholds: packs give way to what is said beside them, and a source's rules go over the corpus'."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.recipe import Corpus, Rules
from schemas.recipe.rule_packs import PACKS, thresholds_of
from schemas.recipe.rules import THRESHOLDS, settled


def plain(rules: dict[str, Rules]) -> dict[str, dict[str, Any]]:
    """What each language's rules ask, without what they don't."""
    return {lang: {k: getattr(one, k) for k in THRESHOLDS if getattr(one, k) is not None} for lang, one in rules.items()}


def asked(rules: dict[str, Rules], lang: str) -> dict[str, Any]:
    """What a document of a language is asked."""
    return plain({lang: rules.get(lang, rules.get("default", Rules()))})[lang]


def test_a_pack_is_written_out_and_what_stands_beside_it_holds() -> None:
    said = Rules.model_validate({"packs": ["fineweb2"], "min_words": 10, "min_stop_words": None, "max_symbols": 0.3})
    (found,) = plain(settled({"zh": said}, {})).values()
    expected = {**thresholds_of("fineweb2", "zh"), "min_words": 10, "max_symbols": 0.3}
    del expected["min_stop_words"]
    assert found == expected


def test_of_packs_that_disagree_the_later_holds() -> None:
    found = settled({"zh": Rules(packs=("gopher_repetition", "standard"))}, {})["zh"]
    assert (found.max_duplicate_5gram, found.max_top_2gram) == (0.35, 0.256)


def test_packs_of_default_are_each_languages_own() -> None:
    found = plain(settled({"default": Rules(packs=("gopher_quality",), max_digits=0.2)}, {}))
    assert found.keys() == {"default", "en", "zh"}
    assert found["zh"]["max_mean_word_length"] == 5 and found["en"]["max_mean_word_length"] == 10
    assert "min_stop_words" not in found["default"]
    assert all(rules["max_digits"] == 0.2 for rules in found.values())


def test_a_sources_rules_go_over_the_corpus_key_by_key() -> None:
    rules = {"zh": Rules(min_words=5, max_digits=0.2), "default": Rules(min_words=50)}
    of_source = {"zh": Rules.model_validate({"max_digits": None}), "default": Rules(max_symbols=0.1)}
    assert plain(settled(rules, of_source)) == {"zh": {"min_words": 5}, "default": {"min_words": 50, "max_symbols": 0.1}}
    assert plain(settled(rules, {"default": Rules(min_words=1)})) == {
        "zh": {"min_words": 1, "max_digits": 0.2},
        "default": {"min_words": 1},
    }


def test_a_source_can_do_without_a_pack() -> None:
    found = settled({"default": Rules(packs=("standard",))}, {"default": Rules.model_validate({"packs": []})})
    assert plain(found) == {"default": {}}


LIMITS = st.none() | st.integers(0, 1)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "packs": st.lists(st.sampled_from([pack for pack in PACKS if pack != "fineweb2"]), max_size=2),
        "min_words": LIMITS,
        "max_digits": LIMITS,
        "min_stop_words": LIMITS,
        "max_top_3gram": LIMITS,
    },
)
BY_LANGUAGE = st.dictionaries(st.sampled_from(["default", "en", "zh", "fr"]), SAID.map(Rules.model_validate))


@given(BY_LANGUAGE, BY_LANGUAGE)
def test_settled_rules_settle_to_themselves_also_when_they_come_back_from_json(
    rules: dict[str, Rules], of_source: dict[str, Rules]
) -> None:
    def back(settled_rules: dict[str, Rules]) -> dict[str, Rules]:
        return {lang: Rules.model_validate_json(one.model_dump_json()) for lang, one in settled_rules.items()}

    of_corpus, found = settled(rules, {}), settled(rules, of_source)
    assert not any(one.packs for one in found.values())
    again = settled(back(of_corpus), back(found) if of_source else {})
    for lang in ("default", "en", "zh", "fr", "de"):  # a language that is listed may ask what default asks
        assert asked(again, lang) == asked(found, lang)


def corpus(rules: dict[str, Any], of_source: dict[str, Any]) -> Corpus:
    source = {"name": "web", "path": "raw", "format": "txt", "rules": of_source}
    return Corpus.model_validate({"sources": [source], "rules": rules})


@pytest.mark.parametrize(
    ("rules", "of_source", "told"),
    [
        ({"de": {"packs": ["fineweb2"]}}, {}, "rules.de.packs: fineweb2 has nothing for 'de'; it is for zh"),
        ({}, {"chinese": {}}, "sources.0..rules.chinese: not a language code .* did you mean 'zh'"),
        ({"en": {"packs": ["gopher"]}}, {}, "Input should be 'gopher_quality'"),
        ({"en": {"max_top_5gram": 1}}, {}, "Extra inputs"),
    ],
)
def test_wrong_rules_are_refused(rules: dict[str, Any], of_source: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        corpus(rules, of_source)


def test_rules_without_packs_are_told_as_they_ever_were() -> None:
    told = corpus({"en": {"min_words": 5}}, {}).model_dump(mode="json")
    assert told["rules"]["en"] == {
        "min_chars": None, "min_words": 5, "max_words": None, "min_mean_word_length": None, "max_mean_word_length": None,
        "min_alphabetic": None, "max_digits": None, "max_symbols": None, "min_lines_end_punctuation": None, "max_new_lines": None,
        "max_duplicate_lines": None, "max_top_2gram": None, "min_lang_score": None,
    }  # fmt: skip
    assert "rules" not in told["sources"][0]
