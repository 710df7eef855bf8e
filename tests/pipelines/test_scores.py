"""Scores by hand-made cases of the CoNLL 2018 shared task's rules."""

import pytest

from pipelines.annotate.conllu import Sentence, Token, Word
from pipelines.annotate.scores import Counts, Scores, compare, of_gold, of_system


def gold(*sentences: str) -> list[Sentence]:
    """Words `form/TAG` separated by spaces; a token of several words is `form=form/TAG+form/TAG`."""

    def token(text: str) -> Token:
        form, _, inside = text.rpartition("=")
        words = tuple(Word(*piece.split("/")) for piece in inside.split("+"))
        return Token(form or words[0].form, words, True)

    return [Sentence(None, tuple(map(token, sentence.split())), False, False) for sentence in sentences]


def system(text: str, *sentences: str) -> tuple[str, list[tuple[int, int, str | None]], list[int]]:
    """Words `form/TAG` as they follow each other in `text`."""
    words: list[tuple[int, int, str | None]] = []
    ends, at = [], 0
    for sentence in sentences:
        for piece in sentence.split():
            form, _, tag = piece.partition("/")
            start = text.index(form, at)
            at = start + len(form)
            words.append((start, at, tag or None))
        ends.append(at)
    return text, words, [*ends[:-1], len(text)]


def scored(wanted: list[Sentence], found: tuple[str, list[tuple[int, int, str | None]], list[int]]) -> Scores:
    return compare(of_gold(wanted), of_system(*found))


def test_what_is_right_is_right() -> None:
    found = scored(gold("A/DET dog/NOUN", "runs/VERB"), system("A dog runs", "A/DET dog/NOUN", "runs/VERB"))
    assert found == Scores(Counts(3, 3, 3), Counts(2, 2, 2), Counts(3, 3, 3))
    assert found.words.f1 == found.sentences.f1 == found.upos.f1 == 1


def test_white_space_never_counts_but_boundaries_do() -> None:
    found = scored(gold("ab/X c/X d/X"), system("a b\nc d", "a/X b/X c/X", "d/Y"))
    assert found == Scores(Counts(3, 4, 2), Counts(1, 2, 0), Counts(3, 4, 1))
    assert found.words.f1 == pytest.approx(2 * 2 / 7)


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("I/X do/AUX n't/PART go/X", 4),
        ("I/X don't/AUX go/X", 2),
        ("I/X Do/AUX n't/X go/X", 4),
        ("I/X don/X 't/X go/X", 2),
        ("Idon't/X go/X", 1),
    ],
)
def test_words_of_a_multiword_token_are_aligned_by_form(words: str, right: int) -> None:
    text = "Idon't go" if words.startswith("Idon") else "I Don't go" if "Do/" in words else "I don't go"
    wanted = gold(("I/X Don't=" if "Do/" in words else "I/X don't=") + "do/AUX+n't/PART go/X")
    found = scored(wanted, system(text, words))
    assert found.words == Counts(4, len(words.split()), right)


def test_a_token_whose_words_are_not_its_pieces() -> None:
    found = scored(gold("il/PRON va/VERB au=à/ADP+le/DET bar/NOUN"), system("il va au bar", "il/PRON va/VERB au/ADP bar/NOUN"))
    assert found.words == Counts(5, 4, 3)


def test_a_word_without_a_gold_tag_is_never_rightly_tagged() -> None:
    sentence = Sentence(None, (Token("a", (Word("a", None),), True),), False, False)
    assert scored([sentence], system("a", "a")).upos == Counts(1, 1, 0)


def test_counts_add_up_over_texts_and_other_texts_are_refused() -> None:
    one = scored(gold("a/X"), system("a", "a/X"))
    assert one + one == Scores(Counts(2, 2, 2), Counts(2, 2, 2), Counts(2, 2, 2))
    assert Scores().words.f1 == 0
    with pytest.raises(ValueError, match="isn't the gold text"):
        scored(gold("a/X"), system("b", "b/X"))
