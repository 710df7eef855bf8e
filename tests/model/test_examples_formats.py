"""Files of every format become examples, and bad rows become rejects that say where and why."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from model.examples import Answer, Asked, Chatted, Classified, Coded, Message, Subsets, Tagged, Written, read_task
from schemas.errors import RequestError
from schemas.recipe.task import Task


def read(kind: str, train: Path | str, **data: Any) -> Subsets:
    """A task whose training subset keeps everything."""
    settings = {"name": "t", "kind": kind, "data": {"train": str(train), "held_out": 1e-9, **data}}
    return read_task(Task.model_validate(settings))


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def told(subsets: Subsets) -> list[tuple[str, str]]:
    return [(reject.place, reject.reason) for reject in subsets.report.rejects]


def lines(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


GOOD, BAD = {"text": "好书", "label": "正"}, {"text": "太差", "label": 0}


def test_lines_of_json_are_examples_or_rejects_with_their_line(tmp_path: Path) -> None:
    path = put(
        tmp_path, "a.jsonl",
        b"\xef\xbb\xbf" + lines(GOOD, "", '{"text": ', [1], {"text": "x"}, {"text": 5, "label": "a"}, {"text": " ", "label": "a"}).encode()
        + b'{"text": "\xff\xfe", "label": "a"}\n'
        + lines({"text": "u", "label": ""}, {"text": "v", "label": 1.5}, "[" * 100_000, BAD).encode(),
    )  # fmt: skip
    found = read("classification", path)
    assert found.train == (Classified("a.jsonl:1", "好书", None, "正"), Classified("a.jsonl:12", "太差", None, "0"))
    assert told(found) == [
        ("line 3", "invalid_json"), ("line 4", "not_an_object"), ("line 5", "missing_field"), ("line 6", "wrong_type"),
        ("line 7", "empty_text"), ("line 8", "undecodable"), ("line 9", "empty_text"), ("line 10", "wrong_type"),
        ("line 11", "invalid_json"),
    ]  # fmt: skip
    account = found.report.files[str(path)]
    assert (account.read, account.kept, sum(account.rejected.values())) == (11, {"train": 2}, 9)


def test_a_list_in_json_is_read_item_by_item(tmp_path: Path) -> None:
    found = read("classification", put(tmp_path, "a.json", json.dumps([GOOD, 7, {**BAD, "id": 9}])))
    assert [example.id for example in found.train] == ["a.json:1", "9"]
    assert told(found) == [("item 2", "not_an_object")]


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: zstandard.compress(content[:20]) + zstandard.compress(content[20:]),
}


@pytest.mark.parametrize("ending", COMPRESSED)
def test_compressed_files_are_read_by_their_ending(tmp_path: Path, ending: str) -> None:
    path = put(tmp_path, f"a.jsonl.{ending}", COMPRESSED[ending](lines(GOOD, BAD).encode()))
    assert [example.label for example in read("classification", path).train] == ["正", "0"]  # type: ignore[union-attr]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RequestError, match=rf"data.train: .*a.jsonl.{ending}: can't be read"):
        read("classification", path)


def test_members_of_zips_and_wildcards(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d/1.jsonl", lines(GOOD))
        archive.writestr("d/2.jsonl", lines(BAD))
    assert len(read("classification", f"{tmp_path}/a.zip!d/1.jsonl").train) == 1
    assert list(read("classification", f"{tmp_path}/a.zip!*.jsonl").report.files) == [f"{tmp_path}/a.zip!d/{n}.jsonl" for n in (1, 2)]
    with pytest.raises(RequestError, match=r"has no member 'x': it has d/1.jsonl, d/2.jsonl"):
        read("classification", f"{tmp_path}/a.zip!x")
    put(tmp_path, "1.jsonl", lines(GOOD))
    put(tmp_path, "2.jsonl", lines(BAD))
    assert len(read("classification", f"{tmp_path}/*.jsonl").train) == 2
    with pytest.raises(RequestError, match=r"data.train: .*none.jsonl: there is no such file"):
        read("classification", tmp_path / "none.jsonl")


def test_csv_has_quotes_and_a_lone_one_costs_its_line_alone(tmp_path: Path) -> None:
    path = put(tmp_path, "a.csv", 'label,text\r\n1,"two, and\nmore ""words"""\n0,"never closed\n1,plain\n0,a,b\n\n2,"last"\n')
    found = read("classification", path)
    assert [(example.id, example.text) for example in found.train] == [  # type: ignore[union-attr]
        ("a.csv:2", 'two, and\nmore "words"'), ("a.csv:5", "plain"), ("a.csv:8", "last"),
    ]  # fmt: skip
    assert told(found) == [("line 4", "invalid_csv"), ("line 6", "wrong_columns")]


def test_quotes_in_tsv_are_characters(tmp_path: Path) -> None:
    path = put(tmp_path, "a.tsv", 'He said "go.\t他说“走。\nNo tab\n"Go!\t走！\n')
    found = read("generation", path, header=False)
    assert found.train == (Written("a.tsv:1", 'He said "go.', ("他说“走。",)), Written("a.tsv:3", '"Go!', ("走！",)))
    assert told(found) == [("line 2", "wrong_columns")]
    turned = read("generation", path, header=False, fields={"prompt": "1", "target": "0"})
    assert turned.train[0] == Written("a.tsv:1", "他说“走。", ('He said "go.',))


def test_parquet_has_a_row_number_and_text_that_is_none_costs_its_row(tmp_path: Path) -> None:
    bad = pa.array([b"fine", b"\xff\xfe", b"good"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"review": bad, "stars": [1, 2, 3]}), tmp_path / "a.parquet")
    found = read("classification", tmp_path / "a.parquet", fields={"text": "review", "label": "stars"})
    assert [(example.id, example.label) for example in found.train] == [("a.parquet:1", "1"), ("a.parquet:3", "3")]  # type: ignore[union-attr]
    assert told(found) == [("row 2", "undecodable")]
    with pytest.raises(RequestError, match=r"b.parquet: can't be read as Parquet after row 0"):
        read("classification", put(tmp_path, "b.parquet", "no"))


CONLL = """-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
# NN I-NP O

# id 7
Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
Smith NNP I-NP B-PER

bad NN I-NP
line NN I-NP O
"""


def test_conll_is_read_by_columns_into_iob2(tmp_path: Path) -> None:
    found = read("tagging", put(tmp_path, "a.conll", CONLL))
    assert found.train == (
        Tagged("a.conll:3", ("EU", "rejects", "#"), ("B-ORG", "O", "O")),
        Tagged("a.conll:7", ("Peter", "Blackburn", "Smith"), ("B-PER", "I-PER", "B-PER")),
    )
    assert told(found) == [("line 12", "wrong_columns")]
    assert "line 13 has 4 columns" in found.report.rejects[0].detail
    assert next(iter(found.report.files.values())).mended == {"iob1_to_iob2": 2}
    parts = read("tagging", tmp_path / "a.conll", fields={"tags": "1"})
    assert parts.train[0] == Tagged("a.conll:3", ("EU", "rejects", "#"), ("NNP", "VBZ", "NN"))
    with pytest.raises(RequestError, match=r"data.fields.tags: 'POS' is the name of a column"):
        read("tagging", tmp_path / "a.conll", fields={"tags": "POS"})


def test_a_sentence_that_is_not_utf8_costs_itself_even_if_it_names_its_document(tmp_path: Path) -> None:
    found = read("tagging", put(tmp_path, "a.conll", b"-DOCSTART- O\n\n\xff O\n\nfine O\n"))
    assert [example.id for example in found.train] == ["a.conll:5"]
    assert told(found) == [("line 3", "undecodable")]


CONLLU = (
    "# sent_id = s-1\n1-2\tcan't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tca\tcan\tAUX\tMD\t_\t_\t_\t_\t_\n2\tn't\tnot\tPART\tRB\t_\t_\t_\t_\t_\n"
    "2.1\tgo\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n1\tNo\tno\t_\t_\t_\t_\t_\t_\t_\n\n1\tshort\n"
)


def test_conllu_words_without_ranges_and_empty_nodes(tmp_path: Path) -> None:
    path = put(tmp_path, "a.conllu", CONLLU)
    found = read("tagging", path)
    assert found.train == (Tagged("s-1", ("ca", "n't"), ("AUX", "PART")),)
    assert told(found) == [("line 7", "missing_field"), ("line 9", "wrong_columns")]
    lemmas = read("tagging", path, fields={"words": "LEMMA", "tags": "XPOS"})
    assert lemmas.train[0] == Tagged("s-1", ("can", "not"), ("MD", "RB"))
    with pytest.raises(RequestError, match=r"data.fields.tags: there is no column 'TAG'"):
        read("tagging", path, fields={"tags": "TAG"})


def squad(*questions: dict[str, Any], context: str = "北京是首都。上海很大。北京很冷。") -> str:
    return json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]})


def test_squad_checks_where_answers_stand(tmp_path: Path) -> None:
    def asked(name: str, text: str, start: int) -> dict[str, Any]:
        return {"id": name, "question": f"{name}？", "answers": [{"text": text, "answer_start": start}]}

    path = put(
        tmp_path, "a.json",
        squad(
            asked("right", "上海", 6), asked("moved", "北京", 9), asked("far", "北京", 99), asked("none", "广州", 0),
            {"id": "open", "question": "谁？", "is_impossible": True, "answers": []}, {"id": "lost", "question": "哪？"}, 5,  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    found = read("answers", path)
    starts = {example.id: example.answers for example in found.train}  # type: ignore[union-attr]
    assert starts == {"right": (Answer("上海", 6),), "moved": (Answer("北京", 11),), "far": (Answer("北京", 11),), "open": ()}
    for example in found.train:
        assert isinstance(example, Asked)
        assert all(example.context.startswith(answer.text, answer.start) for answer in example.answers)
    assert told(found) == [
        ("question none", "answer_not_found"), ("question lost", "missing_field"), ("data[0].paragraphs[0].qas[6]", "not_an_object"),
    ]  # fmt: skip
    assert found.report.files[str(path)].mended == {"answer_moved": 2}
    with pytest.raises(RequestError, match="has no list `data` of articles"):
        read("answers", put(tmp_path, "b.json", "[]"))


def test_questions_are_read_from_tables_too(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "context": "x y", "answers": {"text": ["y"], "answer_start": [2]}},
        {"question": "b?", "context": "x y", "answers": "y"},
        {"question": "c?", "context": "x y", "answers": {"text": ["y"], "answer_start": []}},
    ]
    found = read("answers", put(tmp_path, "a.jsonl", lines(*rows)))
    assert [example.answers for example in found.train] == [(Answer("y", 2),)] * 2  # type: ignore[union-attr]
    assert told(found) == [("line 3", "wrong_type")]


def test_dialogues_keep_their_turns(tmp_path: Path) -> None:
    system, user, answer = ({"role": role, "content": role} for role in ("system", "user", "assistant"))
    rows: list[Any] = [
        {"messages": [system, user, answer]},
        {"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "你好！"}]},
        {"messages": [user, user, answer]},
        {"messages": [user, answer, user]},
        {"messages": [answer]},
        {"messages": []},
        {"messages": [user, {"role": "assistant", "content": None}]},
        {"messages": [{"role": "tool", "content": "x"}, answer]},
    ]
    found = read("chat", put(tmp_path, "a.jsonl", lines(*rows)))
    assert found.train == (
        Chatted("a.jsonl:1", (Message("system", "system"), Message("user", "user"), Message("assistant", "assistant"))),
        Chatted("a.jsonl:2", (Message("user", "你好"), Message("assistant", "你好！"))),
    )
    reasons = ["wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_type", "wrong_role"]
    assert told(found) == [(f"line {number}", reason) for number, reason in enumerate(reasons, 3)]


def test_problems_are_read_under_the_names_of_mbpp(tmp_path: Path) -> None:
    row = {"text": "Add.", "code": "def f(): ...", "task_id": 3, "test_setup_code": "", "test_list": ["assert f()"]}
    path = put(tmp_path, "a.jsonl", lines(row, {**row, "test_list": []}, {**row, "test_list": [1]}))
    found = read("code", path)
    assert found.train == (Coded("3", "Add.", "def f(): ...", ("assert f()",), ""),)
    assert told(found) == [("line 2", "empty_text"), ("line 3", "wrong_type")]


def test_pairs_and_relations(tmp_path: Path) -> None:
    found = read("pairs", put(tmp_path, "a.jsonl", lines({"first": "a", "second": "b", "label": True, "id": "q"})))
    assert found.train == (Classified("q", "a", "b", "True"),)
    marked = "The <e1>child</e1> was in the <e2>cradle</e2>."
    found = read("relation", put(tmp_path, "b.tsv", f"text\tlabel\n{marked}\tOther\n"))
    assert found.train == (Classified("b.tsv:2", marked, None, "Other"),)


@pytest.mark.parametrize(
    ("kind", "name", "content", "data", "message"),
    [
        ("classification", "a.txt", "x", {}, "its name tells no format: set data.format, to one of jsonl, csv"),
        ("classification", "a.conll", "x", {}, "conll files are of kind tagging, and the task's kind is classification"),
        ("answers", "a.json", squad(), {"fields": {"question": "q"}}, "data.fields: .*names in squad files are fixed"),
        ("classification", "a.csv", "txet,label\nx,1\n", {}, r"line 2: missing_field: has no 'text': did you mean 'txet'\?"),
        ("classification", "a.csv", "review,stars\nx,1\n", {}, "has no 'text': it has 'review', 'stars' .data.fields.text names the key"),
        ("classification", "a.jsonl", "", {}, "none of 0 rows can be used. There is none."),
        ("classification", "a.json", "[{]", {}, "a.json: is a list that is not valid JSON"),
        ("classification", "a.csv", "text,label,text\nx,1,y\n", {}, "a.csv: line 1: two columns have one name, 'text'"),
        ("classification", "a.csv", "text,label\nx,1\nx,2\n", {}, "no row can be used. The first of 2 rejects: .*label_conflict"),
    ],
)
def test_what_cannot_be_used_is_said_with_file_row_and_key(
    tmp_path: Path, kind: str, name: str, content: str, data: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        read(kind, put(tmp_path, name, content), **data)
    assert "task t: " in str(raised.value) and name in str(raised.value)


def test_a_task_names_files_and_each_for_one_subset(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="data: names no file"):
        read_task(Task.model_validate({"name": "t", "kind": "chat", "data": {}}))
    path = put(tmp_path, "a.jsonl", lines(GOOD))
    with pytest.raises(RequestError, match="is of another subset, too"):
        read("classification", path, test=str(path))
    only = read_task(Task.model_validate({"name": "t", "kind": "classification", "data": {"test": str(path)}}))
    assert (len(only.train), len(only.validation), len(only.test)) == (0, 0, 1)


def test_an_id_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", lines({**GOOD, "id": 1}, {**BAD, "id": 1}))
    assert [example.id for example in read("classification", path).train] == ["1", "1 (2)"]
