"""Evaluation files: every text under a field is an item with a label; what can't be read names file, row, key and remedy."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from pipelines.contamination.evaluation_sets import file_digest, read_items
from pipelines.contamination.index import build
from schemas.errors import RequestError
from schemas.recipe import Clean, Decontaminate, EvaluationSet

SQUAD = {
    "version": "1",
    "data": [{"title": "t", "paragraphs": [{"context": "第一段", "qas": [{"id": "q1", "question": "谁？"}]}, {"context": "B", "qas": []}]}],
}


def read(path: Path, **settings: object) -> list[tuple[str, str]]:
    chosen = EvaluationSet(**{"name": "e", "path": str(path), "format": path.name.split(".")[1], **settings})
    return [tuple(item) for item in read_items(chosen, path, Decontaminate(sets=(chosen,)))]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_text_under_a_field_is_an_item(tmp_path: Path) -> None:
    squad = write(tmp_path, "a.json", json.dumps(SQUAD))
    assert read(squad, fields=("paragraphs.context", "paragraphs.qas.question")) == [
        ("e row 1 paragraphs[0].context", "第一段"),
        ("e row 1 paragraphs[1].context", "B"),
        ("e q1 paragraphs[0].qas[0].question", "谁？"),
    ]
    lines = write(tmp_path, "b.jsonl", '{"n": 7, "q": "one", "choices": ["x", null, ""]}\n\n{"n": 8, "q": null, "choices": []}\n')
    assert read(lines, fields=("q", "choices"), id_field="n") == [("e 7 q", "one"), ("e 7 choices[0]", "x")]
    table = write(tmp_path, "c.csv", '\ufeffid,question\r\na,"two\r\nlines"\r\nb,three\r\n')
    assert read(table, fields=("question",)) == [("e a question", "two\r\nlines"), ("e b question", "three")]
    assert read(write(tmp_path, "d.txt", "\ufeffone\n\n two \n")) == [("e row 1", "one"), ("e row 3", "two")]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.txt.gz", gzip.compress(b"one\ntwo\n"))) == [("e row 1", "one"), ("e row 2", "two")]
    assert read(write(tmp_path, "a.txt.zst", zstandard.compress(b"one\n")))[0] == ("e row 1", "one")


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        ("a.jsonl", '{"q": "x"}\n{"r": "y"}\n', ("q",), r"a\.jsonl: row 2: has no key 'q'; there is 'r'\. Correct .*fields"),
        ("a.jsonl", '{"q": "x"}\n{"q": 5}\n', ("q",), r"a\.jsonl: row 2: key 'q' holds a number, not text"),
        ("a.jsonl", '{"q": {"x": 1}}\n', ("q",), r"a\.jsonl: row 1: key 'q' holds an object, not text"),
        ("a.jsonl", '{"q": ["x", ["y", 1]]}\n', ("q",), r"a\.jsonl: row 1: key 'q\[1\]\[1\]' holds a number"),
        ("a.jsonl", '{"q": "x"}\n{"q": "x"\n', ("q",), r"a\.jsonl: row 2: not valid JSON"),
        ("a.jsonl", "[1]\n", ("q",), r"a\.jsonl: row 1: is a list, not an object"),
        ("a.jsonl", "", ("q",), r"a\.jsonl: holds no text at all"),
        ("a.json", '{"rows": []}', ("q",), r"a\.json: is an object; want a list of objects"),
        ("a.json", '[{"q": "x"}, {"p": {"c": "y"}}]', ("p.c",), r"a\.json: row 1: has no key 'p'; there is 'q'"),
        ("a.json", '[{"p": [{"d": "y"}]}]', ("p.c",), r"a\.json: row 1: has no key 'p\[0\]\.c'; there is 'd'"),
        ("a.json", '[{"p": "text"}]', ("p.c",), r"a\.json: row 1: key 'p' holds a string, not an object"),
        ("a.json", "[{", ("q",), r"a\.json: line 1: not valid JSON"),
        ("a.csv", "q,r\nx,y\nz\n", ("q",), r"a\.csv: row 3: has other columns than the header \('q', 'r'\)"),
        ("a.csv", 'q,r\nx,"y\n', ("q",), r"a\.csv: row 2: not valid CSV"),
        ("a.csv", "q,r\nx,y\n", ("s",), r"a\.csv: row 2: has no key 's'; there is 'q', 'r'"),
        ("a.txt", "ok\n\xff\n".encode("latin-1"), (), r"a\.txt: row 2: is not UTF-8"),
        ("a.txt.gz", b"no gzip", (), r"evaluation set 'e': .*a\.txt\.gz: cannot be read"),
    ],
)
def test_bad_files_are_told_by_file_row_key_and_remedy(
    tmp_path: Path, name: str, content: str | bytes, fields: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        read(write(tmp_path, name, content), fields=fields)


def test_a_json_file_that_memory_does_not_hold_is_refused(tmp_path: Path) -> None:
    chosen = EvaluationSet(name="e", path="", format="json", fields=("q",))
    path = write(tmp_path, "a.json", json.dumps([{"q": "x" * 100}]))
    with pytest.raises(RequestError, match=r"more than 50 bytes of JSON.*format: jsonl"):
        list(read_items(chosen, path, Decontaminate(sets=(chosen,), memory=400)))


def test_a_missing_file_and_a_set_that_is_never_found_are_told(tmp_path: Path) -> None:
    chosen = EvaluationSet(name="e", path="", format="txt")
    with pytest.raises(RequestError, match=r"evaluation set 'e': .*gone\.txt: No such file.*Correct corpus\.decontaminate\.sets"):
        file_digest(chosen, str(tmp_path / "gone.txt"))
    path = write(tmp_path, "a.txt", "too short\n")
    with pytest.raises(RequestError, match=r"none of the 1 texts of evaluation set 'e' has 8 words or 12 characters.*shortest"):
        build(tmp_path / "index", Decontaminate(sets=(chosen,)), Clean(), {"e": path})
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_fields_fit_the_format() -> None:
    for name, fields in (("txt", ("q",)), ("csv", ())):
        with pytest.raises(ValueError, match="fields say which keys"):
            EvaluationSet(name="e", path="", format=name, fields=fields)
    twins = (EvaluationSet(name="e", path="a", format="txt"), EvaluationSet(name="e", path="b", format="txt"))
    with pytest.raises(ValueError, match="two evaluation sets have one name"):
        Decontaminate(sets=twins)
