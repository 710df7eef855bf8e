"""The model: a server *listens* at an address until it is told to end. Then it refuses what is new, finishes what it has begun, and ends;
told again, it ends what it has begun, too. Beyond this machine it listens only with a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from model.serving.app import Routes
from model.serving.house import House
from schemas.errors import RequestError

TOKEN = "GRISTMILL_API_TOKEN"
_IDLE_SECONDS = 75
_GRACE = 5.0


def bind(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens. Raises `RequestError` for an address beyond this machine without a token, or one that can't be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if token is None and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise RequestError(f"--host {host}: others could use the model: set {TOKEN} to a token that they must know, or use 127.0.0.1")
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        raise RequestError(f"--host {host} --port {port}: can't listen there: {error}") from error
    listening.setblocking(False)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where OpenAI's client finds the server."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def serve(house: House, listening: socket.socket, token: str | None, every: float | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``every``: seconds after which the house looks for a newer version; None: never."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each client that goes away while it is sent something
    asyncio.run(_serve(house, listening, token, every, ready))
    house.wait()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """It would raise them again in the end; `_serve` hears them."""
        yield


async def _serve(house: House, listening: socket.socket, token: str | None, every: float | None, ready: Callable[[], None]) -> None:
    grace = house.limits.seconds + _GRACE
    config = uvicorn.Config(
        Routes(house, token).app,
        access_log=False,
        log_config=None,
        http="h11",
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=int(grace),
    )
    server = _Server(config)

    def end() -> None:
        house.close(now=house.closing)
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    following = asyncio.create_task(house.follow(every)) if every is not None else None
    ready()
    try:
        await server.serve(sockets=[listening])
    finally:
        if following is not None:
            following.cancel()
        house.close()
