"""All formats through the whole documents step: N bad records among M good ones are N rejects with their reasons and M
documents, and the ledger balances whatever happened to the bytes."""

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.draft import Draft
from schemas.recipe import Corpus, HeldOut
from tests.pipelines.drafts import ledgers, make, reasons, source, texts
from tests.pipelines.test_books import HEAD, book, wiki_page
from tests.pipelines.test_web import http, warc

Make = Callable[[list[str | None]], bytes]
"""From texts, None for a bad record, to a file."""


def tsv(records: list[str | None]) -> bytes:
    return "".join(["text\tn\n", *(f"{text}\t1\n" if text else "no second field\n" for text in records)]).encode()


def quoted(records: list[str | None]) -> bytes:
    return "".join(["text,n\n", *(f'"{text}",1\n' if text else '"quoted" badly,1\n' for text in records)]).encode()


def parquet(records: list[str | None]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(records, pa.string()), "n": range(len(records))}), out, row_group_size=4)
    return out.getvalue()


def arrow(records: list[str | None]) -> bytes:
    out = io.BytesIO()
    table = pa.table({"text": pa.array(records, pa.string()), "n": range(len(records))})
    with pa.ipc.new_file(out, table.schema) as file:
        file.write_table(table, max_chunksize=4)
    return out.getvalue()


def archive(records: list[str | None]) -> bytes:
    request = warc("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request")
    pages = (warc("response", http(text.encode(), "text/plain; charset=utf-8")) if text else request for text in records)
    return b"".join(map(gzip.compress, pages))


def wiki(records: list[str | None]) -> bytes:
    pages = (wiki_page(f"P{n}", text) if text else "  <page></title></page>\n" for n, text in enumerate(records))
    return (HEAD + "".join(pages) + "</mediawiki>\n").encode()


def tarball(records: list[str | None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for n, text in enumerate(records):
            data = text.encode() if text else b"<p>\xff\xff\x81"
            info = tarfile.TarInfo(f"{n}.html")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


FORMATS: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "in.tsv": (tsv, "invalid_csv", {"format": "tsv"}),
    "in.csv": (quoted, "invalid_csv", {"format": "csv"}),
    "in.parquet": (parquet, "missing_text", {"format": "parquet"}),
    "in.arrow": (arrow, "missing_text", {"format": "arrow"}),
    "in.warc.gz": (archive, "record_type", {"format": "warc"}),
    "in.xml": (wiki, "invalid_xml", {"format": "mediawiki"}),
    "in.tar.gz": (tarball, "undecodable", {"format": "html", "main_text": "all", "encoding": "utf-8"}),
}


def made(folder: Path, name: str, data: bytes, split_bytes: int, **of_source: Any) -> Draft:
    folder.mkdir()
    (folder / name).write_bytes(data)
    settings = Corpus(sources=(source(**of_source),), held_out=HeldOut(validation=0, test=0), split_bytes=split_bytes)
    return make(folder / "draft", settings, {"s": folder / name})


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_of_any_mixture_exactly_the_bad_are_rejected(tmp_path: Path, name: str) -> None:
    write, reason, settings = FORMATS[name]
    draw = random.Random(name)
    for n in range(2):
        records = [None if draw.random() < 0.3 else f"Document {k} is good, 第{k}篇." for k in range(draw.randrange(1, 30))]
        data = write(records)
        draft = made(tmp_path / str(n), name, data, draw.choice([300, 1 << 20]), **settings)
        good = [text for text in records if text]
        assert [text.strip() for text in texts(draft)] == good
        assert reasons(draft) == [reason] * (len(records) - len(good))
        ledger = ledgers(draft)["s"]
        assert (ledger.inputs_listed, ledger.inputs_read, ledger.records_read) == (1, 1, len(records))
        if not name.endswith((".gz", ".parquet", ".arrow")):
            assert ledger.bytes_read == len(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FORMATS, "in.epub"])
def test_the_ledger_balances_under_any_damage(tmp_path: Path, name: str) -> None:
    write, _, settings = FORMATS.get(name, (lambda records: book(), "", {"format": "epub"}))
    draw = random.Random(name)
    whole = write([f"Document {k} is good, 第{k}篇." for k in range(25)])
    for n in range(4):
        data = bytearray(whole[: draw.choice([len(whole), draw.randrange(1, len(whole))])])
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        draft = made(tmp_path / str(n), name, bytes(data), draw.choice([1000, 1 << 20]), **settings)
        ledger = ledgers(draft)["s"]  # of which every sum is checked
        assert ledger.inputs_read == 1 and ledger.records_read == len(texts(draft)) + len(reasons(draft))
