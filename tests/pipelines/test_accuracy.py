"""What is said of the accuracy of parts that guess: counted right, on small texts of known answers, by the commands themselves."""

import gzip
import json
from pathlib import Path

import pytest

from pipelines.accuracy import encoding, language, mojibake
from pipelines.accuracy.texts import labelled_texts, texts_of
from schemas.errors import RequestError
from tests.flows.conftest import command_in

CHINESE = ["这家酒店的房间很大，服务也不错。", "早餐种类不多，但是味道还可以，下次还会再来的！", "交通方便，离地铁站只有五分钟。"]
ENGLISH = ["The room was large and the staff were kind.", "We’d come again: it’s near the café.", "Breakfast was simple, but good."]


def test_languages_are_counted_by_length_and_confusion(tmp_path: Path) -> None:
    pairs = [("zh", text) for text in CHINESE] + [("en", text) for text in ENGLISH] + [("fr", ENGLISH[0])]
    scores = language.evaluate(pairs)
    assert {lang: (score.texts, score.right) for lang, score in scores.items()} == {"en": (3, 3), "fr": (1, 0), "zh": (3, 3)}
    assert scores["fr"].taken_for == {"en": 1} and scores["zh"].by_length == {"10-19": (2, 2), "20-49": (1, 1)}
    assert [language.length_class(chars) for chars in (1, 9, 10, 199, 200)] == ["1-9", "1-9", "10-19", "100-199", "200+"]


def test_labels_come_from_columns_or_from_json(tmp_path: Path) -> None:
    lines = [f"7\t{english}\t{chinese}" for english, chinese in zip(ENGLISH, CHINESE, strict=True)]
    (tmp_path / "pairs.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "a.jsonl").write_text(json.dumps({"lang": "zh", "text": CHINESE[0]}) + "\n\n")
    (tmp_path / "b.tsv").write_text(f"en\t{ENGLISH[0]}\n")
    assert labelled_texts([tmp_path / "pairs.tsv.gz"], ["-", "en", "zh"])[:2] == [("en", ENGLISH[0]), ("zh", CHINESE[0])]
    assert labelled_texts([tmp_path / "a.jsonl", tmp_path / "b.tsv"], ["lang", "text"]) == [("zh", CHINESE[0]), ("en", ENGLISH[0])]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"one field\n", "line 1: it has 1 fields; want the columns lang, text"),
        (b"\n\xff\n", "line 2: not UTF-8"),
        (b"\n", "no labelled text"),
    ],
)
def test_files_that_are_none_are_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "in.tsv").write_bytes(content)
    with pytest.raises(RequestError, match=told):
        labelled_texts([tmp_path / "in.tsv"], ["lang", "text"])
    with pytest.raises(RequestError, match=r"none\.txt: can't be read: No such file"):
        texts_of([tmp_path / "none.txt"])


def test_samples_are_of_whole_characters_and_a_superset_reads_them_too() -> None:
    scores = encoding.evaluate(CHINESE * 20, ["gb2312", "utf-8", "big5", "latin-1"], (50, 500))
    assert {name: score.by_length for name, score in scores.items()} == {
        "gb2312": {50: (59, 59), 500: (47, 47)}, "utf-8": {50: (59, 59), 500: (51, 51)}, "big5": {}, "latin-1": {},
    }  # fmt: skip
    assert scores["gb2312"].lines == 1 and scores["latin-1"].lines == 0
    with pytest.raises(RequestError, match="no encoding 'nonsense'"):
        encoding.evaluate(CHINESE, ["nonsense"])


def test_damage_is_what_browsers_would_show_and_repair_is_counted() -> None:
    assert mojibake.damaged("it’s", ("utf-8", "cp1252")) == "itâ€™s"
    assert mojibake.damaged("中文", ("utf-8", "cp1252")) == "ä¸\xadæ–‡"
    assert mojibake.damaged("Ł", ("cp1252", "utf-8")) is None
    scores = mojibake.evaluate([*CHINESE, *ENGLISH])
    assert (scores.sound, scores.left_alone) == (6, 6)
    assert scores.damages["utf-8 as cp1252"] == mojibake.OfDamage(damaged=4, repaired=4, left=0)
    lost = scores.damages["gb18030 as cp1252"]
    assert (lost.repaired, lost.left + lost.worse) == (0, lost.damaged)


@pytest.mark.slow
def test_the_commands_print_tables_and_json(tmp_path: Path) -> None:
    (tmp_path / "zh.txt").write_text("\n".join(CHINESE * 20))
    gristmill = command_in(tmp_path)
    table = gristmill("language", "evaluate", "zh.txt", "--columns", "zh").stdout.splitlines()
    assert table[1].split() == ["zh", "texts", "60", "-", "40", "20", "-", "-", "-"] and table[2].split()[2] == "100.0%"
    found = json.loads(gristmill("encoding", "evaluate", "zh.txt", "--lang", "zh", "--json").stdout)
    assert found.keys() == {"utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5"} and found["gb18030"]["by_length"]["50"] == [59, 59]
    assert "utf-8 as latin-1                 60   100.0%" in gristmill("mojibake", "evaluate", "zh.txt").stdout
