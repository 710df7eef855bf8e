"""What it costs to say how far new documents are from those that a champion learned.

    python -m tests.bench.bench_drift [--documents 100000]

Half of the documents were learned, half are new; both are drawn from one distribution of lengths (lognormal, 300 tokens in the middle),
tokens (Zipf, vocabulary of 32,000), languages and parts of speech. Prints seconds by the wall and of CPU, the peak memory of the process,
and what was found.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.drift import drift_of
from schemas.arrow import DOCUMENTS, UPOS, tokens_schema, write_shard
from schemas.fingerprint import Identity
from schemas.recipe import Drift, Recipe
from schemas.store import Store
from tests.bench.bench_tokens import ROOT
from tests.flows.champions import crown
from tests.pipelines.documents import batch_of

ROWS, VOCABULARY = 500, 32_000
SCHEMA = tokens_schema(VOCABULARY)
RECIPE = Recipe.model_validate({"name": "b", "corpus": {"sources": [{"name": "s", "path": ".", "format": "txt"}]}})


def batches(documents: int, seed: int) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Rows of a document shard and of its token shard. Texts are short, as nothing looks at them."""
    draw = np.random.default_rng(seed)
    pattern = batch_of([("A text.", ("en", "zh")[n % 3 == 0], "train") for n in range(ROWS)])
    for _ in range(documents // ROWS):
        lengths = np.maximum(draw.lognormal(5.7, 1, ROWS).astype(np.int64), 1)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), ROWS, [None, pa.py_buffer(draw.bytes(16 * ROWS))])
        pos = pa.ListArray.from_arrays(ends.astype(np.int32), draw.integers(len(UPOS), size=ends[-1]).astype(np.uint8))
        document = pattern.set_column(0, DOCUMENTS.field(0), ids).set_column(DOCUMENTS.get_field_index("pos"), DOCUMENTS.field("pos"), pos)
        tokens = np.minimum(draw.zipf(1.2, ends[-1]) - 1, VOCABULARY - 1).astype(np.uint16)
        columns = {
            **{name: document.column(name) for name in ("doc_id", "source", "lang", "subset", "weight")},
            "tokens": pa.LargeListArray.from_arrays(ends, tokens),
            "n_bytes": pa.array((lengths * draw.normal(4, 0.3, ROWS)).astype(np.uint64)),
        }
        nothing = {field.name: pa.nulls(ROWS, field.type) for field in SCHEMA}
        yield document, pa.RecordBatch.from_arrays([{**nothing, **columns}[field.name] for field in SCHEMA], schema=SCHEMA)


def write(store: Store, documents: int) -> None:
    """Two versions of documents and tokens: the second has the first one's shard, and another of as many documents."""
    files: dict[str, list[Path]] = {"documents": [], "tokens": []}
    for version in range(2):
        made = {}
        for place, (kind, schema) in enumerate((("documents", DOCUMENTS), ("tokens", SCHEMA))):
            inputs = {"documents": made["documents"]} if made else {}
            draft = store.start(kind, "b", Identity(kind, 1, {"version": version}, inputs, {}))
            path = store.root / f"{kind}-{version}.arrow"
            write_shard(path, schema, (pair[place] for pair in batches(documents // 2, version)), compress=kind == "documents")
            files[kind].append(path)
            for number, shard in enumerate(files[kind]):
                (draft.scratch() / shard.name).hardlink_to(shard)
                file = draft.adopt(draft.scratch() / shard.name, folder=kind, stem=str(number), suffix=".arrow", role=kind)
                draft.add_part(kind, str(number), [file])
            made[kind] = draft.commit([kind]).manifest.content_digest
            time.sleep(0.01)  # versions are told apart by their time
    crown(store, next(store.artifacts("tokens", "b")))


def one_run(folder: Path) -> None:
    wall, cpu = time.monotonic(), time.process_time()
    found = drift_of(RECIPE, Store(folder), Drift(bits_per_byte=None), print)
    spent = time.monotonic() - wall, time.process_time() - cpu
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    print(json.dumps([*spent, int(peak[1]) / 1e3, found.new_documents, len(found.findings), len(found.reasons())]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        return one_run(options.folder)
    with tempfile.TemporaryDirectory() as name:
        store = Store(name)
        write(store, options.documents)
        size = sum(path.stat().st_size for path in Path(name).glob("tokens-*.arrow"))
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.bench_drift", "--folder", name], cwd=ROOT, capture_output=True, text=True, check=True
        )
        wall, cpu, peak, new, findings, drifting = json.loads(done.stdout.splitlines()[-1])
        print(f"{options.documents:,} documents, {new:,} of them new, {size / 1e6:,.0f} MB of token shards")
        print(f"{wall:.1f} s, {cpu:.1f} s of CPU, peak {peak:,.0f} MB; {findings} findings, {drifting} of them drift")


if __name__ == "__main__":
    main()
