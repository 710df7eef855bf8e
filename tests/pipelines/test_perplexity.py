"""Perplexity by an ARPA file is what the back-off recursion, followed word by word, gives."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rules.perplexity import perplexities
from schemas.errors import RequestError
from schemas.recipe import NgramModel

ARPA = """\
\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.3
-1.1\t</s>
-0.6\ta\t-0.2
-0.7\tb\t-0.4
-0.9\t好\t-0.1

\\2-grams:
-0.5\t<s> a\t-0.15
-0.4\ta b\t-0.25
-0.8\tb a
-0.3\tb </s>
-0.2\t好 好\t-0.05

\\3-grams:
-0.1\t<s> a b
-0.35\ta b </s>

\\end\\
"""


def grams() -> dict[tuple[str, ...], tuple[float, float]]:
    found = {}
    for line in ARPA.splitlines():
        columns = line.split("\t")
        if len(columns) > 1:
            found[tuple(columns[1].split())] = float(columns[0]), float(columns[2]) if len(columns) > 2 else 0.0
    return found


GRAMS = grams()


def log_probability(word: str, context: tuple[str, ...]) -> float:
    if (*context, word) in GRAMS:
        return GRAMS[*context, word][0]
    return GRAMS.get(context, (0, 0.0))[1] + log_probability(word, context[1:])


def reference(text: str) -> float:
    total, count = 0.0, 0
    for line in text.split("\n"):
        words = [word if (word,) in GRAMS else "<unk>" for word in line.split()]
        sentence = ["<s>", *words, "</s>"] if words else []
        for at in range(1, len(sentence)):
            total += log_probability(sentence[at], tuple(sentence[max(0, at - 2) : at]))
            count += 1
    return 10 ** (-total / count) if count else math.nan


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arpa") / "m.arpa"
    path.write_text(ARPA)
    return path


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "好", "\n", "</s>", "\n\n"]), max_size=12).map(" ".join), max_size=4))
@settings(deadline=None)
def test_it_is_the_back_off_recursions(model: Path, texts: list[str]) -> None:
    found = perplexities({"default": NgramModel(path=str(model))}, texts, ["en"] * len(texts))
    assert found == pytest.approx([reference(text) for text in texts], rel=1e-5, nan_ok=True)


def test_a_sentence_worked_out_by_hand(model: Path) -> None:
    by_hand = 10 ** ((0.5 + 0.1 + 0.35) / 3)  # <s> a; <s> a b; a b </s>
    assert perplexities({"en": NgramModel(path=str(model))}, ["a b"], ["en"]) == pytest.approx([by_hand])


def test_characters_can_be_its_units(model: Path) -> None:
    characters = NgramModel(path=str(model), unit="character")
    assert perplexities({"zh": characters}, ["好好a"], ["zh"]) == pytest.approx([reference("好 好 a")])


def test_only_languages_with_a_model_are_scored(model: Path) -> None:
    found = perplexities({"zh": NgramModel(path=str(model), unit="character")}, ["a b", "好", " \n"], ["en", "zh", "zh"])
    assert np.isnan(found).tolist() == [True, False, True]


def test_gz_is_read_too(model: Path, tmp_path: Path) -> None:
    (tmp_path / "m.arpa.gz").write_bytes(gzip.compress(ARPA.encode()))
    plain, packed = (
        perplexities({"en": NgramModel(path=str(path))}, ["a b c"], ["en"]).tolist() for path in (model, tmp_path / "m.arpa.gz")
    )
    assert plain == packed


@pytest.mark.parametrize(
    "content",
    [b"\x7fmmap lm http://kheafield.com/code", ARPA.replace("\\end\\", "").encode(), ARPA.replace("\ta b\t", "\tb\t").encode(), b""],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.arpa").write_bytes(content)
    with pytest.raises(RequestError, match=r"m.arpa: can't be read as an n-gram model in ARPA format"):
        perplexities({"en": NgramModel(path=str(tmp_path / "m.arpa"))}, ["a"], ["en"])
