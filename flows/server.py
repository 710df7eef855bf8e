"""The model: an *embedded server* is Prefect's API on loopback, with its SQLite file below the working folder. It lives as
long as the run that started it, and dies with it even on SIGKILL. With PREFECT_API_URL set, that server is used instead.
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

_START_LIMIT = 120.0
"""Seconds; the first start migrates an empty database, which takes about ten."""


class ServerFailed(Exception):
    """The embedded server did not come up; the message names its log."""


def quiet_defaults(home: Path) -> None:
    """Settings for Prefect that keep it inside `home`, silent and offline; what the user has set stands. Call before importing it."""
    for key, value in {
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }.items():
        os.environ.setdefault(key, value)


@contextlib.contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    """Yield the URL of a Prefect API: the one in PREFECT_API_URL, or an embedded one that ends with the block."""
    if os.environ.get("PREFECT_API_URL"):
        yield os.environ["PREFECT_API_URL"]
        return
    home.mkdir(parents=True, exist_ok=True)
    quiet_defaults(home)
    port, log = _free_port(), home / "server.log"
    application = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "schemas.process", str(os.getpid()), sys.executable, "-m", *application, "--log-level", "error"]
    url = f"http://127.0.0.1:{port}/api"
    with contextlib.ExitStack() as stack:
        with _alone(home):  # two servers that migrate one empty database at once break each other
            with open(log, "ab") as output:
                server = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            stack.callback(_end, server)
            _wait_until_up(server, url, log)
        os.environ["PREFECT_API_URL"] = url
        try:
            yield url
        finally:
            del os.environ["PREFECT_API_URL"]


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the lock on starting a server here; it goes with the process."""
    with open(home / "start.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerFailed(f"the embedded Prefect server ended with exit code {server.returncode}; see {log}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise ServerFailed(f"the embedded Prefect server was not up after {_START_LIMIT:.0f} s; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
