"""Sources at URLs: a web server on the loopback interface, with ranges and without, and fsspec's memory."""

import gzip
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import places
from pipelines.splits import InputError, Listing, list_inputs, plan_splits
from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from schemas.recipe import Corpus, HeldOut
from tests.pipelines.drafts import ledgers, make, rows, source, texts

LINES = [f"line {n} of a file that lies far away, 第{n}行" for n in range(3000)]


class Server(ThreadingHTTPServer):
    """Counts the bodies that it gives, by path."""

    ranges = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.gets = folder, dict[str, int]()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, request: Any, address: Any, server: Server) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def do_GET(self) -> None:
        self.server.gets[self.path] = self.server.gets.get(self.path, 0) + 1
        path, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not (self.server.ranges and wanted and path.is_file()):
            super().do_GET()
            return
        data = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(data[start : end + 1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "secret.txt").write_text("not below the folder\n")
    (folder / "in" / "a.txt").write_text("".join(line + "\n" for line in LINES))
    (folder / "in" / "deep" / "b.txt.gz").write_bytes(gzip.compress(b"packed line\n"))
    (folder / "in" / "deep" / "empty.txt").write_bytes(b"")
    (folder / "in" / "links.html").write_text('<a href="/">up</a><a href="http://127.0.0.1:1/x.txt">out</a>')
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
    places.remote_folder.cache_clear()
    fsspec.get_filesystem_class("http").clear_instance_cache()


def corpus(**of_source: Any) -> Corpus:
    return Corpus(sources=(source(**{"unit": "line", **of_source}),), held_out=HeldOut(validation=0, test=0), split_bytes=40_000)


def listed(url: str, cache: Path | None = None, **of_source: Any) -> Listing:
    return list_inputs(corpus(**of_source), {"s": url}, cache)


def test_a_folder_of_a_web_server_is_listed_and_nothing_outside(server: Server) -> None:
    listing = listed(f"{server.url}/in/", include=("*.txt", "*.gz"))
    assert [(f.uri, f.bytes) for f in listing.files] == [
        ("a.txt", (server.folder / "in/a.txt").stat().st_size),
        ("deep/b.txt.gz", (server.folder / "in/deep/b.txt.gz").stat().st_size),
    ]
    assert listing.files[0].digest == digest_file(server.folder / "in/a.txt") and listing.empty == (("s", "deep/empty.txt"),)
    assert [f.uri for f in listed(f"{server.url}/in/a.txt").files] == ["a.txt"]
    assert "/secret.txt" not in server.gets
    local = list_inputs(corpus(include=("*.txt", "*.gz")), {"s": str(server.folder / "in")})
    assert local.digest == listing.digest  # where it lies is no part of what it is
    assert list_inputs(corpus(include=("*.txt", "*.gz")), {"s": f"file://{server.folder}/in"}).digest == listing.digest


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [True, False])
def test_a_run_from_a_web_server_is_the_run_from_disk(tmp_path: Path, server: Server, ranges: bool) -> None:
    server.ranges = ranges
    settings = corpus(include=("*.txt", "*.gz"))
    assert len(plan_splits(list_inputs(settings, {"s": f"{server.url}/in/"}), settings)) > 2
    local = make(tmp_path / "local", settings, {"s": server.folder / "in"})
    remote = make(tmp_path / "remote", settings, {"s": f"{server.url}/in/"})  # type: ignore[dict-item]
    assert texts(remote) == [*LINES, "packed line"] == texts(local)
    assert ledgers(remote) == ledgers(local)
    assert [row["doc_id"] for row in rows(remote, "documents")] == [row["doc_id"] for row in rows(local, "documents")]


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [True, False])
def test_formats_that_are_read_from_anywhere(tmp_path: Path, server: Server, ranges: bool) -> None:
    server.ranges = ranges
    pq.write_table(pa.table({"text": LINES}), server.folder / "in/t.parquet", row_group_size=500)
    with zipfile.ZipFile(server.folder / "in/z.zip", "w") as archive:
        archive.writestr("m.txt", "\n".join(LINES))
    many = corpus(format="parquet", unit="file").model_copy(update={"split_bytes": 5000})
    draft = make(tmp_path / "a", many, {"s": f"{server.url}/in/t.parquet"})  # type: ignore[dict-item]
    assert texts(draft) == LINES and len(draft.plan["splits"]) > 2
    draft = make(tmp_path / "b", corpus(), {"s": f"{server.url}/in/z.zip"})  # type: ignore[dict-item]
    assert texts(draft) == LINES and rows(draft, "documents")[0]["uri"] == "z.zip!/m.txt"


def test_a_second_plan_reads_nothing_again_until_something_changes(tmp_path: Path, server: Server) -> None:
    url, cache = f"{server.url}/in/a.txt", tmp_path / "cache.json"
    first = listed(url, cache)
    gets = dict(server.gets)
    assert listed(url, cache).digest == first.digest and server.gets == gets
    (server.folder / "in/a.txt").write_text("changed\n")
    changed = listed(url, cache)
    assert changed.files[0].bytes == 8 and changed.digest != first.digest


def test_what_is_not_there_is_told_before_anything_is_made(server: Server) -> None:
    with pytest.raises(InputError, match=r"source 's': http://.*none.txt"):
        listed(f"{server.url}/none.txt")
    with pytest.raises(InputError, match="no file at"):
        listed(f"{server.url}/in/", include=("*.md",))
    with pytest.raises(RequestError, match="source 's': nosuch://x"):
        listed("nosuch://x/y")


def test_any_file_system_of_fsspec(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/in/a.txt": b"one\ntwo\n", "/bucket/in/b/c.txt": b"three\n", "/bucket/in/b/d.md": b"x", "/bucket/other.txt": b"y"})
    try:
        draft = make(tmp_path / "draft", corpus(include=("*.txt",)), {"s": "memory://bucket/in"})  # type: ignore[dict-item]
        assert texts(draft) == ["one", "two", "three"]
        assert [row["uri"] for row in rows(draft, "documents")] == ["a.txt", "a.txt", "b/c.txt"]
        assert [f.uri for f in listed("memory://bucket/in/**/*.txt").files] == ["a.txt", "b/c.txt"]
        assert [f.uri for f in listed("memory://bucket/in/*", exclude=("*.md",)).files] == ["a.txt"]
    finally:
        memory.rm("/bucket", recursive=True)
        places.remote_folder.cache_clear()
