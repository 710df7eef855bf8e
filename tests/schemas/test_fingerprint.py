"""Equal identities have equal fingerprints, and differences are explained."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.fingerprint import Identity, canonical_json, explain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def identity(**changes: Any) -> Identity:
    fields: dict[str, Any] = {
        "step": "documents",
        "version": 1,
        "settings": {"rules": {"en": {"min_words": 50}}, "sources": [{"name": "web", "lang": None}, {"name": "books", "lang": "en"}]},
        "inputs": {"sources": "a" * 64},
        "engines": {"ftfy": "6.3.1"},
    }
    return Identity(**{**fields, **changes})


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_order_of_keys_never_counts(settings: dict[str, Any]) -> None:
    turned = dict(reversed(settings.items()))
    assert identity(settings=settings).fingerprint == identity(settings=turned).fingerprint


@given(st.dictionaries(st.text(max_size=3), values, max_size=4), st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_different_settings_have_different_fingerprints(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert (identity(settings=a).fingerprint == identity(settings=b).fingerprint) == (canonical_json(a) == canonical_json(b))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"settings": {"rules": {"en": {"min_words": 30}}, "sources": identity().settings["sources"]}},
            ["recipe corpus.rules.en.min_words 50 -> 30"],
        ),
        (
            {"settings": {**identity().settings, "sources": [{"name": "web", "lang": "zh"}, {"name": "books", "lang": "en"}]}},
            ["recipe corpus.sources[web].lang null -> zh"],
        ),
        ({"version": 2}, ["version of step documents 1 -> 2"]),
        ({"engines": {"ftfy": "6.4"}}, ["engine ftfy 6.3.1 -> 6.4"]),
        ({"inputs": {"sources": "b" * 64}}, ["input sources aaaaaaaa -> bbbbbbbb"]),
    ],
)
def test_explain_names_what_changed(changes: dict[str, Any], expected: list[str]) -> None:
    assert explain(identity(), identity(**changes), "corpus") == expected


def test_nan_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))
