"""Runners: placement, equal bytes on any number of workers, and what happens when a process is killed.

The seed of the moments is printed; GRISTMILL_SEED sets it.
"""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache_beam import typehints
from apache_beam.coders import registry
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpus
from pipelines.dedup import find_losers
from pipelines.dedup.parts import find_parts
from pipelines.job import MAX_ATTEMPTS, SHARED_LINES, Handle, Job
from pipelines.nursery import Nursery, request
from pipelines.prepare import prepare_split
from pipelines.runners import place, placements, run_bare, run_in_process
from pipelines.transforms import Keyed
from pipelines.workers import TRY_AGAIN
from schemas.draft import Draft
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near
from tests.pipelines.drafts import ROOT, attempted, command, digests, ledgers, make, rows, run_command, source, start


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 8))
def test_places_deal_every_piece_once_and_fairly(costs: list[int], workers: int) -> None:
    order = place(dict(enumerate(costs)), workers)
    assert sorted(piece for piece in order if piece >= 0) == list(range(len(costs)))
    assert len(set(order)) == len(order)
    loads = [sum(costs[piece] for piece in order[worker::workers] if piece >= 0) for worker in range(workers)]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_one_heavy_piece_is_evened_out_by_many_light_ones() -> None:
    order = place(dict(enumerate([50, *[10] * 9])), 2)
    assert order == [0, 1, 6, 2, 8, 3, -1, 4, -2, 5, -3, 7, -4, 9]


def test_splits_of_sources_that_cost_more_to_annotate_are_dealt_first(tmp_path: Path) -> None:
    names = ("code", "en", "zh", "unknown")
    for name in names:
        (tmp_path / f"{name}.txt").write_text("word " * 2000)
    langs = {"code": "code", "en": "en", "zh": "zh", "unknown": None}
    sources = tuple(source(name, lang=langs[name], unit="line", format="txt") for name in names)
    roots = {name: tmp_path / f"{name}.txt" for name in names}
    job = Job.open(start(tmp_path / "draft", Corpus(sources=sources, split_bytes=10_000), roots).path)
    assert placements(job) == ([0, 1, 2, 3], [2, 1, 3, 0])


def write(folder: Path, scale: int = 1) -> dict[str, Path]:
    """Raw text from a fixed seed: lines with copies and conflicts, notes of which some differ in their last words."""
    draw = random.Random(3)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe") for b in ("ran", "sol", "tir", "ven")]
    folder.mkdir(parents=True)
    lines = []
    for n in range(3000 * scale):
        text = " ".join(draw.choices(words, k=draw.randrange(3, 12))) if n % 7 else f"copy {n % 21}"
        lines.append(f'{{"text": "{text}.", "label": {n % 3}}}' if n % 50 else "{broken")
    (folder / "lines.jsonl").write_text("\n".join(lines))
    (folder / "notes").mkdir()
    note = ""
    for n in range(40 * scale):
        note = f"{note} With another end." if n % 10 == 9 else "\n".join(" ".join(draw.choices(words, k=9)) + "." for _ in range(40))
        (folder / "notes" / f"{n:03}.txt").write_text(note)
    return {"lines": folder / "lines.jsonl", "notes": folder / "notes"}


def recipe(**changed: object) -> Corpus:
    return Corpus.model_validate(
        {
            "sources": (source("lines", format="jsonl", origin="text"), source("notes", lang=None)),
            "dedup": Dedup(near=Near(), conflict_field="label", memory=1 << 22),
            "held_out": HeldOut(validation=0.1, test=0.1, cut_shared_lines_over=20),
            "annotate": {"default": Annotator(engine="plain")},
            "split_bytes": 16_000,
            **changed,
        }
    )


def finished(draft: Draft) -> bool:
    return len(draft.parts("finish")) == len(draft.plan["splits"])


@pytest.mark.slow
def test_one_worker_two_or_four_and_no_beam_give_the_same_bytes(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    expected = digests(make(tmp_path / "plain", recipe(), roots))
    assert len(expected) > 40
    for workers in (1, 2, 4):
        draft = start(tmp_path / f"beam{workers}", recipe(), roots, workers)
        ended = run_command(draft)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert digests(draft) == expected
    bare = start(tmp_path / "bare", recipe(), roots, workers=2)
    run_bare(Job.open(bare.path))
    assert digests(bare) == expected
    assert {"exact_duplicate", "invalid_json", "label_conflict"} <= ledgers(bare)["lines"].rejected.keys()
    assert ledgers(bare)["notes"].rejected == {"near_duplicate": 4}


@pytest.mark.slow
def test_files_listed_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, reverse in (("a", False), ("b", True)):
        roots = write(tmp_path / name)
        texts = {path.name: path.read_bytes() for path in roots["notes"].iterdir()}
        for path in roots["notes"].iterdir():
            path.unlink()
        for note in sorted(texts, reverse=reverse):  # many file systems list in order of creation
            (roots["notes"] / note).write_bytes(texts[note])
        made.append(make(tmp_path / f"draft-{name}", recipe(), roots))
    assert digests(made[0]) == digests(made[1]) and made[0].plan == made[1].plan


@pytest.mark.slow
def test_however_the_input_is_split_the_same_documents_are_kept_and_the_same_go(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    found = []
    for split_bytes in (1 << 30, 40_000, 7_001):
        draft = make(tmp_path / f"draft{split_bytes}", recipe(split_bytes=split_bytes), roots)
        assert (len(draft.plan["splits"]) == 1) == (split_bytes == 1 << 30)
        found.append((rows(draft, "documents"), rows(draft, "rejects"), ledgers(draft)))
    assert found[0] == found[1] == found[2]


def encoded(kind: object, found: list[tuple[int, Handle]]) -> dict[int, int]:
    """By key, bytes of handles as Beam's coder for the type hint of a stage writes them."""
    coder = registry.get_coder(typehints.native_type_compatibility.convert_to_beam_type(kind))
    assert "Pickle" not in repr(coder)
    sizes: dict[int, int] = {}
    for key, handle in found:
        sizes[key] = sizes.get(key, 0) + len(coder.encode((key, tuple(handle))))
    return sizes


@pytest.mark.slow
def test_what_crosses_a_shuffle_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    crossed = []
    for scale in (1, 10):
        roots = write(tmp_path / f"in{scale}", scale)
        settings_ = recipe(split_bytes=50_000 * scale, dedup=Dedup(near=Near(), conflict_field="label", memory=1 << 30))
        job = Job.open(make(tmp_path / f"draft{scale}", settings_, roots).path)
        prepared = {split["ordinal"]: prepare_split(job, split["ordinal"]) for split in job.splits}  # what the part records say
        runs = [handle for handles in prepared.values() for _, handle in handles]
        lost = find_losers(job, 0, runs)
        by_split: dict[int, list[Handle]] = {}
        for split, handle in lost:
            by_split.setdefault(split, []).append(handle)
        lines = find_parts(job, 0, runs, by_split)
        to_partitions = max(max(encoded(Keyed, handles).values()) for handles in prepared.values())
        to_splits = max(encoded(Keyed, [*lost, *lines]).values())
        assert job.partitions == 1 and {run.kind for run in runs} == {"digests", SHARED_LINES, "bands", "signatures"} and lost
        crossed.append((sum(ledger.records_read for ledger in ledgers(job.draft).values()), to_partitions, to_splits))
    (few, *small), (many, *large) = crossed
    assert many > 9 * few and max(large) <= 1024
    assert all(b <= a + 64 for a, b in zip(small, large, strict=True)), crossed  # only numbers with more digits


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def workers_of(driver: int) -> list[int]:
    """The workers that a driver's nursery has begun."""
    return [worker for nursery in children(driver) for worker in children(nursery)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[Draft], subprocess.Popen[str]]]:
    """Starts the command on a draft; what still runs at the end of the test is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(draft: Draft) -> subprocess.Popen[str]:
        with open(tmp_path / "stderr.txt", "w") as errors:
            running.append(subprocess.Popen(command(draft), cwd=ROOT, stderr=errors, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_worker_ends_the_job_at_once_and_the_next_try_goes_on(
    tmp_path: Path, started: Callable[[Draft], subprocess.Popen[str]]
) -> None:
    roots = write(tmp_path / "in")
    whole = make(tmp_path / "whole", recipe(), roots)
    draft = start(tmp_path / "draft", recipe(), roots, workers=2)
    driver = started(draft)
    wait_for(lambda: len(draft.parts("prepare")) > 2, "some splits are prepared")
    workers = workers_of(driver.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert driver.wait(10) == TRY_AGAIN
    told = (tmp_path / "stderr.txt").read_text()
    assert told.splitlines()[-1].startswith("a worker process ended unexpectedly (")
    wait_for(lambda: not any(map(alive, workers)), "no worker is left", 10)
    done = {part.key for part in draft.parts("prepare")}
    times = {key: (draft.path / f"parts/prepare/{key}.json").stat().st_mtime_ns for key in done}
    assert not finished(draft)
    assert run_command(draft).returncode == 0
    assert digests(draft) == digests(whole)
    assert {key: (draft.path / f"parts/prepare/{key}.json").stat().st_mtime_ns for key in done} == times  # not redone


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_driver_killed_at_any_moment(tmp_path: Path, workers: int, started: Callable[[Draft], subprocess.Popen[str]]) -> None:
    seed = int(os.environ.get("GRISTMILL_SEED", time.time_ns() % 1_000_000))
    print(f"GRISTMILL_SEED={seed}")
    draw = random.Random(seed)
    roots = write(tmp_path / "in")
    whole = make(tmp_path / "whole", recipe(), roots)
    pieces = 2 * len(whole.plan["splits"])
    draft = start(tmp_path / "draft", recipe(), roots, workers)
    for _ in range(2):
        driver = started(draft)
        moment = draw.randrange(pieces)
        wait_for(lambda: driver.poll() is not None or len(draft.parts("prepare")) + len(draft.parts("finish")) >= moment, "progress")  # noqa: B023
        time.sleep(draw.random() / 5)
        bound = children(driver.pid) + workers_of(driver.pid)
        driver.kill()
        driver.wait()
        wait_for(lambda: not any(map(alive, bound)), "no worker outlives the driver", 10)  # noqa: B023
    assert run_command(draft).returncode == 0
    assert digests(draft) == digests(whole), f"GRISTMILL_SEED={seed}"


@pytest.mark.slow
def test_a_nursery_begins_workers_and_ends_with_its_input_or_its_first_dead_worker(tmp_path: Path) -> None:
    draft = start(tmp_path / "draft", recipe(), write(tmp_path / "in"), workers=2)
    codes: queue.Queue[int] = queue.Queue()
    for dies in (False, True):
        nursery = Nursery(str(draft.path), codes.put)
        # a worker that nobody answers waits, whether or not it is ever told to end
        for _ in range(2):
            request(nursery.input, {"CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:1"'})
        wait_for(lambda: len(workers_of(os.getpid())) == 2, "both have begun")
        workers = workers_of(os.getpid())
        if dies:
            os.kill(workers[0], signal.SIGKILL)
            assert codes.get(timeout=10) == 128 + signal.SIGKILL
        nursery.close()
        wait_for(lambda: not any(map(alive, workers)), "no worker outlives the nursery", 10)  # noqa: B023
    assert codes.empty()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_engine_that_cannot_be_opened_fails_the_job_and_rejects_nothing(tmp_path: Path, workers: int) -> None:
    roots = write(tmp_path / "in")
    draft = start(tmp_path / "draft", recipe(), roots, workers)
    plan = json.loads((draft.path / "plan.json").read_text())
    plan["identity"]["settings"]["annotate"] = {"default": {"engine": "spacy", "model": "no_such_pipeline"}}
    (draft.path / "plan.json").write_text(json.dumps(plan))
    ended = run_command(draft)
    assert ended.returncode == 1 and "no_such_pipeline" in ended.stderr.splitlines()[-1]
    assert draft.parts("finish") == []


@pytest.mark.slow
def test_a_split_that_was_started_often_is_tried_alone_and_may_well_succeed(tmp_path: Path) -> None:
    roots = write(tmp_path / "in")
    whole = make(tmp_path / "whole", recipe(), roots)
    draft = start(tmp_path / "draft", recipe(), roots)
    attempted(draft, "prepare", "00002", MAX_ATTEMPTS)
    attempted(draft, "finish", "00001", MAX_ATTEMPTS - 1)
    assert run_command(draft).returncode == 0
    assert digests(draft) == digests(whole)
    assert Job.open(draft.path).attempts("prepare") == {} == Job.open(draft.path).attempts("finish")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["prepare", "finish"])
def test_a_split_that_kills_whoever_works_on_it(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = write(tmp_path / "in")
    deadly = roots["notes"] / "007.txt"
    for allowed in (False, True):
        draft = start(tmp_path / f"draft{allowed}", recipe(allow_failed_splits=allowed), roots)
        [ordinal] = {split["ordinal"] for split in draft.plan["splits"] for piece in split["pieces"] if piece["uri"] == deadly.name}
        key = f"{ordinal:05d}"
        if stage == "finish":
            make_up_to_duplicates(draft)
        attempted(draft, stage, key, MAX_ATTEMPTS)
        monkeypatch.setattr(sys, "executable", str(deadly_python(tmp_path)))
        code = corpus.main([str(draft.path)])
        monkeypatch.undo()
        assert code == (0 if allowed else 1)
        assert finished(draft) == allowed
        if not allowed:
            continue
        parts = {part.key: part for part in draft.parts("finish")}
        assert parts[key].facts["failed"] == f"{stage}: exit code -9"
        assert [k for k, part in parts.items() if "failed" in part.facts] == [key]
        failed = {source: ledger for source, ledger in parts[key].ledgers.items() if ledger.records_failed}
        assert failed and all(not ledger.imbalances() and ledger.bytes_failed for ledger in parts[key].ledgers.values())
        assert ledgers(draft)["notes"].records_failed == sum(ledger.records_failed for ledger in failed.values())
        assert all(row["uri"] != deadly.name for row in rows(draft, "documents"))


def make_up_to_duplicates(draft: Draft) -> None:
    run_in_process(Job.open(draft.path))
    for part in draft.parts("finish"):
        (draft.path / part.record_path).unlink()


def deadly_python(folder: Path) -> Path:
    """An interpreter that dies when it is asked to work on a split alone."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--alone*) kill -9 $$;; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path
