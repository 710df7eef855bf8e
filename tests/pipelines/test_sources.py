"""Formats: which records a file holds, which bytes they own, and that no cut of a file changes either."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import xxhash
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.clean import decode
from pipelines.sources import InputChanged, Record, open_piece, read_records
from pipelines.sources.streams import stated_bytes
from tests.pipelines.drafts import source
from tests.pipelines.reading import LIMIT, faults, pieces, raws, read, write


def test_a_text_file_is_one_record_without_its_mark(tmp_path: Path) -> None:
    records, owned = read(write(tmp_path, "a.txt", b"\xef\xbb\xbfone\n\ntwo\n"), source())
    assert records == [Record(3, 9, xxhash.xxh3_128_digest(b"one\n\ntwo\n"), b"one\n\ntwo\n")]
    assert owned == [12]


def test_lines_own_what_is_between_line_ends(tmp_path: Path) -> None:
    records, owned = read(write(tmp_path, "a.txt", b"one\r\n\n  \ntwo \nlast"), source(unit="line"))
    assert [(r.offset, r.size, r.raw) for r in records] == [(0, 3, b"one"), (9, 4, b"two "), (14, 4, b"last")]
    assert owned == [18]


def test_paragraphs_are_lines_without_a_blank_one_between(tmp_path: Path) -> None:
    data = b"\n one\ntwo\r\nthree\n \t\n\nfour\n" + b"x" * 30 + b"\nfive\n\nsix"
    records, owned = read(write(tmp_path, "a.txt", data), source(unit="paragraph"), limit=20)
    assert [(r.offset, r.raw, r.fault) for r in records] == [
        (1, b" one\ntwo\r\nthree", None),
        (21, b"", ("too_long", "40 bytes, max_document_bytes is 20")),
        (63, b"six", None),
    ]
    assert all(data[r.offset : r.offset + r.size] == r.raw for r in records if not r.fault)
    assert owned == [len(data)]


def test_jsonl_splits_text_from_extra(tmp_path: Path) -> None:
    lines = ['{"b": [1], "text": "caf\\u00e9", "a": null}', "", '{"text": "x"}']
    records, owned = read(write(tmp_path, "a.jsonl", "\n".join(lines).encode()), source(format="jsonl"))
    assert [(r.offset, r.size, r.raw, r.extra) for r in records] == [
        (0, 42, "café".encode(), '{"a":null,"b":[1]}'),
        (44, 13, b"x", None),
    ]
    assert owned == [57]


def test_jsonl_says_what_is_wrong_with_a_line(tmp_path: Path) -> None:
    lines = [b'{"text": 1}', b'{"txt": "x"}', b'{"text": "x",}', b"[1]", b'{"text": "\xff"}', b'{"text": "\\ud800"}', b'{"text": "ok"}']
    records, _ = read(write(tmp_path, "a.jsonl", b"\n".join(lines)), source(format="jsonl"))
    assert [r.fault for r in records] == [
        ("missing_text", "'text' is a number, not a string"),
        ("missing_text", "'text' is missing or null"),
        ("invalid_json", "trailing comma is not allowed at column 13"),
        ("invalid_json", "an array, not an object"),
        ("undecodable", records[4].fault[1]),
        ("invalid_json", "no low surrogate in string at column 11"),
        None,
    ]
    assert "byte 10" in records[4].fault[1]


def test_jsonl_in_another_encoding(tmp_path: Path) -> None:
    line = '{"text": "中文", "k": "值"}\n'
    for encoding, declared in (("utf-16", None), ("gb18030", "gb18030"), ("utf-32-be", "utf-32-be")):
        path = write(tmp_path, "a.jsonl", (line * 3).encode(encoding))
        records, owned = read(path, source(format="jsonl", encoding=declared))
        assert [(r.raw.decode(), r.extra) for r in records] == [("中文", '{"k":"值"}')] * 3
        assert owned == [path.stat().st_size]


def test_a_tree_knows_language_and_module(tmp_path: Path) -> None:
    found = {}
    for uri in ("ast.py", "json/decoder.py", "Makefile", "a/b.PY.gz", ".hidden"):
        path = tmp_path / uri
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(b"x = 1\n") if uri.endswith(".gz") else b"x = 1\n")
        piece = {**pieces(path)[0], "uri": uri}
        [record] = read_records(open_piece(piece, source(format="tree"), str(tmp_path)), source(format="tree"), LIMIT)
        assert record.raw == b"x = 1\n"
        found[uri] = json.loads(record.extra or "")
    assert found == {
        "ast.py": {"path": "ast.py", "module": "ast", "language": "python"},
        "json/decoder.py": {"path": "json/decoder.py", "module": "json", "language": "python"},
        "Makefile": {"path": "Makefile", "module": "Makefile", "language": None},
        "a/b.PY.gz": {"path": "a/b.PY", "module": "a", "language": "python"},
        ".hidden": {"path": ".hidden", "module": ".hidden", "language": None},
    }


@pytest.mark.parametrize("unit", ["file", "line", "paragraph"])
def test_too_long_is_streamed_past_and_owned(tmp_path: Path, unit: str) -> None:
    data = b"x" * (3 << 20) + b"\n\nshort\n"
    records, owned = read(write(tmp_path, "a.txt", data), source(unit=unit))
    assert faults(records)[0] == "too_long" and records[0].raw == b""
    assert records[0].size == (len(data) if unit == "file" else 3 << 20)
    assert raws(records[1:]) == ([] if unit == "file" else [b"short"])
    assert owned == [len(data)]


LINES = b"".join(b"line number %d of the stream\n" % n for n in range(4000))


def compressed(suffix: str, data: bytes) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data, mtime=0)
    pack = {".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    # One frame or stream after the other, so that damage in one leaves earlier blocks readable.
    return b"".join(pack(data[i : i + 30_000]) for i in range(0, len(data), 30_000))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_compressed_files_read_as_what_is_in_them(tmp_path: Path, suffix: str) -> None:
    plain, _ = read(write(tmp_path, "a.txt", LINES), source(unit="line"))
    packed = compressed(suffix, LINES[:50_000]) + compressed(suffix, LINES[50_000:])  # members follow each other
    records, owned = read(write(tmp_path, "a.txt" + suffix, packed), source(unit="line"))
    assert records == plain and owned == [len(LINES)]


@pytest.mark.parametrize("unit", ["file", "line", "paragraph"])
@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_of_a_truncated_stream_what_came_before_is_kept(tmp_path: Path, suffix: str, unit: str) -> None:
    packed = compressed(suffix, LINES)
    records, owned = read(write(tmp_path, "a.txt" + suffix, packed[: len(packed) * 2 // 3]), source(unit=unit))
    assert faults(records) == [None] * (len(records) - 1) + ["truncated_input"]
    assert b"".join(raw + b"\n" for raw in raws(records)).startswith(LINES[: owned[0]])
    assert len(LINES) // 3 < owned[0] < len(LINES)
    assert (len(records) > 1000) == (unit == "line")


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_of_a_corrupt_stream_what_came_before_is_kept(tmp_path: Path, suffix: str) -> None:
    packed = bytearray(compressed(suffix, LINES[:60_000]) + compressed(suffix, LINES[60_000:]))
    middle = len(compressed(suffix, LINES[:60_000]))
    packed[middle : middle + 4] = b"junk"
    records, owned = read(write(tmp_path, "a.txt" + suffix, bytes(packed)), source(unit="line"))
    assert faults(records) == [None] * (len(records) - 1) + ["corrupt_input"]
    assert b"\n".join(raws(records)) == LINES[:60_000]
    assert owned == [60_000]


def test_padding_after_gzip_is_no_damage_and_garbage_is(tmp_path: Path) -> None:
    packed = gzip.compress(b"one\ntwo\n")
    assert faults(read(write(tmp_path, "a.gz", packed + b"\0" * 100), source(unit="line"))[0]) == [None, None]
    assert faults(read(write(tmp_path, "a.gz", packed + b"garbage"), source(unit="line"))[0]) == [None, None, "corrupt_input"]
    assert faults(read(write(tmp_path, "a.gz", b"no gzip at all"), source(unit="line"))[0]) == ["corrupt_input"]


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", LINES)
    planned = [pieces(path)[0], *pieces(path, (100, 200))]
    path.write_bytes(LINES.replace(b"7", b"8"))  # as long as before
    for piece in planned[:2]:
        with pytest.raises(InputChanged, match=r"a\.txt: is not the file"):
            list(read_records(open_piece(piece, source(unit="line"), str(path)), source(unit="line"), LIMIT))
    path.unlink()
    with pytest.raises(InputChanged, match=r"a\.txt"):
        open_piece(planned[2], source(unit="line"), str(path))


LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=12) | st.just("\u0a00\u000a†").map(
    lambda text: text.replace("\n", "")
)


@settings(deadline=None)
@given(
    lines=st.lists(LINE, max_size=30),
    end=st.sampled_from(["", "\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"]),
    cuts=st.lists(st.integers(0, 600), max_size=8),
)
@example(lines=["0\r"], end="\r\n", encoding="utf-8", cuts=[])
def test_ranges_partition_records_whatever_the_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, encoding: str, cuts: list[int]
) -> None:
    data = "\n".join(lines).encode(encoding) + end.encode(
        encoding.replace("-sig", "") + ("-le" if encoding in ("utf-16", "utf-32") else "")
    )
    if not data:
        return
    path = write(tmp_path_factory.getbasetemp(), "ranges.txt", data)
    settings = source(unit="line", encoding=encoding)
    whole, owned = read(path, settings)
    parts, parts_owned = read(path, settings, tuple(cuts))
    assert parts == whole
    assert sum(parts_owned) == sum(owned) == len(data)
    assert all(data[r.offset : r.offset + r.size] == r.raw for r in whole)
    decoder = encoding if encoding not in ("utf-16", "utf-32", "utf-8-sig") else {"utf-8-sig": "utf-8"}.get(encoding, f"{encoding}-le")
    expected = [line.removesuffix("\r") for line in ("\n".join(lines) + end).split("\n")]
    assert [raw.decode(decoder) for raw in raws(whole)] == [line for line in expected if not blank(line, encoding)]


def blank(line: str, encoding: str) -> bool:
    """In encodings of single bytes, white space is ASCII's."""
    return not (line.strip() if encoding.startswith(("utf-16", "utf-32")) else line.strip(" \t\n\r\x0b\x0c"))


def test_compressed_files_say_how_much_they_hold(tmp_path: Path) -> None:
    text = b"a line of text\n" * 1000
    (tmp_path / "a.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(text))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text)[:12])
    (tmp_path / "no.zst").write_bytes(b"no frame")
    (tmp_path / "plain.txt").write_bytes(text)
    found = {path.name: stated_bytes(path) for path in tmp_path.iterdir()}
    assert found == {"a.gz": len(text), "a.zst": len(text), "cut.gz": None, "no.zst": None, "plain.txt": None}


def test_the_keys_of_a_source_fit_its_format() -> None:
    for keys in ({"columns": ["a"]}, {"delimiter": ";", "format": "tsv"}, {"namespaces": [1]}, {"generated": "keep"}, {"main_text": "all"}):
        with pytest.raises(ValueError, match=r"is for .*, not for"):
            source(**keys)
    with pytest.raises(ValueError, match="unit is for txt, not for jsonl"):
        source(format="jsonl", unit="line")


def test_keys_that_came_later_are_told_where_they_say_something() -> None:
    later = {"extra_fields", "columns", "delimiter", "main_text", "namespaces", "generated", "members"}
    assert later.isdisjoint(source(format="jsonl").model_dump())
    assert later & source(format="tree").model_dump().keys() == {"generated"}
    assert later & source(format="csv", delimiter=";").model_dump().keys() == {"delimiter"}


ENCODED = {
    "gb18030": "磨坊里的水车昼夜不停，麦子进去，面粉出来。㐀𠀀",
    "gbk": "磨坊里的水车昼夜不停，麦子进去，面粉出来。",
    "big5": "磨坊裡的水車晝夜不停，麥子進去，麵粉出來。",
    "shift_jis": "水車小屋では、昼も夜も水車が回っている。",
    "euc_jp": "水車小屋では、昼も夜も水車が回っている。",
    "euc_kr": "방앗간에서는 밤낮으로 물레방아가 돌고 있습니다.",
    "utf-16": "磨坊 mill 방앗간 水車小屋",
    "utf-16-be": "磨坊 mill 방앗간 水車小屋",
    "utf-8-sig": "磨坊 mill 방앗간 水車小屋",
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("declared", [True, False])
def test_text_in_any_encoding_is_read_right(tmp_path: Path, encoding: str, declared: bool) -> None:
    lines = [f"{ENCODED[encoding]} {n}" for n in range(40)]
    path = write(tmp_path, "a.txt.xz", lzma.compress("\n".join(lines).encode(encoding)))
    settings = source(unit="line", encoding=encoding if declared else None)
    file = open_piece(pieces(path)[0], settings, str(path))
    assert [decode(record.raw, file.raw_encoding) for record in read_records(file, settings, LIMIT)] == lines
