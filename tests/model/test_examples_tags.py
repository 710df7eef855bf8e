"""Entities are the same before and after their tags are written in IOB2, whatever scheme they came in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.examples.rows import Unusable
from model.examples.tags import Scheme, as_iob2, scheme_of

Spans = list[tuple[int, str | None]]
"""Lengths and types; None is outside of entities."""


def iob2(spans: Spans) -> list[str]:
    return [tag for n, kind in spans for tag in (["O"] * n if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (n - 1)])]


def iob1(spans: Spans) -> list[str]:
    tags: list[str] = []
    for n, kind in spans:
        follows = bool(tags) and kind is not None and tags[-1].endswith(f"-{kind}")
        tags += ["O"] * n if kind is None else [f"{'B' if follows else 'I'}-{kind}", *[f"I-{kind}"] * (n - 1)]
    return tags


def iobes(spans: Spans, lone: str = "S", last: str = "E", inner: str = "I") -> list[str]:
    tags: list[str] = []
    for n, kind in spans:
        if kind is None:
            tags += ["O"] * n
        else:
            tags += [f"{lone}-{kind}"] if n == 1 else [f"B-{kind}", *[f"{inner}-{kind}"] * (n - 2), f"{last}-{kind}"]
    return tags


SPANS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, "PER", "LOC-X"])), min_size=1, max_size=8)


@given(st.lists(SPANS, min_size=1, max_size=5))
def test_all_schemes_become_iob2(sentences: list[Spans]) -> None:
    wanted = [tuple(iob2(spans)) for spans in sentences]
    entities = [span for spans in sentences for span in spans if span[1]]
    for write, scheme in ((iob2, "iob2"), (iob1, "iob1"), (iobes, "iobes")):
        tags = [write(spans) for spans in sentences]  # type: ignore[operator]
        found: Scheme = scheme_of(tags)
        assert not entities or found == scheme
        assert [as_iob2(one, found) for one in tags] == wanted
    for letters in ({"lone": "U", "last": "L"}, {"inner": "M"}):
        tags = [iobes(spans, **letters) for spans in sentences]
        assert [as_iob2(one, "iobes") for one in tags] == wanted


def test_parts_of_speech_stay_as_they_are() -> None:
    tags = [["NOUN", "X", "B-odd"], ["-LRB-", "O"]]
    assert scheme_of(tags) == "none"
    assert as_iob2(tags[0], "none") == ("NOUN", "X", "B-odd")


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["O", "I-PER"], "iob2", "word 2 has I-PER, and no entity of that type goes before it"),
        (["B-LOC", "I-PER"], "iob2", "word 2 has I-PER"),
        (["B-PER", "O"], "iobes", "word 2 has O after a tag that begins with B"),
        (["B-PER", "E-LOC"], "iobes", "word 2 has E-LOC"),
        (["S-PER", "B-LOC"], "iobes", "its entity does not end"),
        (["B-PER", "PER"], "iob2", "word 2 has 'PER', where tags are O"),
    ],
)
def test_tags_that_break_their_scheme_are_told(tags: list[str], scheme: Scheme, message: str) -> None:
    with pytest.raises(Unusable, match=message) as raised:
        as_iob2(tags, scheme)
    assert raised.value.reason == "invalid_tags"


def test_a_few_slips_do_not_change_the_scheme() -> None:
    sound = [["B-PER", "I-PER", "O"]] * 5
    assert scheme_of([*sound, ["O", "I-PER"], ["PER", "O"]]) == "iob2"
