"""The event that an ingest leaves at a real server, and what a person sees of drift: one small run of the commands."""

from __future__ import annotations

import gzip
import json
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from schemas.champion import begin_reign
from schemas.store import Store
from tests.flows.conftest import GOOD, THINGS, Server, command_in

pytestmark = pytest.mark.slow

FLUSHED = 5.0
"""Seconds after which a server stores what it was sent (PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL)."""


def events(server: Server, name: str) -> list[dict[str, Any]]:
    """Of a recipe, as the server has them, oldest first."""
    asked = {"filter": {"event": {"name": ["gristmill.documents.committed"]}, "resource": {"id": [f"gristmill.documents.{name}"]}}}
    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/events/filter", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["events"]
    return found[::-1]


def until_stored(server: Server, name: str) -> list[dict[str, Any]]:
    """The same, once there is any: the server stores events in batches, every few seconds."""
    for _ in range(120):
        if found := events(server, name):
            return found
        time.sleep(0.5)
    return []


@pytest.fixture(scope="module")
def inbox(workspace: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace once more, with its model as the champion; then other notes and more reviews came, and were ingested."""
    folder = tmp_path_factory.mktemp("inbox")
    shutil.copytree(workspace, folder, dirs_exist_ok=True)
    store = Store(folder / ".gristmill" / "store")
    model = store.find("model/tiny")
    begin_reign(store.root, "tiny", 0, {"pretrain": model.reference}, {"pretrain": model.manifest.content_digest}, "hand", "test")
    text = (folder / "tiny.yaml").read_text().replace("corpus:\n", "corpus:\n  incremental: true\n")
    (folder / "tiny.yaml").write_text(text + "retrain: {after_tokens: 100, drift: {}}\nrun: {settle: 0}\n")
    for n in range(40):
        note = f"THE RIVER NUMBER {n} CAME LATE, AND NOBODY SAW THE {n * n} STONES IN IT.\n"
        (folder / "raw" / "notes" / f"new{n:02d}.txt").write_text(note)
    rows = [{"text": f"{THINGS[n % 9]}第{n * 37}次来了，{THINGS[n % 7]}{GOOD[n % 8]}，还会再来。", "label": "positive"} for n in range(60)]
    with gzip.open(folder / "raw" / "reviews.jsonl.gz", "at", encoding="utf-8") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    command_in(folder, server)("ingest", "tiny.yaml")
    return folder


def test_an_ingest_that_commits_leaves_an_event(inbox: Path, server: Server) -> None:
    (event,) = until_stored(server, "tiny")
    store = Store(inbox / ".gristmill" / "store")
    tokens = store.find("tokens/tiny")
    told = event["payload"]
    assert (told["name"], told["tokens"], told["documents"]) == ("tiny", tokens.reference, store.find("documents/tiny").reference)
    assert 50 <= told["new_documents"] <= 100 and told["new_tokens"] == told["tokens_since_champion"] > 500 and told["champion"] == 1
    assert any(related["prefect.resource.role"] == "flow-run" for related in event["related"])
    mark = store.root / ".cache" / "told" / "tiny"
    assert mark.read_text() == event["id"]
    shutil.rmtree(mark.parent)  # as if the run had been killed before it told
    mark.parent.write_text("in the way")  # and the next one can't write down that it did, which is only a warning
    command_in(inbox, server)("run", "tiny.yaml", "--until", "tokens")
    time.sleep(2 * FLUSHED)
    assert [one["id"] for one in events(server, "tiny")] == [event["id"]]  # sent again, stored once


def test_drift_is_told_with_the_champions_bits_per_byte(inbox: Path, server: Server) -> None:
    told = command_in(inbox, server)("drift", "tiny.yaml").stdout
    rows = {tuple(line.split()[:2]): line for line in told.splitlines() if line.startswith("  ")}
    assert ("bits_per_byte", "zh") in rows and ("bytes_per_token", "en") in rows, told
    assert rows["bytes_per_token", "en"].endswith("drifts") and "\ndrift in " in told
