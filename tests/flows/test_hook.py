"""Hooks on a real server on loopback: who may send, what is taken, and that nothing is taken twice."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from time import time as now
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.arriving import hook
from flows.arriving.hook import FOLDER, open_hooks
from flows.arriving.signatures import HEADER, TOLERANCE, VARIABLE, Repeated, Unsigned, check, secrets, sign, take
from schemas.errors import RequestError
from schemas.recipe import Recipe
from schemas.store import Store
from tests.flows.chains import recipe

OLD, SECRET = b"the secret of last month", b"0123456789abcdef0123456789abcdef"


@given(st.binary(max_size=50), st.integers(0, 10**9), st.text("abc/", max_size=9), st.integers(-TOLERANCE, TOLERANCE))
def test_what_was_signed_is_known_and_nothing_else_is(body: bytes, at: int, path: str, late: int) -> None:
    header = sign(SECRET, at, path, body)
    assert check([OLD, SECRET], header, path, body, at + late) == header.removeprefix("t=").replace(",v1=", "-")
    others = [(path + "x", body, header), (path, body + b"x", header), (path, body, header.replace(f"t={at}", f"t={at + 1}"))]
    for other_path, other_body, other_header in [*others, (path, body, header + "x"), (path, body, "")]:
        with pytest.raises(Unsigned):
            check([OLD, SECRET], other_header, other_path, other_body, at + late)
    with pytest.raises(Unsigned):
        check([OLD], header, path, body, at)
    for far in (-1 - TOLERANCE, 1 + TOLERANCE):
        with pytest.raises(Unsigned, match="sign anew"):
            check([SECRET], header, path, body, at + far)


def test_a_signature_is_taken_once_and_forgotten_when_it_is_good_no_more(tmp_path: Path) -> None:
    for _ in range(2):  # as after a restart: the ledger is all that is remembered
        try:
            take(tmp_path / "ledger", f"1000-{'a' * 64}", 1000)
        except Repeated:
            break
    else:
        pytest.fail("taken twice")
    take(tmp_path / "ledger", f"2000-{'b' * 64}", 2000)
    assert [path.name[:5] for path in (tmp_path / "ledger").iterdir()] == ["2000-"]


def test_secrets_are_of_the_environment_and_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f" {OLD.decode()},{SECRET.decode()} ,")
    assert secrets() == (OLD, SECRET)
    monkeypatch.setenv(VARIABLE, "tooshort")
    with pytest.raises(RequestError, match="openssl rand") as error:
        secrets()
    assert "tooshort" not in str(error.value)


class Hooks(NamedTuple):
    """A server, and what it asked for."""

    port: int
    recipe: Recipe
    store: Store
    asked: list[tuple[str, str]]
    said: list[str]

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        secret: bytes = SECRET,
        time: int | None = None,
        signed_path: str | None = None,
        signed_body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request that is signed right, but for what is said."""
        if headers is None:
            told = body if signed_body is None else signed_body
            headers = {HEADER: sign(secret, int(now()) if time is None else time, signed_path or path, told)}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    monkeypatch.setenv(VARIABLE, f"{OLD.decode()},{SECRET.decode()}")
    store, wanted, stop = Store(tmp_path / "store"), recipe(tmp_path / "in"), threading.Event()
    store.root.mkdir()
    asked: list[tuple[str, str]] = []
    said: list[str] = []

    def act(name: str, why: str) -> None:
        if "fails" in why:
            raise RuntimeError("the server of deployments is away")
        asked.append((name, why))

    thread = threading.Thread(target=open_hooks({"c": wanted}, store, act, said.append, port=0), args=(stop,))
    thread.start()
    yield Hooks(int(said[0].split("/hooks")[0].rpartition(":")[2]), wanted, store, asked, said)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_signed_notice_starts_an_ingest_once(hooks: Hooks) -> None:
    body = json.dumps({"files": [{"uri": "a/1.txt"}]}).encode()
    at = int(now())
    status, told = hooks.send("POST", "/hooks/c", body, time=at)
    assert status == 202 and told["accepted"] and "an ingest" in told["what"]
    assert hooks.send("POST", "/hooks/c", b"", secret=OLD)[0] == 202
    assert hooks.asked == [("c", "a notice of 1 file"), ("c", "a notice")]
    status, told = hooks.send("POST", "/hooks/c", body, time=at)
    assert status == 409 and "taken before" in told["what"] and len(hooks.asked) == 2
    assert len(list((hooks.store.root / FOLDER / "c").iterdir())) == 2


def test_what_is_not_signed_right_is_refused_and_leaves_nothing(hooks: Hooks) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"headers": {}},
        {"secret": b"another one"},
        {"time": int(now()) - TOLERANCE - 5},
        {"signed_path": "/hooks/d"},
        {"signed_body": b"other"},
    )
    for change in changes:
        status, told = hooks.send("POST", "/hooks/c", b"{}", **change)
        assert status == 401 and told["accepted"] is False and "sign" in told["what"]
    assert hooks.asked == [] and not (hooks.store.root / FOLDER).exists()


def test_answers_say_what_to_do(hooks: Hooks) -> None:
    for method, path, body, status, words in (
        ("POST", "/hooks/other", b"{}", 404, "there is c"),
        ("POST", "/hooks/.c", b"{}", 400, "names are letters"),
        ("POST", "/hooks/c", b"{", 400, "is not JSON"),
        ("POST", "/hooks/c", b"x" * 70_000, 413, "65,536 bytes"),
        ("GET", "/hooks/c", b"", 405, "POST /hooks/NAME"),
        ("POST", "/elsewhere", b"", 404, "POST /hooks/NAME"),
        ("PUT", "/hooks/c/nowhere/1.txt", b"", 409, "there is a, b"),
        ("PUT", "/hooks/c/a/1.part", b"", 409, "unfinished"),
        ("PUT", "/hooks/c/a/..%2f1.txt", b"", 404, "POST /hooks/NAME"),
        ("PUT", "/hooks/c/a/fails", b"", 503, "sign anew"),
    ):
        found, told = hooks.send(method, path, body)
        assert found == status and words in told["what"], (path, found, told)


def test_a_file_is_put_whole_once_and_over_no_other(hooks: Hooks, tmp_path: Path) -> None:
    assert hooks.send("PUT", "/hooks/c/a/1.txt", b"A text came by HTTP.\n")[0] == 201
    assert (tmp_path / "in" / "a" / "1.txt").read_bytes() == b"A text came by HTTP.\n"
    later = int(now()) + 1
    assert hooks.send("PUT", "/hooks/c/a/1.txt", b"A text came by HTTP.\n", time=later)[0] == 200
    status, told = hooks.send("PUT", "/hooks/c/a/1.txt", b"Another.\n")
    assert status == 409 and "new name" in told["what"]
    assert [path.name for path in (tmp_path / "in" / "a").iterdir()] == ["1.txt"]
    assert hooks.asked == [("c", "file 1.txt for source a")] * 2


def test_a_slow_sender_leaves_room_for_a_few_only(hooks: Hooks) -> None:
    slow = []
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", hooks.port, timeout=30)
        connection.putrequest("POST", "/hooks/c")
        connection.putheader("Content-Length", "100")
        connection.putheader(HEADER, sign(b"whatever", int(now()), "/hooks/c", b"{"))
        connection.endheaders(b"{")
        slow.append(connection)
    deadline = monotonic() + 30
    while (answer := hooks.send("POST", "/hooks/c", b"{}", secret=b"whatever"))[0] != 429:
        assert monotonic() < deadline, answer
    assert "come again" in answer[1]["what"]
    for connection in slow:
        connection.close()
    while (answer := hooks.send("POST", "/hooks/c", b"{}", time=int(now())))[0] == 429:  # there is room again
        assert monotonic() < deadline, answer
    assert answer[0] == 202


def test_connections_that_say_nothing_are_few_and_end(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_CONNECTIONS", 3)
    monkeypatch.setattr(hook, "_HEADERS", 0.5)
    silent = [socket.create_connection(("127.0.0.1", hooks.port), timeout=30) for _ in range(3)]
    with socket.create_connection(("127.0.0.1", hooks.port), timeout=30) as other:
        assert _is_ended(other)
    assert all(_is_ended(one) for one in silent)
    for one in silent:
        one.close()
    assert hooks.send("POST", "/hooks/c", b"{}")[0] == 202


def _is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_documented_commands_sign(hooks: Hooks, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "arrivals.md").read_text(encoding="utf-8")
    environment = {**os.environ, "GRISTMILL_HOOK_SECRET": SECRET.decode()}
    for language, code in re.findall(r"^```(python|sh)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        code = code.replace("127.0.0.1:4299", f"127.0.0.1:{hooks.port}").replace("/hooks/mine", "/hooks/c").replace("/tmp/", f"{tmp_path}/")
        program = [sys.executable, "-c", code] if language == "python" else ["sh", "-c", code]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and '"accepted":true' in done.stdout.replace(" ", ""), (code, done.stdout, done.stderr)
    assert hooks.asked == [("c", "a notice of 1 file"), ("c", "file monday.txt for source a")]


def test_without_a_secret_no_hook_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    said: list[str] = []
    assert open_hooks({}, Store(tmp_path), lambda name, why: None, said.append) is None
    assert said == [f"no hooks: nobody could sign, as {VARIABLE} is not set (openssl rand -hex 32)"]


def test_a_hook_that_could_not_work_is_refused_before_anything_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(RequestError, match="less than 16"):
        open_hooks({}, Store(tmp_path), lambda name, why: None, lambda line: None, port=0)
    monkeypatch.setenv(VARIABLE, SECRET.decode())
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(RequestError, match="can't listen"):
        open_hooks({}, Store(tmp_path), lambda name, why: None, lambda line: None, port=other.getsockname()[1])
