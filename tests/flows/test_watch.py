"""A watch over folders and URLs: it hands on what an ingest would read, once, and never by its own judgement."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from flows.arriving.watch import Act, Found, look, watch
from schemas.recipe import Recipe
from schemas.store import Store
from tests.flows.chains import ingest, recipe

LIMIT = 60.0


class Heard:
    """What a watch handed on."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.said: list[str] = []
        self.changed = threading.Condition()

    def act(self, found: Found) -> None:
        with self.changed:
            self.found.append(found)
            self.changed.notify_all()

    def wait_for(self, count: int) -> list[Found]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.found) >= count, LIMIT), (self.found, self.said)
            return list(self.found)


@contextmanager
def watching(wanted: Recipe, store: Store, heard: Heard, interval: float, act: Act | None = None) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(wanted, store, act or heard.act, interval, stop, heard.said.append))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LIMIT)
        assert not thread.is_alive()


def with_text(path: Path, n: int) -> None:
    path.write_text("".join(f"Line {k} of file {n} has some words.\n" for k in range(5)))


def test_a_look_says_what_an_ingest_would_do(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in"), Store(tmp_path / "store")
    assert look(wanted, store) is None
    with_text(tmp_path / "in" / "a" / "1.txt", 1)
    found = look(wanted, store)
    assert found is not None and found == look(wanted, store) and found.name == "c"
    with_text(tmp_path / "in" / "a" / "2.part", 2)
    assert look(wanted, store) == found
    ingest(store, wanted)
    with_text(tmp_path / "in" / "a" / "3.txt", 3)
    later = look(wanted, store)
    assert later is not None and later.digest != found.digest and later.reasons[0] == "1 new file in source a"


def test_a_file_is_handed_on_once_it_is_settled(tmp_path: Path) -> None:
    wanted, store, heard = recipe(tmp_path / "in", settle=1), Store(tmp_path / "store"), Heard()
    with watching(wanted, store, heard, interval=3600):  # what is found in time was told by the system
        time.sleep(1)
        with open(tmp_path / "in" / "a" / "1.txt", "w") as file:
            for n in range(4):
                file.write(f"The sender writes line {n} slowly.\n")
                file.flush()
                time.sleep(0.4)
        written = time.time()
        (found,) = heard.wait_for(1)
        assert time.time() - written >= 0.9
        (tmp_path / "in" / "a" / "sub").mkdir()
        with_text(tmp_path / "in" / "a" / "sub" / "2.txt", 2)
        assert heard.wait_for(2)[1].digest != found.digest
        shutil.rmtree(tmp_path / "in" / "a")
        (tmp_path / "in" / "a").mkdir()
        time.sleep(2)
        with_text(tmp_path / "in" / "a" / "3.txt", 3)  # in a folder that is another one now
        assert "1 new file" in " ".join(heard.wait_for(3)[2].reasons) or len(heard.found) > 2
    assert heard.said == []


def test_what_nobody_told_of_is_found_by_the_next_look_and_errors_end_nothing(tmp_path: Path) -> None:
    wanted, store, heard = recipe(tmp_path / "in"), Store(tmp_path / "store"), Heard()
    failures = iter([RuntimeError("the deployment is away"), OSError("so is the network")])

    def act(found: Found) -> None:
        if (error := next(failures, None)) is not None:
            raise error
        heard.act(found)

    (tmp_path / "in" / "a").rmdir()  # no folder, so nothing is told; an error, too
    with watching(wanted, store, heard, interval=0.5, act=act):
        time.sleep(1)
        (tmp_path / "in" / "a").mkdir()
        with_text(tmp_path / "in" / "a" / "1.txt", 1)
        heard.wait_for(1)
    assert [line for line in heard.said if "RuntimeError: the deployment is away" in line]
    assert [line for line in heard.said if line == "watch c: so is the network"]


def test_the_same_news_are_handed_on_ever_more_rarely(tmp_path: Path) -> None:
    wanted, store, heard = recipe(tmp_path / "in"), Store(tmp_path / "store"), Heard()
    with_text(tmp_path / "in" / "a" / "1.txt", 1)
    with watching(wanted, store, heard, interval=0.5):
        heard.wait_for(2)
        time.sleep(3)
    assert 2 <= len(heard.found) <= 4 and len({found.digest for found in heard.found}) == 1


def _of_url(url: str) -> Recipe:
    sources = [{"name": "a", "path": url, "format": "txt", "unit": "line", "lang": "en"}]
    return Recipe.model_validate({"name": "c", "corpus": {"sources": sources, "incremental": True}, "run": {"settle": 0}})


def test_what_lies_in_an_object_store_is_polled(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/watched/0.txt", b"What was there before anybody looked.\n")
    store, heard = Store(tmp_path / "store"), Heard()
    with watching(_of_url("memory://watched"), store, heard, interval=1):
        (first,) = heard.wait_for(1)
        files.pipe("/watched/1.txt", b"An object came.\n")
        found = heard.wait_for(2)
        assert found[-1].digest != first.digest or len(heard.wait_for(3)) >= 3
    files.rm("/watched", recursive=True)


@pytest.mark.slow
def test_what_a_web_server_lists_is_polled(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    with_text(tmp_path / "www" / "0.txt", 0)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store, heard = Store(tmp_path / "store"), Heard()
        with watching(_of_url(f"http://127.0.0.1:{server.server_port}/"), store, heard, interval=1):
            (first,) = heard.wait_for(1)
            with_text(tmp_path / "www" / "1.txt", 1)
            while heard.wait_for(1)[-1].digest == first.digest:
                heard.wait_for(len(heard.found) + 1)
        server.shutdown()
