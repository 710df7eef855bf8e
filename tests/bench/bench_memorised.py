"""How fast training text is searched for what a model wrote: `python -m tests.bench.bench_memorised [TOKENS]`.

The text is this Python's library, cut into words and marks, over and over, each time with other values for one word in ten: as many
near repetitions as any corpus has. Samples are 100 pieces of 256 tokens of it, one token in twenty another.
"""

from __future__ import annotations

import re
import resource
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from model.probes.memorised import memorised
from schemas.arrow import tokens_schema, write_shard

VOCABULARY = 16384


def main(wanted: int) -> None:
    draw = np.random.default_rng(0)
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [re.findall(r"\w+|[^\w\s]|\s+", file.read_text(encoding="utf-8", errors="replace")) for file in files]
    number: dict[str, int] = {}
    documents = [np.array([number.setdefault(word, len(number)) % VOCABULARY for word in text], np.uint16) for text in texts if text]
    schema = tokens_schema(VOCABULARY)
    with tempfile.TemporaryDirectory() as folder:
        shards, made, samples = [], 0, []
        while made < wanted:
            rows = []
            for tokens in documents:
                other = np.where(draw.random(len(tokens)) < 0.1, draw.integers(0, VOCABULARY, len(tokens)), tokens).astype(np.uint16)
                rows.append(
                    {"doc_id": bytes(16), "source": "s", "lang": "en", "subset": "train", "weight": 1.0, "tokens": other, "n_bytes": 1}
                )
                made += len(tokens)
                if len(samples) < 100 and len(tokens) > 400:
                    sample = other[:256].copy()
                    changed = draw.random(256) < 0.05
                    sample[changed] = draw.integers(0, VOCABULARY, int(changed.sum()))
                    samples.append(sample.tolist())
            shards.append(Path(folder, f"{len(shards)}.arrow"))
            write_shard(shards[-1], schema, pa.Table.from_pylist(rows, schema=schema).to_batches(max_chunksize=100), compress=False)
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        found = memorised(shards, samples)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu, took = after.ru_utime - before.ru_utime, time.perf_counter() - began
    longest = sorted(span.length for span in found.longest if span)
    print(f"{found.searched / 1e6:.1f} M tokens, {len(samples)} samples: {took:.1f} s ({cpu:.1f} s of CPU): "
          f"{found.searched / cpu / 1e6:.1f} M tokens a CPU second, {(after.ru_maxrss - before.ru_maxrss) / 1e3:.0f} MB more at the peak; "
          f"{len(found.spans)} spans, longest match of a sample {longest[0]} to {longest[-1]}, {found.rate:.1%} inside spans")  # fmt: skip


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 20_000_000)
