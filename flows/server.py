"""The model: a *server* is Prefect's API, and its pages for the browser, as our child; it dies with us even on SIGKILL. An *embedded*
one lives as long as the run that started it, on loopback, with its SQLite file below the working folder. With PREFECT_API_URL set, or
where somebody serves, that server is used instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from flows.place import served_at
from schemas.errors import RequestError

_START_LIMIT = 120.0
"""Seconds; the first start migrates an empty database, which takes about ten."""
LOOPBACK = "127.0.0.1"


class ServerFailed(Exception):
    """The server did not come up; the message names its log."""


def quiet_defaults(home: Path, pages: bool = False) -> None:
    """Settings for Prefect that keep it inside `home`, silent and offline; what the user has set stands. Call before importing it.

    Leases of concurrency limits lie in files, so that a server that starts anew knows them. Runs that ended 90 days ago go, with their logs
    and artifacts: what was made is in the store. A password that our server asks for is known to our clients.
    """
    for key, value in {
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_ENABLED": str(pages).lower(),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.resolve() / "pages"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }.items():
        os.environ.setdefault(key, value)
    if secret := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", secret)


class Server:
    """A server in a process of its own, and how to start it anew."""

    def __init__(self, home: Path, host: str = LOOPBACK, port: int = 0) -> None:
        self.host, self.port = host, port or free_port()
        self.log = home / "server.log"
        reached = f"[{host}]" if ":" in host else LOOPBACK if host == "0.0.0.0" else host
        self.url = f"http://{reached}:{self.port}/api"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait` tells when it is up."""
        application = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", self.host, "--port", str(self.port)]
        command = [sys.executable, "-m", "schemas.process", str(os.getpid()), sys.executable, "-m", *application, "--log-level", "error"]
        with open(self.log, "ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def ended(self) -> int | None:
        """Its exit code, if it has ended."""
        assert self._process is not None
        return self._process.poll()

    def is_up(self) -> bool:
        """Whether it answers. Raises `ServerFailed` if it has ended."""
        if (code := self.ended()) is not None:
            raise ServerFailed(f"the Prefect server ended with exit code {code}; see {self.log}")
        return answers(self.url)

    def wait(self) -> None:
        """Wait until it answers. Raises `ServerFailed`."""
        deadline = time.monotonic() + _START_LIMIT
        while not self.is_up():
            if time.monotonic() > deadline:
                raise ServerFailed(f"the Prefect server was not up after {_START_LIMIT:.0f} s; see {self.log}")
            time.sleep(0.1)

    def end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    """Yield the URL of a Prefect API: the one in PREFECT_API_URL, that of who serves beside `home`, or an embedded one that ends with the
    block."""
    if os.environ.get("PREFECT_API_URL"):
        yield os.environ["PREFECT_API_URL"]
        return
    home.mkdir(parents=True, exist_ok=True)
    quiet_defaults(home)
    with contextlib.ExitStack() as stack:
        if (url := served_at(home.parent, _START_LIMIT)) is None:
            server = Server(home)
            stack.callback(server.end)
            with alone(home):
                server.start()
                server.wait()
            url = server.url
        os.environ["PREFECT_API_URL"] = url
        try:
            yield url
        finally:
            del os.environ["PREFECT_API_URL"]


def answers(url: str) -> bool:
    """Whether a server answers at the URL of its API."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(url: str) -> None:
    """Wait until somebody else's server answers. Raises `ServerFailed`."""
    deadline = time.monotonic() + _START_LIMIT
    while not answers(url):
        if time.monotonic() > deadline:
            raise ServerFailed(f"no Prefect server has answered at PREFECT_API_URL, {url}, for {_START_LIMIT:.0f} s")
        time.sleep(1)


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the lock on starting a server here; it goes with the process. Two that migrate one empty database at once break each other."""
    with open(home / "start.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def refuse_taken(host: str, port: int) -> None:
    """Raises `RequestError` if somebody listens there already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RequestError(f"can't listen at {host}:{port}: {error.strerror}; name another one by --port, or 0 for any") from error
