"""What an ingest costs beside the size of what it extends: a parent of ever more documents, and the same hundred new ones.

    python -m tests.bench.bench_ingest [--documents 2000 20000 200000]

Half of the new documents are copies of old ones. Seconds are of one process, without the start of workers and tracking: to list and plan,
to do the work, to commit; and before them those of a full build over all files.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

from schemas.store import Store
from tests.flows.chains import DOCUMENTS, assign, ingest, prepare, recipe

NEW = 100
FILE = 2000
"""Documents of a file."""


def main() -> None:
    """Print a row for each size of the parent."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[2000, 20000, 200000])
    print(f"{'old documents':>14} {'full build':>11} {'plan':>7} {'work':>7} {'commit':>7}  seconds")
    for documents in parser.parse_args().documents:
        folder = Path(tempfile.mkdtemp(prefix="gristmill-ingest-"))
        try:
            full, *parts = measured(folder, documents)
            print(f"{documents:>14,} {full:>11.2f} " + " ".join(f"{seconds:>7.2f}" for seconds in parts), flush=True)
        finally:
            shutil.rmtree(folder)


def measured(folder: Path, documents: int) -> tuple[float, ...]:
    """Seconds of a full build, and of an ingest: planning, work, commit."""
    from pipelines.job import Job
    from pipelines.runners import run_in_process

    draw = random.Random(documents)
    wanted = recipe(folder / "in", split_bytes=8 << 20, dedup={"near": {}})
    store = Store(folder / "store")
    texts = [" ".join(f"word{draw.randrange(5000)}" for _ in range(40)) for _ in range(documents)]
    for start in range(0, documents, FILE):
        write(folder / "in" / "b" / f"{start:09d}.jsonl", texts[start : start + FILE])
    started = time.perf_counter()
    ingest(store, wanted)
    full = time.perf_counter() - started
    new = [" ".join(f"word{draw.randrange(5000)}" for _ in range(40)) for _ in range(NEW // 2)]
    write(folder / "in" / "b" / "new.jsonl", [*new, *draw.sample(texts, NEW // 2)])
    times = [time.perf_counter()]
    ready = prepare(store, wanted)
    draft = store.start("documents", wanted.name, ready.identity, ready.splits)
    assign(draft, ready, {})
    times.append(time.perf_counter())
    run_in_process(Job.open(draft.path))
    times.append(time.perf_counter())
    made = draft.commit(DOCUMENTS.stages, ready.without)
    times.append(time.perf_counter())
    (ledger,) = made.manifest.ledgers.values()
    assert ledger.rejected == {"exact_duplicate": NEW // 2}
    return full, *(b - a for a, b in itertools.pairwise(times))


def write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


if __name__ == "__main__":
    main()
