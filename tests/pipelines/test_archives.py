"""Archives: members are read like files, what must not be read is a reject that says why, damage costs what it hits."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines.sources import Record
from tests.pipelines.drafts import ledgers, make, reasons, rows, source, texts
from tests.pipelines.reading import LIMIT, balanced, kinds, read, write
from tests.pipelines.test_bad_input import corpus

LINES = source(unit="line")
MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(mode: str, *members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(data, bytes) else data
            info.name, info.size = name, len(data) if isinstance(data, bytes) else 0
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return out.getvalue()


def places(records: list[Record]) -> list[tuple[str | None, int, str]]:
    return [(r.member, r.offset, r.fault[0] if r.fault else r.raw.decode(r.encoding or "utf-8")) for r in records]


MEMBERS = {
    "b/one.txt": b"first\nsecond\n",
    "two.txt": "第三行，与别的文件编码不同。\n".encode("gb18030") * 40,
    "三.txt.gz": gzip.compress(b"fourth\n"),
}
EXPECTED = [
    ("b/one.txt", 0, "first"),
    ("b/one.txt", 6, "second"),
    *(("two.txt", 29 * n, "第三行，与别的文件编码不同。") for n in range(40)),
    ("三.txt.gz", 0, "fourth"),
]


@pytest.mark.parametrize("suffix", [".zip", *MODES])
def test_members_are_read_like_files(tmp_path: Path, suffix: str) -> None:
    data = zipped(**MEMBERS) if suffix == ".zip" else tarred(MODES[suffix], *MEMBERS.items())
    records, owned = read(write(tmp_path, "a" + suffix, data), LINES)
    assert places(records) == EXPECTED
    assert owned == [13 + 29 * 40 + 7]


def test_every_format_reads_members(tmp_path: Path) -> None:
    data = zipped(**{"a.jsonl": b'{"text": "one", "n": 1}\n{"text": 2}\n', "skip.png": b"\x89PNG"})
    records, _ = read(write(tmp_path, "a.zip", data), source(format="jsonl", members=("*.jsonl",)))
    assert places(records) == [("a.jsonl", 0, "one"), ("a.jsonl", 24, "missing_text")]
    records, _ = read(write(tmp_path, "b.zip", zipped(**{"src/m.py": b"x = 1\n"})), source(format="tree"))
    assert records[0].extra == '{"language":"python","module":"src","path":"src/m.py"}'


def test_a_run_tells_members_by_uri(tmp_path: Path) -> None:
    write(tmp_path, "in.zip", zipped(**{"a.txt": b"a good first line\n" * 2, "../b.txt": b"x\n", "c.txt": "最后一行。\n".encode()}))
    draft = make(tmp_path / "draft", corpus(), {"s": tmp_path / "in.zip"})
    assert texts(draft) == ["a good first line", "最后一行。"] and reasons(draft) == ["exact_duplicate", "unsafe_path"]
    assert [row["uri"] for row in rows(draft, "documents")] == ["in.zip!/a.txt", "in.zip!/c.txt"]
    assert [row["uri"] for row in rows(draft, "rejects")] == ["in.zip!/a.txt", "in.zip!/../b.txt"]
    ledger = ledgers(draft)["s"]
    assert (ledger.inputs_listed, ledger.inputs_read, ledger.records_read, ledger.bytes_read) == (1, 1, 4, 36 + 16)


HOSTILE = ["../up.txt", "a/../../up.txt", "/etc/passwd", "C:\\windows.txt", "..\\up.txt", "\\\\host\\share.txt"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_climb_or_are_absolute_are_rejects(tmp_path: Path, name: str) -> None:
    for path in (
        write(tmp_path, "a.zip", zipped(**{"good.txt": b"good", name: b"evil", "last.txt": b"last"})),
        write(tmp_path, "a.tar", tarred("w", ("good.txt", b"good"), (name, b"evil"), ("last.txt", b"last"))),
    ):
        records, _ = read(path, LINES)
        assert places(records) == [("good.txt", 0, "good"), (name, 0, "unsafe_path"), ("last.txt", 0, "last")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "a.zip"]


def test_what_is_no_plain_file_is_a_reject(tmp_path: Path) -> None:
    link, device, twin = tarfile.TarInfo(), tarfile.TarInfo(), zipfile.ZipInfo("link")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.CHRTYPE
    folder = tarfile.TarInfo()
    folder.type = tarfile.DIRTYPE
    data = tarred("w", ("d", folder), ("a", b"one"), ("link", link), ("dev", device), ("in.tar.gz", b"x"), ("a", b"two"), ("z", b"end"))
    records, _ = read(write(tmp_path, "a.tar", data), LINES)
    assert kinds(records) == ["ok", "not_a_file", "not_a_file", "nested_archive", "duplicate_member", "ok"]
    twin.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "one")
        archive.writestr(twin, "/etc/passwd")
        archive.writestr("in.zip", zipped(a=b"x"))
    assert kinds(read(tmp_path / "a.zip", LINES)[0]) == ["ok", "not_a_file", "nested_archive"]


def test_encrypted_members_and_unknown_methods_are_rejects(tmp_path: Path) -> None:
    data = bytearray(zipped(secret=b"x" * 50, odd=b"y" * 50, good=b"good"))
    central = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[central[0] + 8] |= 1
    data[central[1] + 10] = 97
    assert kinds(read(write(tmp_path, "a.zip", bytes(data)), LINES)[0]) == ["encrypted", "unsupported_compression", "ok"]


def test_a_bomb_is_stopped_and_its_neighbours_are_read(tmp_path: Path) -> None:
    bomb = b"\0" * (180 << 20)
    path = write(tmp_path, "a.zip", zipped(**{"first.txt": b"first", "bomb.txt": bomb, "last.txt": b"last"}))
    records, owned = read(path, source())
    assert kinds(records) == ["ok", "decompression_bomb", "ok"] and sum(owned) < 120 << 20 and records[1].raw == b""
    path = write(tmp_path, "a.txt.gz", gzip.compress(bomb, 9))
    assert kinds(read(path, source())[0]) == ["decompression_bomb"]


def test_members_that_share_their_bytes_are_a_bomb_together(tmp_path: Path) -> None:
    data = zipped(a=b"0" * (20 << 20))
    central, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    listed = b"".join(data[central:end][:46] + b"%03d" % n for n in range(100))
    entries = bytearray(listed)
    for n in range(100):
        entries[n * 49 + 28 : n * 49 + 30] = (3).to_bytes(2, "little")
    tail = bytearray(data[end:])
    tail[8:12] = (100).to_bytes(2, "little") * 2
    tail[12:16] = len(entries).to_bytes(4, "little")
    records, owned = read(write(tmp_path, "a.zip", data[:central] + bytes(entries) + bytes(tail)), source())
    assert len(records) == 100 and "ok" not in kinds(records)[5:] and sum(owned) < 200 << 20


def test_damage_in_a_zip_costs_its_member(tmp_path: Path) -> None:
    text = "".join(f"line {n} of this member\n" for n in range(2000)).encode()
    data = bytearray(zipped(a=text, b=text[::-1], c=b"last\n"))
    at = zipfile.ZipFile(io.BytesIO(bytes(data))).getinfo("b").header_offset
    data[at + 500 : at + 510] = b"\xff" * 10
    records, owned = read(write(tmp_path, "a.zip", bytes(data)), source())
    assert [(r.member, r.fault and r.fault[0]) for r in records] == [("a", None), ("b", "corrupt_input"), ("c", None)]
    records, owned = read(write(tmp_path, "b.zip", bytes(data[:-30])), source())
    assert kinds(records) == ["corrupt_input"] and records[0].size == len(data) - 30 == owned[0]


def test_damage_in_a_tar_costs_what_it_hits(tmp_path: Path) -> None:
    data = tarred("w", *((f"m{n}.txt", b"text %d\n" % n) for n in range(5)))
    bad = bytearray(data)
    bad[1024:1030] = b"xxxxxx"
    records, owned = read(write(tmp_path, "a.tar", bytes(bad)), LINES)
    assert places(records) == [
        ("m0.txt", 0, "text 0"), (None, 1024, "corrupt_input"), ("m2.txt", 0, "text 2"), ("m3.txt", 0, "text 3"), ("m4.txt", 0, "text 4"),
    ]  # fmt: skip
    assert records[1].size == 1024 and balanced(records, owned)
    for end, expected in (
        (2048 + 512 + 3, ["ok", "ok", "truncated_input"]),
        (2048 + 100, ["ok", "ok", "truncated_input"]),
        (3072, ["ok"] * 3 + ["truncated_input"]),
    ):
        assert kinds(read(write(tmp_path, "b.tar", data[:end]), LINES)[0]) == expected, end
    assert kinds(read(write(tmp_path, "c.tar", b"this is no archive. " * 99), LINES)[0]) == ["corrupt_input"]
    packed = tarred("w:gz", *((f"m{n}.txt", random.Random(n).randbytes(20_000).hex().encode() + b"\n") for n in range(5)))
    assert kinds(read(write(tmp_path, "a.tgz", packed[:-40_000]), LINES)[0])[-1] == "truncated_input"


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_random_damage_is_never_fatal(tmp_path: Path, suffix: str) -> None:
    members = {f"m{n}.txt": random.Random(n).randbytes(300).hex().encode() + b"\n" for n in range(8)}
    whole, draw = zipped(**members) if suffix == ".zip" else tarred(MODES[suffix], *members.items()), random.Random(3)
    for _ in range(60):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(1, len(whole))])])
        for _ in range(draw.randrange(4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        records, owned = read(write(tmp_path, "a" + suffix, bytes(data)), LINES, limit=LIMIT)
        assert balanced(records, owned) and records


def test_names_of_old_zips_are_read_as_they_were_meant(tmp_path: Path) -> None:
    names = ["中文目录/第一章 天地玄黄宇宙洪荒.txt", "中文目录/第二章 日月盈昃辰宿列张.txt"]
    data = zipped(**{("x" * len(name.encode("gbk")))[:-1] + str(n): b"text" for n, name in enumerate(names)})
    for n, name in enumerate(names):
        old = name.encode("gbk")
        data = data.replace(b"x" * (len(old) - 1) + b"%d" % n, old)
    assert [r.member for r in read(write(tmp_path, "a.zip", data), LINES)[0]] == names
