"""Ingest among other processes: writers that are not done, runs that are killed, two runs at once, files that change under the reader."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.ensure import ensure
from schemas.artifact import Artifact
from schemas.recipe import Recipe
from schemas.store import Store
from tests.flows.chains import DOCUMENTS, ingest, own_texts, recipe, texts
from tests.flows.conftest import Server, command_in, environment
from tests.flows.test_ingest import put, shards
from tests.flows.test_launch import wait_for
from tests.pipelines.drafts import ROOT

pytestmark = pytest.mark.slow

WRITER = """
import os, sys, time
folder, n, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
last, longest = time.monotonic(), 0.0
for name in range(3):
    with open(f"{folder}/{name}.jsonl.part" if name == 2 else f"{folder}/{name}.jsonl", "w") as file:
        for line in range(n):
            file.write('{"text": "file %d line %d, and more of it"}\\n' % (name, line))
            file.flush()
            time.sleep(pause)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
os.rename(f"{folder}/2.jsonl.part", f"{folder}/2.jsonl")
print(longest)
"""


def test_a_file_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    settle, lines = 1.0, 30
    wanted, store = recipe(tmp_path / "in", settle=settle), Store(tmp_path / "store")
    put(tmp_path / "in", {"a/1.txt": ["the first text"]})
    command = [sys.executable, "-c", WRITER, str(tmp_path / "in" / "b"), str(lines), "0.03"]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    versions = [ingest(store, recipe(tmp_path / "in"))]
    expected = [f"file {name} line {line}, and more of it" for name in range(3) for line in range(lines)]
    while writer.poll() is None or len(texts(versions[-1])) < 1 + len(expected):
        versions.append(ingest(store, wanted))
        time.sleep(0.1)
    assert sorted(texts(versions[-1])) == sorted([*expected, "the first text"])
    assert writer.stdout is not None
    if float(writer.stdout.read()) < settle:  # else this machine let the writer sleep for so long that a file looked whole
        pieces = [piece for split in versions[-1].plan_splits() for piece in split["pieces"] if piece["start"] == 0]
        assert sorted(piece["uri"] for piece in pieces) == ["0.jsonl", "1.jsonl", "1.txt", "2.jsonl"]


ENSURE = """
import sys
from pathlib import Path
from flows.ensure import ensure
from flows.steps import STEPS
from schemas.recipe import Recipe
from schemas.store import Store
made = ensure(STEPS[0], Recipe.model_validate_json(Path(sys.argv[1]).read_text()), Store(sys.argv[2]), {}, print)
print(made.artifact.path)
"""


def start(folder: Path, wanted: Recipe) -> subprocess.Popen[str]:
    (folder / "recipe.json").write_text(wanted.model_dump_json())
    command = [sys.executable, "-c", ENSURE, str(folder / "recipe.json"), str(folder / "store")]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)


def test_a_killed_ingest_is_finished_by_the_next_two_and_makes_one_version(tmp_path: Path) -> None:
    long = [f"a text that is nearly equal to others, {' '.join(f'word{n}' for n in range(90))}, but for its end: {end}" for end in "abc"]
    batches = [{"a/1.txt": ["one", "two", "two", *long[:2]]}, {"b/2.jsonl": ["two", "three", long[2]], "a/3.txt": ["four"]}]
    made: dict[str, Artifact] = {}
    for name in ("whole", "killed"):
        wanted = recipe(tmp_path / name / "in", dedup={"near": {}, "conflict_field": "label"})
        store = Store(tmp_path / name / "store")
        wanted = wanted.model_copy(update={"run": wanted.run.model_copy(update={"workers": 1})})
        put(tmp_path / name / "in", batches[0])
        first = ingest(store, wanted)
        put(tmp_path / name / "in", batches[1])
        if name == "killed":
            run = start(tmp_path / name, wanted)
            wait_for(lambda: list((tmp_path / "killed" / "store" / "documents" / "c").glob("*/work/log.txt")), "the work has begun")
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            assert store.find("documents/c").path == first.path and texts(first) == ["one", "two", long[0]]
            runs = [start(tmp_path / name, wanted) for _ in range(2)]
            told = [run.communicate(timeout=300)[0] for run in runs]
            assert [run.returncode for run in runs] == [0, 0], told
            assert sum("resume: an unfinished run left" in one for one in told) == 1
            assert all("reuse: documents/c@" in one for one in told)  # what was left is finished, and nothing came since
        made[name] = ingest(store, wanted)
        assert len(list(store.artifacts("documents"))) == 2
    assert shards(made["killed"]) == shards(made["whole"])
    assert own_texts(made["killed"]) == ["four", "three"]


def test_a_file_that_changes_under_the_reader_is_left_for_next_time(tmp_path: Path) -> None:
    wanted, store = recipe(tmp_path / "in", settle=1000), Store(tmp_path / "store")
    at_once = recipe(tmp_path / "in")
    put(tmp_path / "in", {"a/1.txt": ["one"], "a/2.txt": ["two"], "a/3.txt": ["three"]})
    told: list[str] = []

    def meddle(line: str) -> None:
        """The plan is made, the work begins: now a file changes."""
        told.append(line)
        if line.endswith("there is no documents/c yet") and len(told) == 1:
            put(tmp_path / "in", {"a/2.txt": ["two and more"]})

    made = ensure(DOCUMENTS, at_once, store, {}, meddle).artifact
    assert "  documents  a:2.txt: changed while it was read, left for next time" in told
    assert texts(made) == ["one", "two and more", "three"]
    put(tmp_path / "in", {"a/4.txt": ["four"]})
    waits = ensure(DOCUMENTS, wanted, store, {}, told.append)
    assert (waits.action, waits.artifact.path) == ("reuse", made.path)
    assert waits.arrivals and [uri for _, uri, _ in waits.arrivals.waiting][-1] == "4.txt"


RECIPE = """\
name: inbox
corpus:
  sources: [{name: s, path: in, format: txt, unit: line, lang: en}]
  annotate: {default: {engine: plain}}
run: {workers: 1}
"""


def test_the_command(tmp_path: Path, server: Server) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    gristmill = command_in(tmp_path, server)

    def documents(*options: str) -> dict[str, Any]:
        (row,) = json.loads(gristmill("ingest", "recipe.yaml", "--until", "documents", "--json", *options).stdout)
        return dict(row)

    assert documents()["why"] == ["documents/inbox: there is nothing to read yet: the sources hold no file"]
    (tmp_path / "in" / "1.txt").write_text("one\n")
    (tmp_path / "in" / "2.txt.part").write_text("tw")
    waits = documents("--settle", "600")
    assert (waits["action"], [one["uri"] for one in waits["arrivals"]["waiting"]]) == ("wait", ["1.txt", "2.txt.part"])
    made = documents("--settle", "0")
    assert (made["action"], made["arrivals"]["new"]) == ("run", [{"source": "s", "uri": "1.txt"}])
    told = gristmill("ingest", "recipe.yaml", "--until", "documents", "--settle", "0").stdout.splitlines()
    assert told == [
        f"{made['artifact']} holds all that there is to read",
        "1 file not settled, left for next time: 2.txt.part (its name is that of an unfinished file)",
    ]
    assert own_texts(Store(tmp_path / ".gristmill" / "store").find(made["artifact"])) == ["one"]
