"""The documents job on Beam beside a bare loop with the same stages, barriers and processes; and beside datatrove.

    python -m tests.bench.bench_corpus [--megabytes 200] [--workers 2] [--rounds 2]
    python -m tests.bench.bench_corpus --datatrove PEERS/bin/python [--megabytes 40] [--workers 2] [--documents]

Input of the first is made from the standard library's sources and pydoc's topics, lines shuffled and words swapped so that nothing is
a duplicate; *even* has files of usual sizes, *skewed* has a quarter of the text in one compressed file, which nobody can
cut. *Start-up* is the time of the same job on a few lines; *steady* is the rest. Shards of both must be equal, byte by
byte. CPU seconds (of all processes) tell overhead from the noise of a busy machine. Annotation is by plain rules, so that
slow engines don't hide Beam's cost.

datatrove: English and Chinese, half each, from JSON lines to tokens (tests/bench/mixed_text.py). Our documents and tokens
steps identify languages, clean, measure and judge by rules, redact, drop duplicates, exact and near, and find sentences, words
and parts of speech; datatrove does what tests/bench/datatrove_peer.py says: no parts of speech, no sentences, no languages. Both
use our tokenizer, whose training isn't counted. With `--documents` it is documents without tokens, and ours are without parts
of speech, their Chinese words by jieba's dictionary, which datatrove uses, too. Total times are by the wall, from the start of a
step to its commit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

from flows.ensure import ensure
from flows.steps import wanted_steps
from pipelines.job import Job
from pipelines.runners import run_bare
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near, Recipe, Redact, Rules, Run, Tokenizer
from schemas.store import Store
from tests.bench.bench_memory import WITHOUT_POS
from tests.bench.mixed_text import write_mixed
from tests.pipelines.drafts import ROOT, digests, source, start

TARGET = 1.15
"""Largest ratio of the steady times, Beam to bare."""


def write_input(folder: Path, size: int, *, skewed: bool) -> dict[str, Path]:
    """About `size` bytes: half JSON lines, a quarter text files, a quarter code (or one compressed file, if skewed)."""
    draw = random.Random(1)
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    code = [path.read_text(encoding="utf-8", errors="replace").split("\n") for path in library]
    prose = [text.split("\n") for text in topics.values()]
    words = sorted({word for lines in prose for line in lines for word in line.split() if word.isalpha()})

    def document(lines: list[str], length: int) -> str:
        at = draw.randrange(max(1, len(lines) - 5))
        taken: list[str] = []
        while (length := length - len(taken[-1]) if taken else length) > 0:
            line = lines[at % len(lines)].split(" ")
            line[draw.randrange(len(line))] = draw.choice(words)
            taken.append(" ".join(line) + "\n")
            at += draw.choice((1, 1, 1, 7))
        return "".join(taken)

    folder.mkdir()
    roots = {"lines": folder / "lines.jsonl", "notes": folder / "notes", "code": folder / "code"}
    with open(roots["lines"], "w") as file:
        while file.tell() < size // 2:
            file.write(json.dumps({"text": document(draw.choice(prose), draw.randrange(200, 4000)), "n": draw.random()}) + "\n")
    roots["notes"].mkdir()
    for n in range(size // 4 // 20_000):
        (roots["notes"] / f"{n:05}.txt").write_text(document(draw.choice(prose), 20_000))
    roots["code"].mkdir()
    if skewed:
        with gzip.open(roots["code"] / "all.txt.gz", "wt", compresslevel=1) as file:
            for _ in range(size // 4 // 20_000):
                file.write(document(draw.choice(code), 20_000) + "\n\n")
    else:
        for n in range(size // 4 // 20_000):
            (roots["code"] / f"{n:05}.py").write_text(document(draw.choice(code), 20_000))
    return roots


def recipe(size: int, *, skewed: bool) -> Corpus:
    code = source("code", lang="code", unit="paragraph") if skewed else source("code", format="tree", lang="code")
    sources = (source("lines", format="jsonl", lang=None), source("notes"), code)
    plain = {"default": Annotator(engine="plain")}
    return Corpus(sources=sources, held_out=HeldOut(), annotate=plain, split_bytes=max(1 << 16, size // 32))


def on_beam(draft: Draft) -> None:
    subprocess.run([sys.executable, "-m", "pipelines.corpus", str(draft.path)], cwd=ROOT, check=True)


def bare(draft: Draft) -> None:
    subprocess.run([sys.executable, "-m", "tests.bench.bench_corpus", "--bare", str(draft.path)], cwd=ROOT, check=True)


def measure(folder: Path, name: str, settings: Corpus, roots: dict[str, Path], workers: int) -> tuple[float, float, Draft]:
    """Seconds by the wall and of CPU that one run takes, process start included; and what it made."""
    draft = start(folder, settings, roots, workers)
    os.sync()  # or the first run would wait for the disk to take in what was written for it
    before, started = os.times(), time.monotonic()
    {"beam": on_beam, "bare": bare}[name](draft)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - started, cpu, draft


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, help="of input; 200, or 40 beside datatrove")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="the best of them counts")
    parser.add_argument("--datatrove", help="Python of an environment that has datatrove: see tests/bench/datatrove_peer.py")
    parser.add_argument("--documents", action="store_true", help="beside datatrove: without parts of speech and tokens")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        run_bare(Job.open(options.bare))
        return 0
    if options.datatrove:
        return beside_datatrove(options.datatrove, options.megabytes or 40, options.workers, tokens=not options.documents)
    options.megabytes = options.megabytes or 200
    print(
        "without datatrove: give --datatrove PYTHON to see the whole job beside it (tests/bench/datatrove_peer.py says how to install it)"
    )
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        print(f"{options.megabytes} MB, {options.workers} workers, best of {options.rounds}")
        print(f"{'input':8} {'runner':6} {'start-up s':>10} {'steady s':>9} {'MB/s':>6} {'CPU s':>7} {'ratio':>6} {'CPU ratio':>9}")
        for skewed in (False, True):
            figures = bench(Path(name) / str(skewed), options.megabytes * 1_000_000, skewed, options.workers, options.rounds)
            for runner in ("bare", "beam"):
                startup, steady, cpu = figures[runner]
                ratio, cpu_ratio = steady / figures["bare"][1], cpu / figures["bare"][2]
                slowest = max(slowest, ratio)
                shape, speed = "skewed" if skewed else "even", options.megabytes / steady
                print(
                    f"{shape:8} {runner:6} {startup:10.1f} {steady:9.1f} {speed:6.1f} {cpu:7.1f} {ratio:6.2f} {cpu_ratio:9.2f}", flush=True
                )
    print(f"largest ratio {slowest:.2f}, target {TARGET}")
    return 0 if slowest <= TARGET else 1


def bench(folder: Path, size: int, skewed: bool, workers: int, rounds: int) -> dict[str, tuple[float, float, float]]:
    """By runner: seconds of start-up, steady seconds, CPU seconds without those of the start-up."""
    folder.mkdir()
    few = write_input(folder / "few", 100_000, skewed=skewed)
    roots = write_input(folder / "in", size, skewed=skewed)
    best: dict[str, tuple[float, float, float]] = {}
    made = {}
    for number in range(rounds):
        for runner in ("bare", "beam") if number % 2 == 0 else ("beam", "bare"):  # by turns, so that a busy hour hits both
            startup, startup_cpu, _ = measure(folder / f"few-{runner}{number}", runner, recipe(100_000, skewed=skewed), few, workers)
            wall, cpu, made[runner] = measure(folder / f"{runner}{number}", runner, recipe(size, skewed=skewed), roots, workers)
            figures = (startup, wall - startup, cpu - startup_cpu)
            best[runner] = min(best.get(runner, figures), figures, key=lambda found: found[1])
        if digests(made["bare"]) != digests(made["beam"]):
            raise SystemExit("the shards of the two runners differ")
    return best


WIDE = Rules(min_words=2, max_digits=0.9, max_symbols=0.9, max_duplicate_lines=0.9, max_top_2gram=0.9)
"""Rules that as good as nothing fails, so that both sides tokenize the same text."""


def whole_recipe(roots: dict[str, Path], workers: int, *, tokens: bool) -> Recipe:
    return Recipe(
        name="mixed",
        corpus=Corpus(
            sources=tuple(source(name, path=str(path), format="jsonl", lang=None) for name, path in roots.items()),
            rules={"default": WIDE},
            redact=Redact(),
            annotate={} if tokens else WITHOUT_POS,
            dedup=Dedup(near=Near()),
            split_bytes=1 << 20,
        ),
        tokenizer=Tokenizer(vocab_size=16_384, sample_bytes=4 << 20),
        run=Run(workers=workers),
    )


class Spent(NamedTuple):
    """Seconds that a piece of work took: by the wall, and of CPU, all processes together."""

    wall: float
    cpu: float

    def __add__(self, other: Spent) -> Spent:  # type: ignore[override]
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Spent:
    times = os.times()
    return Spent(time.monotonic(), times.children_user + times.children_system)


def ours(folder: Path, roots: dict[str, Path], workers: int, *, tokens: bool) -> tuple[dict[str, Spent], dict[str, Artifact]]:
    """What our steps up to the tokens, or to the documents, took, and what they made."""
    recipe, store = whole_recipe(roots, workers, tokens=tokens), Store(folder)
    spent, made = dict[str, Spent](), dict[str, Artifact]()
    for step in wanted_steps(recipe, "tokens" if tokens else "documents"):
        before = now()
        made[step.name] = ensure(step, recipe, store, {need: made[need] for need in step.needs}, lambda _: None).artifact
        spent[step.name] = now() - before
    return spent, made


def datatrove(python: str, inputs: Path, folder: Path, tokenizer: Path | str, workers: int) -> Spent:
    """What datatrove took; raises `CalledProcessError` after showing the end of its log."""
    command = [python, str(Path(__file__).with_name("datatrove_peer.py")), str(inputs), str(folder), str(tokenizer), str(workers)]
    folder.mkdir()
    before = now()
    with open(folder / "log.txt", "w") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if code:
        print((folder / "log.txt").read_text()[-2000:])
        raise subprocess.CalledProcessError(code, command)
    return now() - before


def beside_datatrove(python: str, megabytes: int, workers: int, *, tokens: bool) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, roots = write_mixed(folder / "few", 200_000), write_mixed(folder / "in", megabytes * 1_000_000)
        size = sum(path.stat().st_size for root in roots.values() for path in root.iterdir()) / 1e6
        startup, made = ours(folder / "few-store", few, workers, tokens=tokens)
        spent, made = ours(folder / "store", roots, workers, tokens=tokens)
        tokenizer = made["tokenizer"].path / "tokenizer.json" if tokens else "-"
        their_startup = datatrove(python, folder / "few", folder / "few-theirs", tokenizer, workers)
        theirs = datatrove(python, folder / "in", folder / "theirs", tokenizer, workers)
    ledgers = made["documents"].manifest.ledgers.values()
    near = sum(ledger.rejected.get("near_duplicate", 0) for ledger in ledgers)
    print(
        f"{size:.0f} MB, {workers} workers; {sum(ledger.records_kept for ledger in ledgers):,} documents, {near:,} near duplicates dropped"
    )
    print(f"annotated by {sorted(v for k, v in made['documents'].manifest.identity.engines.items() if k.startswith('annotator'))}")
    rows = {step: (spent[step], startup[step]) for step in ("documents", "tokens") if step in spent}
    if tokens:
        rows["documents + tokens"] = spent["documents"] + spent["tokens"], startup["documents"] + startup["tokens"]
    total, start_up = rows["documents + tokens" if tokens else "documents"]
    rows["datatrove"] = theirs, their_startup
    print(f"{'':20} {'total s':>8} {'MB/s':>6} {'CPU s':>7} {'start-up s':>11} {'CPU s':>6} {'steady MB/s':>12} {'steady MB/CPU s':>16}")
    for label, (whole, first) in rows.items():
        steady = whole - first
        print(
            f"{label:20} {whole.wall:8.1f} {size / whole.wall:6.2f} {whole.cpu:7.1f} {first.wall:11.1f} {first.cpu:6.1f} "
            f"{size / steady.wall:12.2f} {size / steady.cpu:16.2f}"
        )
    ratio, steady_ratio = theirs.wall / total.wall, (theirs - their_startup).wall / (total - start_up).wall
    cpu_ratio = (theirs - their_startup).cpu / (total - start_up).cpu
    targets = "10 times, 5 MB/s" if tokens else "10 times"
    print(f"ratio of total times {ratio:.1f}, steady {steady_ratio:.1f}, steady CPU {cpu_ratio:.1f}; targets: {targets}")
    return 0 if steady_ratio >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
