"""Our loader beside litdata's and MosaicML's: the same tokens, read at random as batches of int64, in one run.

    python -m venv PEERS && PEERS/bin/pip install torch==2.13.0 && PEERS/bin/pip install -c <(echo torch==2.13.0) litdata mosaicml-streaming
    python -m tests.bench.bench_loader --peers PEERS/bin/python [--tokens 40 --windows 257 1025 2049 --batch 256]

The peers' calls are in loader_peers.py: formats, chunk sizes and loaders as their guides recommend for pretraining, local files, and the
best of 0, 1 and 2 worker processes. Ours and theirs take turns. `shuffled` is a pass in the loader's own random order; `by index` reads
samples whose numbers are drawn at random. Prints how long it takes to go on at sample 10^9 of an index of ten million documents, what
packing costs and gives, and tokens a second, the best of all rounds, with ratios.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from model.data import Batch, Batches, training_batches
from model.index import Index, build_index, open_index, save_index
from model.layout import Blocks
from model.packing import best_fit, items
from model.phases import Stage
from model.prefetch import Prefetch
from model.shards import open_location
from model.text import Special, Text
from model.token_space import TokenSpace
from schemas.arrow import tokens_schema, write_shard
from schemas.draft import Draft
from schemas.fingerprint import Identity

AROUND = Special(0, 1)
VOCABULARY = 32_000
SHARDS = 4
SECONDS = 1.0
"""Of each round."""
ROUNDS = 3
PEERS = ("litdata", "mosaic")
WAYS = ("shuffled", "by index")

Rate = tuple[float, float]
"""Tokens a second, and a second that the process was on a CPU: the latter stands even if other work shares the machine."""


def make_tokens(folder: Path, tokens: int) -> tuple[Path, Path]:
    """An artifact of documents of web lengths (log-normal, 660 tokens in the mean), and the same tokens as one flat array for the peers."""
    draw = np.random.default_rng(0)
    lengths = draw.lognormal(6, 1, tokens // 600).astype(np.int64) + 1
    schema = tokens_schema(VOCABULARY)
    draft, flat = Draft.start(folder / "artifact", "tokens", "bench", Identity("tokens", 1, {}, {}, {})), []
    for shard, part in enumerate(np.array_split(lengths, SHARDS)):
        offsets = np.concatenate(([0], np.cumsum(part)))
        ids = draw.integers(2, VOCABULARY, int(offsets[-1])).astype(np.uint16)
        for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            flat.append(np.concatenate(([AROUND.bos], ids[begin:end], [AROUND.eos])).astype(np.uint16))
        names = [pa.array([name] * len(part)) for name in ("web", "en", "train")]
        none = pa.ListArray.from_arrays(pa.array(np.zeros(len(part) + 1, np.int32)), pa.array([], pa.bool_()))
        columns = [
            pa.array([b"\0" * 16] * len(part), pa.binary(16)), *names, pa.array(np.ones(len(part), np.float32)),
            pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids)),
            pa.nulls(len(part), pa.list_(pa.uint32())), none, none.cast(pa.list_(pa.uint32())), pa.array(part * 4, pa.uint64()),
        ]  # fmt: skip
        path = draft.scratch() / f"{shard}.arrow"
        write_shard(path, schema, [pa.RecordBatch.from_arrays(columns, schema=schema)], compress=False)
        draft.add_part("tokens", str(shard), [draft.adopt(path, folder="tokens", stem=str(shard), suffix=".arrow", role="tokens")])
    np.save(folder / "tokens.npy", np.concatenate(flat))
    return draft.commit(["tokens"]).path, folder / "tokens.npy"


def shuffled(batches: Batches, batch: int) -> Iterator[Batch]:
    """Batches in order of step."""
    with Prefetch(batches, lambda batch: batch, 0, 1 << 40, 0, 1) as found:
        yield from found


def by_index(batches: Batches, batch: int) -> Iterator[Batch]:
    """Batches of samples drawn at random."""
    samples = batches.phases.steps_within(1) * batch
    for indices in np.random.default_rng(0).integers(0, samples, (1 << 14, batch)):
        yield batches.samples(indices)


def rate(found: Iterator[Batch]) -> Rate:
    tokens, start, busy = 0, time.perf_counter(), time.process_time()
    for batch in found:
        tokens += batch.ids.numel()
        if time.perf_counter() - start > SECONDS:
            break
    return tokens / (time.perf_counter() - start), tokens / (time.process_time() - busy)


def ours(batches: Batches, batch: int, found: dict[str, Rate]) -> None:
    """A few rounds of each way; the best is kept."""
    for _ in range(ROUNDS):
        for way, read in zip(WAYS, (shuffled, by_index), strict=True):
            wall, busy = rate(read(batches, batch))
            before = found.get(way, (0.0, 0.0))
            found[way] = max(before[0], wall), max(before[1], busy)


def peer(python: str, name: str, tokens: Path, window: int, batch: int, folder: Path) -> dict[str, Rate]:
    """The best of a peer's ways of reading, by our ways; a second on a CPU is of its in-process loader."""
    script = Path(__file__).with_name("loader_peers.py").resolve()
    command = [python, str(script), name, str(tokens), str(window), str(batch), str(folder), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    if done.returncode:
        sys.exit(f"{name} failed: {done.stderr.strip()[-500:]}")
    rates: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    in_process = {"shuffled": "shuffled, 0 workers", "by index": "by index"}
    return {way: (max(rates[key][0] for key in rates if key.startswith(way)), rates[in_process[way]][1]) for way in WAYS}


def compare(artifact: Path, tokens: Path, python: str | None, windows: list[int], batch: int, folder: Path) -> None:
    names = PEERS if python else ()
    print(f"millions of tokens a second (and a CPU second), batches of {batch}" + ("" if python else "; no --peers, so ours alone"))
    print(f"{'window':>7} {'way':<9}{'ours':>16}" + "".join(f"{name:>16} {'ratio':>14}" for name in names))
    for window in windows:
        batches = training_batches(artifact, [Stage(0, batch, window - 1, {})], 0, AROUND)
        mine: dict[str, Rate] = {}
        ours(batches, batch, mine)
        theirs = {}
        for name in names:
            theirs[name] = peer(str(python), name, tokens, window, batch, folder / f"{name}-{window}")
            ours(batches, batch, mine)
        for way in WAYS:
            wall, busy = mine[way]
            line = f"{window:>7} {way:<9}{wall / 1e6:8.1f} ({busy / 1e6:5.0f})"
            for name in names:
                its_wall, its_busy = theirs[name][way]
                line += f"{its_wall / 1e6:8.1f} ({its_busy / 1e6:5.1f}) {wall / its_wall:5.1f}x ({busy / its_busy:4.1f}x)"
            print(line, flush=True)


def best(function: Callable[[], Any], rounds: int = 7) -> tuple[float, Any]:
    """Seconds of the fastest of some calls, and what the last one gave."""
    times, found = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        found = function()
        times.append(time.perf_counter() - start)
    return min(times), found


def packing(artifact: Path) -> None:
    manifest, shards = open_location(artifact)
    index = build_index(TokenSpace(manifest.files("tokens"), shards), "train")
    lengths = np.diff(np.concatenate(([0], index.end)))
    for window in (513, 2049, 8193):
        length = items(index.end - lengths, lengths, window)[1]
        seconds, pack = best(lambda length=length, window=window: best_fit(length, window), 3)
        ends = index.end - 1
        cut = ((ends - lengths) // (window - 1) != ends // (window - 1)).mean()  # a block's border lies inside
        print(
            f"best-fit packing, window {window}: {len(length):,} items in {seconds:.2f} s, "
            f"{length.sum() / (int(pack.max()) + 1) / window:.2%} full; "
            f"{(lengths > window).mean():.1%} of the documents are cut, {cut:.1%} if laid end to end"
        )


def resume(artifact: Path, folder: Path, documents: int = 10_000_000, window: int = 2049, batch: int = 64) -> None:
    """Time to go on at sample 10^9: open the index, make the table of phases, seek, assemble the batch."""
    manifest, shards = open_location(artifact)
    space = TokenSpace(manifest.files("tokens"), shards)
    real = build_index(space, "train")
    again = np.random.default_rng(0).integers(0, len(real.end), documents)
    lengths = np.diff(np.concatenate(([0], real.end)))[again]
    half = documents * 2 // 3
    save_index(
        Index(np.cumsum(lengths), real.place[again], real.n_bytes[again], {"en": (0, half), "zh": (half, documents)}, real.width),
        folder / "synthetic.arrow",
    )
    stages = [Stage(0, batch, window - 1, {}), Stage(10**6, batch, window - 1, {"en": 1, "zh": 3})]
    step = 10**9 // batch
    state: dict[str, Any] = {}

    def go_on() -> torch.Tensor:
        text = Text(space, open_index(folder / "synthetic.arrow"), AROUND)
        batches = Batches(text, {window - 1: Blocks(text, window)}, stages, "digest", 0, False)
        state.update(batches.state(step))
        return batches.batch_at(batches.resume(state)).ids

    first, _ = best(go_on, 1)
    seconds, _ = best(go_on)
    size = (folder / "synthetic.arrow").stat().st_size
    print(
        f"resume at sample {state['sample']:,} of {documents:,} documents ({int(np.sum(lengths)):,} tokens, index of {size:,} bytes): "
        f"{first * 1e3:.1f} ms at first, {seconds * 1e3:.1f} ms at best, its batch of {batch} x {window} tokens included"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="Python of an environment with litdata and mosaicml-streaming")
    parser.add_argument("--tokens", type=int, default=40, help="millions")
    parser.add_argument("--windows", type=int, nargs="+", default=[257, 1025, 2049])
    parser.add_argument("--batch", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        artifact, tokens = make_tokens(folder, chosen.tokens * 1_000_000)
        resume(artifact, folder)
        packing(artifact)
        compare(artifact, tokens, chosen.peers, chosen.windows, chosen.batch, folder)


if __name__ == "__main__":
    main()
