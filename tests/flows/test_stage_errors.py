"""A stage that raises on many records is found out before anything is committed; on a few, it costs those records alone."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows.ensure import ensure
from flows.steps import STEPS, Step
from schemas.artifact import Damaged
from schemas.recipe import Recipe
from schemas.store import Store

BROKEN = """
import sys
import pipelines.record_stages as stages
from pipelines.job import Job
from pipelines.runners import run_in_process
sound = stages._rules
def broken(batch, **rest):
    if any("{word}" in text for text in batch.column("text").to_pylist()):
        raise KeyError("a bug")
    return sound(batch, **rest)
stages._rules = broken
run_in_process(Job.open(sys.argv[1]))
"""
"""A real job with a bug in a stage, which shows on texts with a word."""


def step_with_bug(word: str) -> Step:
    return replace(STEPS[0], command=lambda draft, run: [sys.executable, "-c", BROKEN.replace("{word}", word), str(draft)])


def recipe(folder: Path, **corpus: object) -> Recipe:
    lines = [json.dumps({"text": f"{'first' if n < 5 else 'later'} text number {n} of them, all told"}) for n in range(60)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "b.txt").write_text("another source\n")
    sources = [
        {"name": name, "path": str(folder / file), "format": kind, "lang": "en"}
        for name, file, kind in (("a", "a.jsonl", "jsonl"), ("b", "b.txt", "txt"))
    ]
    return Recipe.model_validate({"name": "x", "corpus": {"sources": sources, "annotate": {"default": {"engine": "plain"}}, **corpus}})


def silent(line: str) -> None:
    """Nobody to tell."""


def test_many_errors_are_not_committed_unless_the_recipe_allows_it(tmp_path: Path) -> None:
    store, step = Store(tmp_path / "store"), step_with_bug("later")
    with pytest.raises(Damaged) as caught:
        ensure(step, recipe(tmp_path), store, {}, silent)
    first, then = str(caught.value).splitlines()
    assert first == "source a: 55 of 60 records (91.7%) made a stage raise, as error_rules: KeyError: 'a bug'"
    assert "more than corpus.max_errors, 0.05, so nothing is committed" in then
    (draft,) = store.versions("documents", "x")
    assert f"remove {draft};" in then and not list(store.artifacts())
    allowed = ensure(step, recipe(tmp_path, max_errors=0.95), store, {}, silent)
    assert allowed.action == "resume" and allowed.artifact.path == draft
    assert allowed.artifact.manifest.ledgers["a"].rejected == {"error_rules": 55}


def test_a_few_errors_are_rejects(tmp_path: Path) -> None:
    made = ensure(step_with_bug("first"), recipe(tmp_path, max_errors=0), Store(tmp_path / "store"), {}, silent)
    assert made.artifact.manifest.ledgers["a"].rejected == {"error_rules": 5}
