"""The event that an ingest leaves at a real server, and what a person sees of drift: one small run of the commands."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from schemas.champion import begin_reign
from schemas.store import Store
from tests.flows.conftest import Server, command_in

pytestmark = pytest.mark.slow


def events(server: Server, name: str) -> list[dict[str, Any]]:
    """Of a recipe, as the server has them, oldest first."""
    asked = {"filter": {"event": {"name": ["gristmill.documents.committed"]}, "resource": {"id": [f"gristmill.documents.{name}"]}}}
    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/events/filter", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["events"]
    return found[::-1]


@pytest.fixture(scope="module")
def inbox(workspace: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace once more, under another name, with its model as the champion; then 40 notes that came since were ingested."""
    folder = tmp_path_factory.mktemp("inbox")
    shutil.copytree(workspace, folder, dirs_exist_ok=True)
    store = Store(folder / ".gristmill" / "store")
    model = store.find("model/tiny")
    begin_reign(store.root, "tiny", 0, {"pretrain": model.reference}, {"pretrain": model.manifest.content_digest}, "hand", "test")
    text = (folder / "tiny.yaml").read_text()
    (folder / "tiny.yaml").write_text(text + "retrain: {after_tokens: 100, drift: {}}\n")
    for n in range(40):
        (folder / "raw" / "notes" / f"new{n:02d}.txt").write_text(
            f"THE RIVER NUMBER {n} CAME LATE, AND NOBODY SAW THE {n * n} STONES IN IT.\n"
        )
    command_in(folder, server)("ingest", "tiny.yaml", "--settle", "0")
    return folder


def test_an_ingest_that_commits_leaves_an_event(inbox: Path, server: Server) -> None:
    (event,) = events(server, "tiny")
    store = Store(inbox / ".gristmill" / "store")
    tokens = store.find("tokens/tiny")
    told = event["payload"]
    assert (told["name"], told["tokens"], told["documents"]) == ("tiny", tokens.reference, store.find("documents/tiny").reference)
    assert 20 <= told["new_documents"] <= 40 and told["new_tokens"] == told["tokens_since_champion"] > 500 and told["champion"] == 1
    assert any(related["prefect.resource.role"] == "flow-run" for related in event["related"])
    (inbox / "incremental.yaml").write_text((inbox / "tiny.yaml").read_text().replace("corpus:\n", "corpus:\n  incremental: true\n"))
    command_in(inbox, server)("run", "incremental.yaml", "--until", "tokens")
    assert len(events(server, "tiny")) == 1  # what is there was told
    shutil.rmtree(inbox / ".gristmill" / "store" / ".cache" / "told")  # as if the run had been killed before it told
    command_in(inbox, server)("run", "incremental.yaml", "--until", "tokens")
    assert [one["id"] for one in events(server, "tiny")] == [event["id"]]  # sent again, stored once


def test_a_server_that_knows_no_events_fails_no_run(inbox: Path, server: Server) -> None:
    (inbox / "raw" / "notes" / "later.txt").write_text("A note that came when nobody could hear of it, about a winter harbour.\n")
    told = inbox / ".gristmill" / "store" / ".cache" / "told"
    shutil.rmtree(told)
    told.write_text("in the way")  # so that the mark can't be written
    command_in(inbox, server)("ingest", "tiny.yaml", "--settle", "0", "--json")
    told.unlink()


def test_drift_is_told_with_the_champions_bits_per_byte(inbox: Path, server: Server) -> None:
    done = command_in(inbox, server)("drift", "tiny.yaml")
    assert "bytes_per_token" in done.stdout and "drift in" in done.stdout, done.stdout
    told = json.loads(command_in(inbox, server)("drift", "tiny.yaml", "--json").stdout)
    by_measure = {(one["measure"], one["where"]): one for one in told["findings"]}
    assert by_measure["rare_tokens", "all"]["drifts"] or by_measure["bytes_per_token", "en"]["drifts"]
    noted = " ".join(told["notes"])
    assert ("bits_per_byte", "en") in by_measure or "bits_per_byte of en" in noted
