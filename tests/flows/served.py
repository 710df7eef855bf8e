"""The model: a *server* is `gristmill api` as a process of its own, on a port of its own, for tests and benches that talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from schemas import recipe
from schemas.artifact import Artifact
from tests.model.conftest import commit_tokenizer, small_documents
from tests.model.served import commit_model, random_model

CONTEXT = 256
SMALL = recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=48, context=CONTEXT)
ENCODER = recipe.Encoder(family="bert", layers=2, width=32, heads=4, ffn=64, context=CONTEXT)


class Server:
    """A running server; its model, its address, and what it said."""

    def __init__(self, store: Path, model: str, log: Path, *options: str, token: str | None = None) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "GRISTMILL_API_TOKEN"}
        environment |= {"OMP_NUM_THREADS": "1"} | ({"GRISTMILL_API_TOKEN": token} if token else {})
        command = [sys.executable, "-m", "flows.cli", "api", model, "--port", "0", "--threads", "1", "--json", "--store", str(store)]
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, f"the server did not start: {log.read_text()}"
            told += line
        facts = json.loads(told)
        self.model, self.url = facts["model"], facts["url"]

    @property
    def said(self) -> str:
        return self._log.read_text()

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/metrics", timeout=60) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name.removeprefix("gristmill_"): float(value) for name, value in lines}

    def end(self) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextlib.contextmanager
def serving(store: Path, model: str, log: Path, *options: str, token: str | None = None) -> Iterator[Server]:
    server = Server(store, model, log, *options, token=token)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


def small_tokenizer(folder: Path) -> Path:
    """The file of a tokenizer of 600 ids."""
    return commit_tokenizer(folder / "tokenizer", [text for _, _, text in small_documents()], 600).paths("tokenizer")[0]


def small_version(store: Path, tokenizer: Path, seed: int, broken: bool = False) -> Artifact:
    """A version of the decoder model/small."""
    return commit_model(store, "small", random_model(SMALL, 600, seed), tokenizer, seed, broken)
