"""Drafts of the documents step over small raw inputs, and what to look at in them afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import corpus
from pipelines.job import Job
from pipelines.runners import run_in_process
from schemas.arrow import read_shard
from schemas.draft import Draft
from schemas.fingerprint import Identity, digest_file
from schemas.ledger import Ledger, add_by_source
from schemas.recipe import Corpus, Source

ROOT = Path(__file__).parents[2]


def source(name: str = "s", **settings: Any) -> Source:
    return Source(**{"name": name, "path": "", "format": "txt", "lang": "en", **settings})


def start(folder: Path, settings: Corpus, roots: Mapping[str, Path], workers: int = 1) -> Draft:
    """A new draft in `folder`, planned and assigned as flows do it."""
    paths = {name: str(path) for name, path in roots.items()} | corpus.file_roots(settings)
    listing = corpus.list_inputs(settings, paths)
    identity = Identity(
        "documents",
        corpus.STEP_VERSION,
        corpus.identity_settings(settings),
        {"sources": listing.digest, **corpus.evaluation_digests(settings)},
        corpus.engines(settings),
    )
    draft = Draft.start(folder, "documents", "test", identity, corpus.plan_splits(listing, settings))
    draft.assign(inputs={}, roots=paths, run={"workers": workers})
    return draft


def make(folder: Path, settings: Corpus, roots: Mapping[str, Path]) -> Draft:
    """A draft with all its parts, made in this process."""
    draft = start(folder, settings, roots)
    run_in_process(Job.open(draft.path))
    return draft


def command(draft: Draft) -> list[str]:
    return [sys.executable, "-m", "pipelines.corpus", str(draft.path)]


def run_command(draft: Draft) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(draft), cwd=ROOT, capture_output=True, text=True, check=False)


def attempted(draft: Draft, stage: str, key: str, times: int) -> None:
    """Note starts without an end of a piece of work."""
    folder = draft.scratch() / "attempts" / stage
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(times):
        (folder / f"{key}-{n}").touch()


def rows(draft: Draft, role: str) -> list[dict[str, Any]]:
    """All rows of the shards of a role, in order."""
    files = [file for part in draft.parts("finish") for file in part.files if file.role == role]
    return [row for file in files for row in read_shard(draft.path / file.path).to_pylist()]


def texts(draft: Draft) -> list[str]:
    return [row["text"] for row in rows(draft, "documents")]


def reasons(draft: Draft) -> list[str]:
    return [row["reason"] for row in rows(draft, "rejects")]


def ledgers(draft: Draft) -> dict[str, Ledger]:
    """By source; every one of them balances."""
    total = add_by_source([part.ledgers for part in draft.parts("finish")])
    assert [problem for ledger in total.values() for problem in ledger.imbalances()] == []
    return total


def digests(draft: Draft) -> dict[str, str]:
    """Digest of every file that the parts of the draft list, and of the part records, by path; scratch aside."""
    stages = ("prepare", "duplicates", "near_duplicates", "finish")
    listed = [f.path for stage in stages for part in draft.parts(stage) for f in part.files if f.role != "work"]
    records = [part.record_path for stage in stages for part in draft.parts(stage)]
    return {path: digest_file(draft.path / path) for path in listed + records}
