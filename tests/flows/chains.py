"""Chains of versions, made step by step as `gristmill ingest` makes them, but in this process and without tracking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.planning import decide
from flows.ready import Ready
from flows.steps import STEPS
from pipelines.job import Job
from pipelines.leaving import take_leave
from pipelines.runners import run_in_process
from pipelines.tokens import run as run_tokens
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.recipe import Recipe
from schemas.store import Store

DOCUMENTS, TOKENIZER, TOKENS = STEPS[:3]


def recipe(folder: Path, *, settle: float = 0, origin: str = "text", **corpus: Any) -> Recipe:
    """Documents of two sources below a folder, `a` of lines and `b` of JSON lines."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = [
        {"name": "a", "path": str(folder / "a"), "format": "txt", "unit": "line", "lang": "en"},
        {"name": "b", "path": str(folder / "b"), "format": "jsonl", "lang": "en", "origin": origin},
    ]
    section = {"sources": sources, "annotate": {"default": {"engine": "plain"}}, "split_bytes": 400, "incremental": True, **corpus}
    return Recipe.model_validate({"name": "c", "corpus": section, "run": {"settle": settle}})


def prepare(store: Store, wanted: Recipe) -> Ready:
    """What an ingest of documents would do."""
    return DOCUMENTS.prepare(wanted, store, {})


def ingest(store: Store, wanted: Recipe) -> Artifact:
    """The version of documents that holds all that came by now."""
    while True:
        ready = prepare(store, wanted)
        decision = decide(DOCUMENTS, wanted, store, ready)
        if decision.artifact is not None:
            return decision.artifact
        draft = decision.draft or store.start("documents", wanted.name, ready.identity, ready.splits)
        assign(draft, ready, {})
        work_on(draft)
        made = draft.commit(DOCUMENTS.stages, ready.without)
        if not ready.unfinished:
            return made


def work_on(draft: Draft) -> None:
    """All that the documents step does, in this process."""
    job = Job.open(draft.path)
    if job.parent is not None:
        take_leave(draft, job.parent)
    run_in_process(job)


def ingest_tokens(store: Store, wanted: Recipe, documents: Artifact, tokenizer: Artifact) -> Artifact:
    """The tokens of a version of documents."""
    inputs = {"documents": documents, "tokenizer": tokenizer}
    ready = TOKENS.prepare(wanted, store, inputs)
    decision = decide(TOKENS, wanted, store, ready)
    if decision.artifact is not None:
        return decision.artifact
    draft = store.start("tokens", wanted.name, ready.identity, ready.splits)
    assign(draft, ready, inputs)
    run_tokens(draft)
    return draft.commit(TOKENS.stages, ready.without)


def assign(draft: Draft, ready: Ready, inputs: Mapping[str, Artifact]) -> None:
    paths = {role: artifact.path for role, artifact in {**inputs, **(ready.also or {})}.items()}
    draft.assign(inputs=paths, roots=ready.roots or {}, run={"workers": 1})


def rows(artifact: Artifact, role: str = "documents") -> list[dict[str, Any]]:
    """All rows of the shards of a role, in order."""
    return [row for path in artifact.paths(role) for row in read_shard(path).to_pylist()]


def texts(artifact: Artifact) -> list[str]:
    return [row["text"] for row in rows(artifact)]


def own_texts(artifact: Artifact) -> list[str]:
    """Those of the parts that a version has of its own."""
    own = [file.path for part in artifact.manifest.own_parts for file in part.files if file.role == "documents"]
    return [text for path in own for text in read_shard(artifact.path / path)["text"].to_pylist()]
