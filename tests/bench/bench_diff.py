"""How two versions of an artifact differ, document by document, beside a full outer join by DuckDB over the same shards.

    python -m tests.bench.bench_diff [--documents 200000]

Two documents artifacts of eight shards a side: B lacks one document in 97, and one in 50 has another text. Both sides count what is equal,
changed and gone, by text and annotation, and must agree. Prints seconds by the wall and of CPU, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from flows.diff.sides import compare_rows
from schemas.arrow import DOCUMENTS, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.bench.bench_tokens import ROOT, Text
from tests.pipelines.documents import batch_of

SHARDS, ROWS = 8, 2_000
DROPPED, CHANGED = 97, 50
COMPARED = ("text", "sentence_ends", "word_starts", "word_ends", "pos")


def write_versions(folder: Path, documents: int) -> None:
    """Artifacts `a` and `b`. Batches share their texts, and differ in their ids."""
    text, draw = Text(seed=5), np.random.default_rng(0)
    pattern = batch_of([(text.document("en")[:700], "en", "train") for _ in range(ROWS)])
    drafts = {name: Draft.start(folder / name, "documents", name, Identity("documents", 1, {}, {}, {})) for name in "ab"}
    for shard in range(SHARDS):
        sides: dict[str, list[pa.RecordBatch]] = {name: [] for name in drafts}
        for _ in range(max(1, documents // ROWS // SHARDS)):
            ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), ROWS, [None, pa.py_buffer(draw.bytes(16 * ROWS))])
            batch = pattern.set_column(0, DOCUMENTS.field("doc_id"), ids)
            sides["a"].append(batch)
            changed = draw.integers(CHANGED, size=ROWS) == 0
            texts = pa.array([f"{old}!" if new else old for old, new in zip(batch.column("text").to_pylist(), changed, strict=True)])
            batch = batch.set_column(DOCUMENTS.get_field_index("text"), DOCUMENTS.field("text"), texts)
            sides["b"].append(batch.filter(pa.array(draw.integers(DROPPED, size=ROWS) != 0)))
        for name, batches in sides.items():
            path = drafts[name].scratch() / f"{shard}.arrow"
            rows = write_shard(path, DOCUMENTS, batches, compress=True)
            file = drafts[name].adopt(path, folder="documents", stem=str(shard), suffix=".arrow", role="documents", rows=rows)
            drafts[name].add_part("finish", str(shard), [file])
    for draft in drafts.values():
        draft.commit(["finish"])


def ours(a: Artifact, b: Artifact) -> dict[str, int]:
    told = compare_rows(a, b, 0)
    return {side: told[side]["documents"] for side in ("equal", "changed", "only_a", "only_b")}


def joined(a: Artifact, b: Artifact) -> dict[str, int]:
    """The same by DuckDB, on one thread as ours."""
    tables = {name: ds.dataset(artifact.paths("documents"), format="ipc") for name, artifact in (("left_", a), ("right_", b))}
    differs = " OR ".join(f"l.{name} IS DISTINCT FROM r.{name}" for name in COMPARED)
    database = duckdb.connect(config={"threads": 1})
    for name, table in tables.items():
        database.register(name, table)
    both = "l.doc_id IS NOT NULL AND r.doc_id IS NOT NULL"
    sums = f"{both} AND NOT ({differs})", f"{both} AND ({differs})", "r.doc_id IS NULL", "l.doc_id IS NULL"
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in sums)
    row = database.execute(f"SELECT {counts} FROM left_ l FULL OUTER JOIN right_ r ON l.doc_id = r.doc_id").fetchone()
    assert row is not None
    return dict(zip(("equal", "changed", "only_a", "only_b"), row, strict=True))


SIDES = {"ours": ours, "DuckDB": joined}


def one_side(side: str, folder: Path) -> None:
    """Print the figures of a side as JSON."""
    a, b = (Artifact.open(folder / name) for name in "ab")
    wall, cpu = time.monotonic(), time.process_time()
    counts = SIDES[side](a, b)
    spent = time.monotonic() - wall, time.process_time() - cpu
    peak = re.search(
        r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()
    )  # getrusage tells the peak of who started us, if that is more
    assert peak is not None
    print(json.dumps([*spent, int(peak[1]) / 1e3, counts]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return one_side(options.side, options.folder)
    with tempfile.TemporaryDirectory() as name:
        write_versions(Path(name), options.documents)
        found = {}
        for side in SIDES:
            command = [sys.executable, "-m", "tests.bench.bench_diff", "--side", side, "--folder", name]
            *figures, found[side] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
            print("{:8} {:6.1f} s, {:6.1f} CPU s, peak {:6,.0f} MB".format(side, *figures))
    if found["ours"] != found["DuckDB"]:
        raise SystemExit(f"the two disagree: {found}")
    print(", ".join(f"{side} {count:,}" for side, count in found["ours"].items()))


if __name__ == "__main__":
    main()
