"""Gold files are read as the format says; what isn't CoNLL-U is refused by file and line."""

import gzip
from pathlib import Path

import pytest

from pipelines.annotate.conllu import Token, Word, gold_texts, read
from schemas.errors import RequestError

ROW = "{}\t{}\t_\t{}\t_\t_\t_\t_\t_\t{}\n"


def row(name: str, form: str, upos: str = "X", misc: str = "_") -> str:
    return ROW.format(name, form, upos, misc)


TWO = (
    "# newdoc id = d1\n# newpar\n# text = I don't.\n"
    + row("1", "I", "PRON")
    + row("2-3", "don't", "_", "SpaceAfter=No")
    + row("2", "do", "AUX")
    + row("3", "n't", "PART")
    + row("3.1", "go", "VERB")
    + row("4", ".", "PUNCT", "Foo=Bar|SpaceAfter=No")
    + "\n# a remark\n"
    + row("1", "#", "SYM", "SpaceAfter=No")
    + row("2", "Yes", "_")
    + "\n"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "gold.conllu"
    path.write_text(text, encoding="utf-8")
    return path


def test_tokens_words_spaces_and_comments(tmp_path: Path) -> None:
    first, second = read(written(tmp_path, TWO))
    assert first.text == "I don't." and first.begins_document and first.begins_paragraph
    assert first.tokens == (
        Token("I", (Word("I", "PRON"),), True),
        Token("don't", (Word("do", "AUX"), Word("n't", "PART")), False),
        Token(".", (Word(".", "PUNCT"),), False),
    )
    assert second.text is None and not second.begins_document and not second.begins_paragraph
    assert second.tokens == (Token("#", (Word("#", "SYM"),), False), Token("Yes", (Word("Yes", None),), True))


def test_a_compressed_file_and_one_without_a_last_blank_line_are_the_same(tmp_path: Path) -> None:
    packed = tmp_path / "gold.conllu.gz"
    packed.write_bytes(gzip.compress(TWO.rstrip("\n").encode()))
    assert list(read(packed)) == list(read(written(tmp_path, TWO)))


def test_texts_are_documents_joined_as_the_file_says(tmp_path: Path) -> None:
    one = row("1", "One", misc="_") + row("2", ".", misc="_") + "\n"
    near = one.replace("\t_\n\n", "\tSpaceAfter=No\n\n")
    text = f"{one}# newpar\n# text = Two.\n{one}# newdoc\n{one}# text = Three.\n{near}{one}"
    sentences = list(read(written(tmp_path, text)))
    assert [found for found, _ in gold_texts(sentences, "en")] == ["One .\n\nTwo.", "One . Three.One ."]
    assert [found for found, _ in gold_texts(sentences, "zh")] == ["One.\n\nTwo.", "One.Three.One."]
    assert [len(found) for _, found in gold_texts(sentences, "en")] == [2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain text\n", "gold.conllu:1: not CoNLL-U: 1 columns"),
        (TWO + row("one", "x"), "gold.conllu:15: not CoNLL-U: 'one' is no word number"),
        (row("1", "x", "NN"), "gold.conllu:1: not CoNLL-U: 'NN' is no universal part of speech"),
        (row("2-1", "x", "_"), "gold.conllu:1: not CoNLL-U: '2-1' holds no words"),
        (row("1-2", "xy", "_") + row("1", "x") + "\n", "gold.conllu:3: not CoNLL-U: the sentence ends inside of the token 'xy'"),
        (row("1-2", "xy", "_"), "gold.conllu:1: not CoNLL-U: the file ends inside of the token 'xy'"),
    ],
)
def test_what_is_not_conllu_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        list(read(written(tmp_path, text)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="none.conllu: cannot be read: No such file"):
        list(read(tmp_path / "none.conllu"))
    for name, data in (("a.conllu", b"\xff\xfe"), ("b.conllu.gz", b"no gzip"), ("c.conllu.gz", gzip.compress(TWO.encode())[:40])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RequestError, match=name):
            list(read(tmp_path / name))
