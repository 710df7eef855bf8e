"""What is drawn in one pass is what the rule says of all texts, and few of them are held meanwhile."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from model.evaluate.drawing import draw


@dataclass(frozen=True)
class Drawn:
    """A text."""

    doc_id: bytes
    lang: str
    n_bytes: int
    text: bytes = b""


def size(text: Drawn) -> int:
    return text.n_bytes


def by_the_rule(texts: Sequence[Drawn], most: int) -> list[Drawn]:
    """The rule as it is said, over all texts at once."""
    by_language: dict[str, list[Drawn]] = {}
    for text in sorted(texts, key=lambda text: text.doc_id):
        if text.n_bytes:
            by_language.setdefault(text.lang, []).append(text)
    sizes = {lang: sum(map(size, found)) for lang, found in by_language.items()}
    chosen: dict[str, list[Drawn]] = {}
    left = most
    for done, lang in enumerate(sorted(sizes, key=lambda lang: (sizes[lang], lang))):
        room = left // (len(sizes) - done)
        chosen[lang] = []
        for text in by_language[lang]:
            if text.n_bytes <= room:
                chosen[lang].append(text)
                room -= text.n_bytes
                left -= text.n_bytes
    return [text for lang in sorted(chosen) for text in chosen[lang]]


LANGUAGES = st.sampled_from(["en", "zh", "code"])
TEXTS = st.lists(st.builds(Drawn, st.binary(min_size=2, max_size=2), LANGUAGES, st.integers(0, 30)), max_size=120)


@given(TEXTS, st.integers(1, 90))
def test_one_pass_draws_what_the_rule_says(texts: list[Drawn], most: int) -> None:
    assert draw(iter(texts), most, size) == by_the_rule(texts, most)


def test_few_texts_are_held() -> None:
    def texts() -> Iterator[Drawn]:
        for number in range(4_000):
            made = hashlib.sha256(str(number).encode()).digest()
            length = 1 + int.from_bytes(made[:2], "big") % 4000
            yield Drawn(made[:16], "en", length, bytes(length))

    tracemalloc.start()
    drawn = draw(texts(), 40_000, size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 36_000 < sum(map(size, drawn)) <= 40_000
    assert peak < 2_000_000  # of 8 MB of text
