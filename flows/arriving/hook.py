"""The model: a *hook* is an address where others say by HTTP that there is something to read, or put a file themselves:

    POST /hooks/NAME                    a notice, {"files": [{"uri": ...}]} or anything else that is JSON: a hint, and no more
    PUT  /hooks/NAME/SOURCE/FILE        a file for the folder of a source: whole or not at all, and never over another one

Both are signed (`flows.arriving.signatures`), and end in an ingest, which looks for itself. All answers are JSON that says what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from flows.arriving.pushed import NotTaken, put
from flows.arriving.signatures import HEADER, VARIABLE, Repeated, Unsigned, check, fresh, secrets, take
from model.serving.listen import bind
from schemas.recipe import Recipe
from schemas.store import Store

PORT = 4299
FOLDER = ".hooks"
"""Of the ledgers, in a store."""
_CONNECTIONS = 64
_HEADERS = 10.0
"""Seconds until a new connection has sent the head of a request."""
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}")

Act = Callable[[str, str], object]
"""What starts an ingest: the recipe's name, and why, in words."""


@dataclass(frozen=True)
class Limits:
    """Of what is taken."""

    notice_bytes: int = 64 << 10
    file_bytes: int = 64 << 20
    """Of a file that is put; it is held in memory until its signature was checked."""
    at_once: int = 4
    """Requests; others are told to come again."""
    seconds: float = 60.0
    """For a body to arrive."""


class _Refused(Exception):
    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


def hook_app(recipes: Mapping[str, Recipe], store: Store, known: Sequence[bytes], act: Act, limits: Limits | None = None) -> FastAPI:
    """The hooks of recipes, by their names. `known`: secrets, of which each is good; `act` may raise, and is asked in a thread."""
    bounds, free = limits or Limits(), asyncio.Semaphore((limits or Limits()).at_once)
    app = FastAPI(openapi_url=None)

    async def taken(request: Request, name: str, most: int) -> bytes:
        fresh(request.headers.get(HEADER), time.time())
        body, now = await _body(request, most, bounds.seconds), time.time()
        signature = check(known, request.headers.get(HEADER), request.scope["path"], body, now)  # `url` is what the sender calls us
        if name not in recipes:
            raise _Refused(404, f"no recipe of this name is served; there is {', '.join(sorted(recipes))}")
        await asyncio.to_thread(take, store.root / FOLDER / name, signature, now)
        return body

    async def notice(request: Request) -> Response:
        name = request.path_params["name"]
        body = await taken(request, name, bounds.notice_bytes)
        hinted = _hinted(body)
        await asyncio.to_thread(act, name, f"a notice of {hinted} file{'s' if hinted != 1 else ''}" if hinted else "a notice")
        return JSONResponse({"accepted": True, "name": name, "what": "an ingest looks at all sources, and reads what is new"}, 202)

    async def file(request: Request) -> Response:
        name, source, filename = (request.path_params[key] for key in ("name", "source", "file"))
        body = await taken(request, name, bounds.file_bytes)
        created = await asyncio.to_thread(put, recipes[name], source, filename, body)
        await asyncio.to_thread(act, name, f"file {filename} for source {source}")  # if it was there: who sent it may not have been heard
        what = "an ingest reads it" if created else "the same file was there already"
        return JSONResponse({"accepted": True, "name": name, "file": filename, "bytes": len(body), "what": what}, 201 if created else 200)

    app.add_route("/hooks/{name}", _guarded(notice, free), methods=["POST"])
    app.add_route("/hooks/{name}/{source}/{file}", _guarded(file, free), methods=["PUT"])
    for status in (404, 405):
        app.add_exception_handler(status, _nowhere)
    return app


def open_hooks(
    recipes: Mapping[str, Recipe], store: Store, act: Act, say: Callable[[str], None], host: str = "127.0.0.1", port: int = PORT
) -> Callable[[threading.Event], None] | None:
    """Listen, and return what serves hooks until an event is set; without a secret in the environment, say so. Raises `RequestError` for a
    secret that can be guessed, and for an address that can't be had."""
    known = secrets()
    if not known:
        say(f"no hooks: nobody could sign, as {VARIABLE} is not set (openssl rand -hex 32)")
        return None
    listening = bind(host, port, VARIABLE)
    app = hook_app(recipes, store, known, act)
    say(f"hooks at http://{host}:{listening.getsockname()[1]}/hooks/NAME, for {', '.join(sorted(recipes))}")
    return lambda stop: asyncio.run(_serve(app, listening, stop))


class _Connection(H11Protocol):
    """One of not too many, whose sender says soon what he wants: idle ones would take this process' files until it could open no more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(_HEADERS, self._end_if_silent)

    def _end_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are another's to hear, as the main thread is."""
        yield


async def _serve(app: FastAPI, listening: Any, stop: threading.Event) -> None:
    options: dict[str, Any] = {"access_log": False, "log_config": None, "http": _Connection, "ws": "none", "lifespan": "off"}
    server = _Server(uvicorn.Config(app, server_header=False, timeout_keep_alive=15, timeout_graceful_shutdown=5, **options))

    async def end() -> None:
        while not stop.is_set():
            await asyncio.sleep(0.2)
        server.should_exit = True

    ending = asyncio.create_task(end())
    await server.serve(sockets=[listening])
    ending.cancel()


def _guarded(handler: Callable[[Request], Any], free: asyncio.Semaphore) -> Callable[[Request], Any]:
    """Bound how many there are at once, and tell what goes wrong."""

    async def guarded(request: Request) -> Response:
        if free.locked():
            return _told(429, "others are being served: come again in a second", {"Retry-After": "1"})
        async with free:
            try:
                if not all(_NAME.fullmatch(part) for part in request.path_params.values()):
                    raise _Refused(400, "names are letters, digits, '-', '_' and '.', and begin with none of '-' and '.'")
                answer: Response = await handler(request)
                return answer
            except _Refused as refused:
                return _told(refused.status, str(refused))
            except Unsigned as error:
                return _told(401, str(error))
            except (Repeated, NotTaken) as error:
                return _told(409, str(error))
            except Exception as error:  # ours, not the sender's: he is told that, and the log tells what
                print(f"gristmill hook: {request.url.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                return _told(503, "the server failed, and its log says why: sign anew, and send it again", {"Retry-After": "60"})

    return guarded


async def _body(request: Request, most: int, seconds: float) -> bytes:
    """Raises `_Refused` if it is too large, or too slow."""
    said = request.headers.get("content-length", "")
    too_large = _Refused(413, f"the body has more than {most:,} bytes: send less, or put the files where the recipe's source lies")
    if said.isdecimal() and int(said) > most:
        raise too_large
    chunks, size, more = [], 0, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "the sender went away")  # who won't hear it
                chunks.append(message.get("body", b""))
                size, more = size + len(chunks[-1]), message.get("more_body", False)
                if size > most:
                    raise too_large
    except TimeoutError as error:
        raise _Refused(408, f"the body took more than {seconds:.0f} s: send it again") from error
    return b"".join(chunks)


def _hinted(body: bytes) -> int:
    """How many files a notice tells of. Raises `_Refused`."""
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise _Refused(400, 'the body is not JSON: send {"files": [{"uri": "..."}]}, or nothing') from error
    files = told.get("files", []) if isinstance(told, dict) else []
    return len(files) if isinstance(files, list) else 0


async def _nowhere(request: Request, error: Exception) -> Response:
    return _told(getattr(error, "status_code", 404), "POST /hooks/NAME or PUT /hooks/NAME/SOURCE/FILE")


def _told(status: int, what: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"accepted": False, "what": what}, status, dict(headers or {}))
