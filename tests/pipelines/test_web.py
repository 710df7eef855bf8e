"""Pages and web archives: main text, encodings, and what is no page is a reject that says why."""

import gzip
import json
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.sources.pages import page_of
from tests.pipelines.drafts import source
from tests.pipelines.reading import balanced, faults, kinds, raws, read, write

HTML, WARC = source(format="html"), source(format="warc")
SENTENCE = "这一页讲的是磨坊：麦子进去，面粉出来，水车昼夜不停。"


def page(body: str, head: str = "") -> str:
    text = "".join(f"<p>{body} {n}</p>" for n in range(8))
    return (
        f'<!DOCTYPE html><html lang="zh"><head><title> The\n mill </title>{head}</head><body>'
        f'<nav><ul><li><a href="/">Home</a></li></ul></nav>'
        f"<main><article>{text}</article></main><script>var x = 1</script><footer>Copyright</footer></body></html>"
    )


def test_the_main_text_of_a_page_and_what_it_says_of_itself(tmp_path: Path) -> None:
    head = '<link rel="canonical" href="https://mill.example/a"><meta property="article:published_time" content="2024-05-06">'
    data = page(SENTENCE, head).encode()
    [record], owned = read(write(tmp_path, "a.html", data), HTML)
    text = record.raw.decode()
    assert text.count(SENTENCE) == 8 and "Home" not in text and "Copyright" not in text and "var x" not in text
    assert json.loads(record.extra or "") == {
        "title": "The mill", "lang": "zh", "canonical": "https://mill.example/a", "published": "2024-05-06",
    }  # fmt: skip
    assert (record.offset, record.size) == (0, len(data)) and owned == [len(data)]
    [everything], _ = read(tmp_path / "a.html", source(format="html", main_text="all"))
    assert "Home" in everything.raw.decode() and "Copyright" in everything.raw.decode()


def test_trafilatura_is_the_other_reader(tmp_path: Path) -> None:
    [record], _ = read(write(tmp_path, "a.html", page(SENTENCE).encode()), source(format="html", main_text="trafilatura"))
    assert record.raw.decode().count(SENTENCE) == 8 and "Home" not in record.raw.decode()


@pytest.mark.parametrize(
    ("encoding", "label", "text"),
    [
        ("gb18030", "gb2312", SENTENCE), ("gbk", "GBK", SENTENCE), ("big5", "big5", "這一頁講的是磨坊：麥子進去，麵粉出來。"),
        ("cp932", "Shift_JIS", "このページは水車小屋の話です。①"), ("euc_jp", "EUC-JP", "このページは水車小屋の話です。"),
        ("cp949", "euc-kr", "이 페이지는 방앗간에 대한 것입니다. 똠"), ("cp1252", "iso-8859-1", "The mill’s page – “quoted”"),
        ("utf-8", "utf-8", SENTENCE), ("koi8_r", "koi8-r", "Эта страница о мельнице."),
    ],
)  # fmt: skip
def test_the_encoding_that_a_page_declares(tmp_path: Path, encoding: str, label: str, text: str) -> None:
    data = page(text, f'<meta http-equiv="Content-Type" content="text/html; charset={label}">').encode(encoding)
    [record], _ = read(write(tmp_path, "a.html", data), HTML)
    assert text in record.raw.decode()


def test_a_page_that_declares_wrongly_is_read_all_the_same() -> None:
    assert SENTENCE in page_of(page(SENTENCE, '<meta charset="gbk">').encode(), "all").text  # is UTF-8
    assert SENTENCE in page_of(page(SENTENCE, '<meta charset="utf-8">').encode("gb18030"), "all").text
    assert SENTENCE in page_of(page(SENTENCE, '<meta charset="utf-16">').encode(), "all").text
    assert SENTENCE in page_of(page(SENTENCE).encode("utf-16"), "all").text
    assert SENTENCE in page_of(page(SENTENCE).encode("gb18030"), "all", charset="x-gbk").text
    assert page_of(page(SENTENCE).encode()[:-1], "all", charset="no-such-thing").encoding == "utf-8"


def test_a_page_that_is_no_text_is_a_reject(tmp_path: Path) -> None:
    records, owned = read(write(tmp_path, "a.html", b"<p>\xff\xfe\xff\x81 \x81\xff\x00 caf\xe9"), source(format="html", encoding="utf-8"))
    assert kinds(records) == ["undecodable"] and balanced(records, owned)
    assert kinds(read(write(tmp_path, "b.html.gz", gzip.compress(b"<p>text</p>" * 99)[:-9]), HTML)[0]) == ["truncated_input"]


def test_a_page_nested_deeper_than_any_stack_is_read(tmp_path: Path) -> None:
    [record], _ = read(write(tmp_path, "a.html", b"<div>" * 100_000 + b"deep"), source(format="html", main_text="all"))
    assert record.raw == b"deep"


def warc(kind: str, block: bytes, media: str = "application/http; msgtype=response", **headers: str) -> bytes:
    lines = {"WARC-Type": kind, "WARC-Record-ID": "<urn:uuid:0>", "WARC-Date": "2024-05-18T01:58:10Z"}
    lines |= {"WARC-Target-URI": "https://mill.example/", "Content-Type": media, "Content-Length": str(len(block)), **headers}
    return b"WARC/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n" + block + b"\r\n\r\n"


def http(body: bytes, media: str = "text/html; charset=utf-8", status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\n{more}\r\n".encode() + body


GOOD = warc("response", http(page(SENTENCE).encode()))
RECORDS = {
    "ok": GOOD,
    "record_type": warc("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request"),
    "http_status": warc("response", http(b"<p>gone", status="404 Not Found")),
    "media_type": warc("response", http(b"\x89PNG", "image/png")),
    "ok ": warc("conversion", "提取好的正文。".encode(), "text/plain"),
    "ok  ": warc("response", http(gzip.compress("压缩的正文。".encode()), "text/plain; charset=utf-8", more="Content-Encoding: gzip\r\n")),
    "ok   ": warc("response", http(b"5\r\nchunk\r\n3\r\ned.\r\n0\r\n\r\n", "text/plain", more="Transfer-Encoding: chunked\r\n")),
    "ok    ": warc("resource", page(SENTENCE).encode("gb18030"), "text/html; charset=gbk"),
    "undecodable": warc("conversion", b"\xff\xff", "text/plain"),
}


@pytest.mark.parametrize("packed", ["plain", "by record", "whole"])
def test_records_of_a_web_archive(tmp_path: Path, packed: str) -> None:
    blocks = list(RECORDS.values())
    data = {"plain": b"".join(blocks), "by record": b"".join(map(gzip.compress, blocks)), "whole": gzip.compress(b"".join(blocks))}[packed]
    records, owned = read(write(tmp_path, "a.warc" + (".gz" if packed != "plain" else ""), data), WARC)
    assert kinds(records) == [name.strip() for name in RECORDS]
    assert owned == [sum(map(len, blocks))] and sum(r.size for r in records) == owned[0] - 4 * len(blocks)
    whole = b"".join(blocks)
    assert [whole[r.offset : r.offset + r.size] + b"\r\n\r\n" for r in records] == blocks
    assert raws(records)[4:7] == ["提取好的正文。".encode(), "压缩的正文。".encode(), b"chunked."]
    assert SENTENCE in records[0].raw.decode() and SENTENCE in records[7].raw.decode()
    assert json.loads(records[0].extra or "") == {
        "url": "https://mill.example/", "date": "2024-05-18T01:58:10Z", "mime": "text/html", "title": "The mill", "lang": "zh",
    }  # fmt: skip


BAD = {
    "length too short": re.sub(rb"Content-Length: \d+", b"Content-Length: 40", GOOD, count=1),
    "length too long": GOOD.replace(b"Content-Length: ", b"Content-Length: 9", 1),
    "length beyond all": GOOD.replace(b"Content-Length: ", b"Content-Length: 99999999", 1),
    "no length": GOOD.replace(b"Content-Length", b"Content-Lenght"),
    "no version": b"XXXX" + GOOD[4:],
    "cut": GOOD[:400],
    "garbage": b"\0" * 3000,
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_record_costs_itself_alone(tmp_path: Path, what: str, packed: bool) -> None:
    blocks = [GOOD, RECORDS["ok "], BAD[what] + b"\r\n\r\n", GOOD, RECORDS["ok "]]
    data = b"".join(map(gzip.compress, blocks)) if packed else b"".join(blocks)
    records, owned = read(write(tmp_path, "a.warc" + ".gz" * packed, data), WARC)
    assert kinds(records) == ["ok", "ok", "corrupt_input", "ok", "ok"] and balanced(records, owned)
    assert sum(owned) == sum(map(len, blocks))


def test_a_damaged_member_of_gzip_costs_its_record_alone(tmp_path: Path) -> None:
    members = [gzip.compress(warc("conversion", random.Random(n).randbytes(3000).hex().encode(), "text/plain")) for n in range(5)]
    bad = bytearray(members[2])
    bad[1500:1600] = bytes(100)
    records, owned = read(write(tmp_path, "a.warc.gz", b"".join([*members[:2], bytes(bad), *members[3:]])), WARC)
    assert kinds(records) == ["ok", "ok", "corrupt_input", "ok", "ok"] and balanced(records, owned)
    records, owned = read(write(tmp_path, "b.warc.gz", b"".join(members)[:-500]), WARC)
    assert kinds(records) == ["ok"] * 4 + ["truncated_input"] and balanced(records, owned)


def test_a_record_that_is_too_long_is_streamed_past(tmp_path: Path) -> None:
    data = warc("conversion", b"x" * (3 << 20), "text/plain")
    bomb = warc("response", http(gzip.compress(b"y" * (3 << 20)), "text/plain", more="Content-Encoding: gzip\r\n"))
    records, owned = read(write(tmp_path, "a.warc", data + bomb + RECORDS["ok "]), WARC, limit=1 << 20)
    assert kinds(records) == ["too_long", "too_long", "ok"] and records[0].size == len(data) - 4
    assert sum(owned) == len(data + bomb + RECORDS["ok "])


def test_any_mixture_under_any_damage_balances(tmp_path: Path) -> None:
    draw = random.Random(11)
    for _ in range(60):
        data = bytearray(b"".join(draw.choice(list(RECORDS.values())) for _ in range(draw.randrange(1, 8))))
        for _ in range(draw.randrange(5)):
            at = draw.randrange(len(data))
            data[at : at + draw.randrange(5)] = draw.randbytes(draw.randrange(5))
        packed = draw.random() < 0.5
        stored = bytearray(gzip.compress(bytes(data)) if packed else data)
        if draw.random() < 0.5:
            stored[draw.randrange(10, len(stored))] ^= 255
        records, owned = read(write(tmp_path, "a.warc" + ".gz" * packed, bytes(stored)), WARC)
        spans = sorted((r.offset, r.offset + r.size) for r in records)
        assert all(a[1] <= b[0] for a, b in pairwise(spans)) and balanced(records, owned)
        assert packed or sum(owned) == len(stored)


def test_faults_say_what_they_saw(tmp_path: Path) -> None:
    records, _ = read(write(tmp_path, "a.warc", RECORDS["http_status"] + RECORDS["media_type"] + RECORDS["record_type"]), WARC)
    assert [r.fault[1] for r in records if r.fault] == [
        "HTTP/1.1 404 Not Found", "image/png is not text that is read", "a record of type request",
    ]  # fmt: skip
    assert faults(records) == ["http_status", "media_type", "record_type"]
