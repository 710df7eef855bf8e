"""CSV, TSV, Parquet and Arrow: rows with columns; a bad row, row group or batch costs itself alone."""

import csv
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources import Record
from tests.pipelines.drafts import source
from tests.pipelines.reading import balanced, faults, kinds, raws, read, write


def told(records: list[Record]) -> list[tuple[str, object]]:
    return [(r.raw.decode(), json.loads(r.extra or "{}")) for r in records if not r.fault]


def test_csv_quotes_hold_delimiters_quotes_and_lines(tmp_path: Path) -> None:
    data = b'id,text,id\r\n\r\n1,"two\r\nlines, ""quoted""",x\r\n2,5" disk,\r\n3,"",""\r\n'
    records, owned = read(write(tmp_path, "a.csv", data), source(format="csv"))
    assert told(records) == [
        ('two\r\nlines, "quoted"', {"id": "1", "id#2": "x"}),
        ('5" disk', {"id": "2", "id#2": ""}),
        ("", {"id": "3", "id#2": ""}),
    ]
    assert owned == [len(data)] and data[records[0].offset :][: records[0].size] == b'1,"two\r\nlines, ""quoted""",x'


def test_a_quote_that_is_never_closed_costs_its_line_alone(tmp_path: Path) -> None:
    rows = ["id,text", "1,good", '2,"open', "3,good", '4,"closed" badly', "5,good,more", '6,"good\n6"', '7,"open to the end', "8,good"]
    records, owned = read(write(tmp_path, "a.csv", "\n".join(rows).encode()), source(format="csv"))
    assert [(r.raw.decode(), r.fault and r.fault[0]) for r in records] == [
        ("good", None),
        ('2,"open', "invalid_csv"),
        ("good", None),
        ('4,"closed" badly', "invalid_csv"),
        ("5,good,more", "invalid_csv"),
        ("good\n6", None),
        ('7,"open to the end', "invalid_csv"),
        ("good", None),
    ]
    assert records[4].fault == ("invalid_csv", "3 fields, and the table has 2 columns") and balanced(records, owned)


def test_names_of_columns_can_come_from_the_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "你好;Hi;1\n".encode("gb18030"))
    settings = source(format="csv", encoding="gb18030", delimiter=";", columns=("zh", "en", "n"), text_field="zh", extra_fields=("en",))
    assert told(read(path, settings)[0]) == [("你好", {"en": "Hi"})]


def test_a_table_without_the_column_says_so(tmp_path: Path) -> None:
    records, _ = read(write(tmp_path, "a.tsv", b"a\tb\n1\t2\n"), source(format="tsv"))
    assert [r.fault for r in records] == [("missing_text", "there is no column 'text'")]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.text("a\"\n,'é 中")), max_size=8),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)
def test_what_the_csv_module_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]], encoding: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "b"), *rows])
    path = write(tmp_path, "a.csv", out.getvalue().encode(encoding))
    records, owned = read(path, source(format="csv", encoding=encoding))
    assert told(records) == [(text, {"b": b}) for text, b in rows] and sum(owned) == path.stat().st_size


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blank=st.integers(0, 3),
    rows=st.lists(st.sampled_from(["good\t1", "bad", "", 'quo"te\t"2', "中\t3"]), max_size=20),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_tsv_cut_anywhere_gives_the_same_rows(tmp_path: Path, blank: int, rows: list[str], cuts: list[int], encoding: str) -> None:
    data = ("\n" * blank + "\n".join(["text\tn", *rows])).encode(encoding)
    path = write(tmp_path, "a.tsv", data)
    whole, owned = read(path, source(format="tsv"))
    parts, parts_owned = read(path, source(format="tsv"), tuple(cuts))
    assert parts == whole and sum(parts_owned) == sum(owned) == len(data)
    assert kinds(whole) == ["invalid_csv" if row == "bad" else "ok" for row in rows if row]


TABLE = pa.table(
    {
        "text": pa.array([None if n % 500 == 7 else f"text of row {n}, 第{n}行" for n in range(3000)]),
        "n": list(range(3000)),
        "at": pa.array([1_700_000_000_000 + n for n in range(3000)], pa.timestamp("ms")),
        "blob": [b"\xff\x00"] * 3000,
    }
)


def stored(folder: Path, name: str, table: pa.Table = TABLE) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=300, use_dictionary=["n"], compression="zstd")
    elif name.endswith(".arrows"):
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, max_chunksize=300)
    else:
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
            file.write_table(table, max_chunksize=300)
    return path


FORMATS = [("a.parquet", "parquet"), ("a.arrow", "arrow"), ("a.arrows", "arrow")]


@pytest.mark.parametrize(("name", "format"), FORMATS)
def test_rows_of_parquet_and_arrow(tmp_path: Path, name: str, format: str) -> None:
    path = stored(tmp_path, name)
    records, owned = read(path, source(format=format))
    assert [r.offset for r in records] == list(range(3000))
    assert kinds(records) == ["missing_text" if n % 500 == 7 else "ok" for n in range(3000)]
    assert records[3].raw.decode() == "text of row 3, 第3行"
    assert records[3].extra == '{"at":"2023-11-14T22:13:20.003000","blob":"/wA=","n":3}'
    assert owned == [sum(r.size for r in records)] and records[3].size == len(records[3].raw) + len(records[3].extra)
    cut, cut_owned = read(path, source(format=format), tuple(range(777, path.stat().st_size, 7777)))
    assert cut == records and sum(cut_owned) == owned[0]
    narrow, _ = read(path, source(format=format, extra_fields=()))
    assert raws(narrow) == raws(records) and {r.extra for r in narrow} == {None}


def test_a_corrupt_row_group_is_one_reject_and_others_are_read(tmp_path: Path) -> None:
    path = stored(tmp_path, "a.parquet")
    chunk = pq.read_metadata(path).row_group(4).column(0)
    data = bytearray(path.read_bytes())
    at = chunk.data_page_offset + chunk.total_compressed_size // 2
    data[at : at + 64] = bytes(64)
    records, owned = read(write(tmp_path, "b.parquet", bytes(data)), source(format="parquet"))
    bad = [r for r in records if r.fault and r.fault[0] == "corrupt_input"]
    assert len(bad) == 1 and bad[0].offset == 1200 and "rows 1,200 to 1,499" in bad[0].fault[1]
    assert {r.offset for r in records} == {*range(1201), *range(1500, 3000)} and balanced(records, owned)


@pytest.mark.parametrize(("name", "format"), FORMATS)
def test_damage_anywhere_is_told_and_never_fatal(tmp_path: Path, name: str, format: str) -> None:
    path = stored(tmp_path, name)
    whole, draw = path.read_bytes(), random.Random(7)
    intact = {(r.offset, r.raw) for r in read(path, source(format=format))[0]}
    for _ in range(25):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(len(whole))]) or 1])
        for _ in range(draw.randrange(3)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        damaged = write(tmp_path, "damaged" + path.suffix, bytes(data))
        records, owned = read(damaged, source(format=format))
        again, again_owned = read(damaged, source(format=format), (len(data) // 3, len(data) // 2))
        assert again == records and sum(again_owned) == sum(owned) and balanced(records, owned)
        assert records
        if not any(r.fault and r.fault[0] == "corrupt_input" for r in records) and len(data) == len(whole):
            assert len(records) == len(intact)


def test_one_string_that_is_not_utf8_is_left_to_decoding(tmp_path: Path) -> None:
    text = pa.array([b"good", b"\xff bad", b"good too"]).view(pa.string())
    for name, format in FORMATS:
        records, _ = read(stored(tmp_path, name, pa.table({"text": text, "n": [1, 2, 3]})), source(format=format))
        assert raws(records) == [b"good", b"\xff bad", b"good too"]
        records, _ = read(stored(tmp_path, name, pa.table({"text": ["a", "b", "c"], "t": text})), source(format=format))
        assert faults(records) == [None, "invalid_value", None]


def test_a_text_that_a_dictionary_repeats_without_end_is_a_bomb(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["x" * (1 << 20), "good"]).take(pa.array([1, 0] + [0] * 300))})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    records, _ = read(path, source(format="parquet"), limit=2 << 20)
    assert kinds(records)[0] == "ok" and kinds(records)[-1] == "decompression_bomb" and len(records) < 80


def test_values_that_no_json_has(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "big": pa.array([1, 2], pa.decimal128(30)), "nan": [float("nan"), 1.5]})
    records, _ = read(stored(tmp_path, "a.parquet", table), source(format="parquet"))
    assert [r.extra for r in records] == ['{"big":"1","nan":null}', '{"big":"2","nan":1.5}']
