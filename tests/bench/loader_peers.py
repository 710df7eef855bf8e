"""The peers of bench_loader, each in one call to read tokens at random; run by it with the Python of another environment.

    PEERS/bin/python loader_peers.py litdata|mosaic TOKENS.npy WINDOW BATCH FOLDER SECONDS

Writes the blocks of TOKENS.npy (uint16) in the peer's own format to FOLDER (once), then prints JSON: best tokens a second
(and a CPU second of the reading process) of batches int64 [BATCH, WINDOW], by way of reading. No pickle is read but the peers' own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROUNDS = 3
WORKERS = (0, 1, 2)
"""Processes of the peer's loader; the best count is taken."""

Batches = Iterator[torch.Tensor]


def litdata_write(tokens: str, window: int, folder: Path) -> None:
    """As its guide to pretraining says: documents optimized into chunks of 64 MB of tokens for TokensLoader."""
    from litdata import TokensLoader, optimize

    parts = [(tokens, start) for start in range(0, len(np.load(tokens, mmap_mode="r")), 1 << 20)]
    chunk = window * ((64 << 20) // 2 // window)
    optimize(litdata_part, parts, str(folder), chunk_size=chunk, item_loader=TokensLoader(block_size=window), num_workers=1)


def litdata_part(part: tuple[str, int]) -> Iterator[torch.Tensor]:
    path, start = part
    yield torch.from_numpy(np.load(path, mmap_mode="r")[start : start + (1 << 20)].copy())


def litdata_dataset(folder: Path, window: int, batch: int) -> Any:
    from litdata import StreamingDataset, TokensLoader

    return StreamingDataset(str(folder), item_loader=TokensLoader(block_size=window), shuffle=True, drop_last=True)


def litdata_loader(folder: Path, window: int, batch: int, workers: int) -> Batches:
    from litdata import StreamingDataLoader

    loader = StreamingDataLoader(litdata_dataset(folder, window, batch), batch_size=batch, num_workers=workers, drop_last=True)
    for ids in loader:
        yield ids.long()


def import_streaming() -> Any:
    """MosaicML's package. It imports torchvision, whose operators need torch's CUDA libraries: without these, the two that its
    import looks up (and tokens never call) are declared here."""
    try:
        import streaming
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.split(".")[0] in ("streaming", "torchvision")]:
            del sys.modules[name]
        import streaming
    return streaming


def mosaic_write(tokens: str, window: int, folder: Path) -> None:
    """Blocks as arrays of declared type and shape, which MDS stores without a header each; shards of its default 64 MB."""
    streaming = import_streaming()
    flat = np.load(tokens, mmap_mode="r")
    with streaming.MDSWriter(out=str(folder), columns={"ids": f"ndarray:uint16:{window}"}, size_limit=1 << 26) as out:
        for start in range(0, len(flat) - window + 1, window):
            out.write({"ids": np.ascontiguousarray(flat[start : start + window])})


def mosaic_dataset(folder: Path, window: int, batch: int) -> Any:
    return import_streaming().StreamingDataset(local=str(folder), shuffle=True, batch_size=batch)


def mosaic_loader(folder: Path, window: int, batch: int, workers: int) -> Batches:
    dataset = mosaic_dataset(folder, window, batch)
    loader = import_streaming().StreamingDataLoader(dataset, batch_size=batch, num_workers=workers, drop_last=True)
    for rows in loader:
        yield rows["ids"].long()


def by_index(dataset: Any, count: int, batch: int) -> Batches:
    """Batches of `dataset[i]` for random i."""
    draw = np.random.default_rng(0)
    while True:
        items = [dataset[int(i)] for i in draw.integers(0, count, batch)]
        if isinstance(items[0], dict):
            yield torch.from_numpy(np.stack([item["ids"] for item in items]).astype(np.int64))
        else:
            yield torch.stack(items).long()


def rate(open_batches: Callable[[], Batches], seconds: float) -> list[float]:
    """Tokens a second, and a second of this process on a CPU, of the fastest of some rounds, each up to `seconds` or the end; the
    first batch isn't counted."""
    best = [0.0, 0.0]
    for _ in range(ROUNDS):
        batches = open_batches()
        next(batches)
        start, busy, tokens, last = time.perf_counter(), time.process_time(), 0, 0.0
        for ids in batches:
            tokens += ids.numel()
            last = time.perf_counter() - start
            if last > seconds:
                break
        best = [max(best[0], tokens / last), max(best[1], tokens / (time.process_time() - busy))]
    return best


def main(arguments: list[str]) -> None:
    peer, tokens, folder = arguments[0], arguments[1], Path(arguments[4])
    window, batch, seconds = int(arguments[2]), int(arguments[3]), float(arguments[5])
    write, dataset, loader = globals()[f"{peer}_write"], globals()[f"{peer}_dataset"], globals()[f"{peer}_loader"]
    if not (folder / "index.json").exists():
        write(tokens, window, folder)
    found = {}
    for workers in WORKERS:
        found[f"shuffled, {workers} workers"] = rate(lambda w=workers: loader(folder, window, batch, w), seconds)
    opened = dataset(folder, window, batch)
    found["by index"] = rate(lambda: by_index(opened, len(opened), batch), seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
