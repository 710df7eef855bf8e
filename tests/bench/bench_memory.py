"""The peak memory of the documents step, all processes together, on a corpus much larger than it.

    python -m tests.bench.bench_memory [--gigabytes 4] [--workers 2] [--limit 1.5] [--without-pos] [--texts FILE...]

The corpus is JSON lines, compressed and not, text files and Parquet, from a fixed seed: lines of real text (pydoc's topics, the demo's
reviews, or the lines of `--texts`) with words and characters swapped, so that few documents are near duplicates. The step runs as a
run does it, with near-duplicate removal; `--without-pos` leaves parts of speech out, and Chinese words to jieba's dictionary, which is
some times as fast. Every fifth of a second the proportional set size (PSS: shared pages are shared out) of the
step's process and all below it is added up, from /proc; each process's own peak is told, too. Prints one line of JSON, and exits
with 1 if the peak is above the limit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa
import pyarrow.parquet as pq

from flows.demo import reviews
from pipelines.job import Job
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near
from tests.pipelines.drafts import command, ledgers, source, start

WITHOUT_POS = {"zh": Annotator(standard="dictionary", pos=False), "default": Annotator(pos=False)}
_EVERY = 0.2
"""Seconds from one look to the next."""
_FILE = 64 << 20
"""Bytes of text of a file; of a compressed one, the same before compression."""


def documents(lines: list[str], seed: int) -> Iterator[str]:
    """Documents of 200 to 20,000 characters without end: runs of lines, a twentieth of their words swapped for others."""
    draw = random.Random(seed)
    words = sorted({word for line in lines for word in (line.split() if " " in line else line)})
    while True:
        length, taken = int(200 * 100 ** draw.random()), []
        at = draw.randrange(len(lines))
        while length > 0:
            line = lines[at % len(lines)]
            spaced = " " in line
            parts = line.split(" ") if spaced else list(line)
            for _ in range(1 + len(parts) // 20):
                parts[draw.randrange(len(parts))] = draw.choice(words)
            taken.append((" " if spaced else "").join(parts))
            length -= len(taken[-1]) + 1
            at += draw.choice((1, 1, 1, 7, 19))
        yield "\n".join(taken)


def write_corpus(folder: Path, size: int, texts: list[Path]) -> dict[str, Path]:
    """About `size` bytes of text in four sources; returns the folder of each."""
    if texts:
        found = [line for path in texts for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    else:
        found = [line for text in topics.values() for line in text.split("\n") if line.strip()] + [review["text"] for review in reviews()]
    number = 0
    for kind in ("jsonl", "packed", "parquet", "notes"):
        (folder / kind).mkdir(parents=True)
        left = size // 4
        while left > 0:
            number += 1
            share = min(left, _FILE)
            left -= share
            _write(folder / kind, kind, number, share, documents(found, number))
    return {path.name: path for path in sorted(folder.iterdir())}


def _write(folder: Path, kind: str, number: int, size: int, made: Iterator[str]) -> None:
    taken, length = [], 0
    while length < size:
        taken.append(next(made))
        length += len(taken[-1].encode())
    if kind == "parquet":
        pq.write_table(pa.table({"text": taken}), folder / f"{number:04}.parquet", row_group_size=5000)
    elif kind == "notes":
        for place, text in enumerate(taken):
            (folder / f"{number:04}").mkdir(exist_ok=True)
            (folder / f"{number:04}" / f"{place:05}.txt").write_text(text, encoding="utf-8")
    else:
        content = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in taken).encode()
        path = folder / (f"{number:04}.jsonl" + (".gz" if kind == "packed" else ""))
        path.write_bytes(gzip.compress(content, 1) if kind == "packed" else content)


def processes_below(pid: int) -> list[int]:
    """A process and all that it has begun."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return found


def pss(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1.5, help="gigabytes")
    parser.add_argument("--without-pos", action="store_true")
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gristmill-memory-") as folder:
        roots = write_corpus(Path(folder) / "in", int(options.gigabytes * 1e9), options.texts)
        print("the corpus is written", file=sys.stderr, flush=True)
        formats = {"jsonl": "jsonl", "packed": "jsonl", "parquet": "parquet", "notes": "txt"}
        recipe = Corpus(
            sources=tuple(source(name, format=formats[name], lang=None) for name in roots),
            dedup=Dedup(near=Near()),
            annotate=WITHOUT_POS if options.without_pos else {},
            held_out=HeldOut(cut_shared_lines_over=40),
        )
        draft = start(Path(folder) / "draft", recipe, roots, options.workers)
        result = measure(command(draft))
        kept = ledgers(draft)
        result |= {
            "gigabytes": options.gigabytes,
            "without_pos": options.without_pos,
            "workers": options.workers,
            "splits": len(draft.plan["splits"]),
            "partitions": Job.open(draft.path).partitions,
            "records": sum(ledger.records_read for ledger in kept.values()),
            "kept": sum(ledger.records_kept for ledger in kept.values()),
        }
    print(json.dumps(result))
    return 0 if result["peak_mb"] <= options.limit * 1000 else 1


def measure(arguments: list[str]) -> dict[str, object]:
    """Run a command to its end; its peak, and what each process held at most."""
    began = time.monotonic()
    step = subprocess.Popen(arguments)
    peak, at_peak, most = 0, {}, dict[int, int]()
    while step.poll() is None:
        found = {pid: pss(pid) for pid in processes_below(step.pid)}
        for pid, size in found.items():
            most[pid] = max(most.get(pid, 0), size)
        if sum(found.values()) > peak:
            peak, at_peak = (
                sum(found.values()),
                {"seconds": round(time.monotonic() - began, 1), "mb": [s // 1_000_000 for s in found.values()]},
            )
        time.sleep(_EVERY)
    assert step.returncode == 0, f"the step ended with exit code {step.returncode}"
    each = sorted((size // 1_000_000 for size in most.values()), reverse=True)
    return {"peak_mb": peak // 1_000_000, "at_peak": at_peak, "processes_mb": each, "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    sys.exit(main())
