"""Whether encoding keeps its memory over hours: new words without end through the encoder that `tokens.engine` names.

    python -m tests.bench.soak_tokens [--minutes 60] [--engine auto|tokenizers] [--kind words|chinese]

Prints the resident memory every `--every` seconds, and exits with 1 if the last quarter's peak is more than `--limit` MB above
the first quarter's. Words are random letters, which no engine has met before and each would like to remember: the worst case.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.encode import open_encoder
from tests.bench.bench_tokens import Text, write_tokenizer

BATCH = 1 << 20


def resident() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def batch(draw: np.random.Generator, kind: str, han: str) -> pa.StringArray:
    """About BATCH bytes in documents of 4 KB that were never seen."""
    if kind == "words":
        letters = draw.integers(ord("a"), ord("z") + 1, (BATCH // 4096, 512, 8), np.uint8)
        letters[:, :, 0] = ord(" ")
        return pa.array([document.tobytes().decode() for document in letters], pa.string())
    characters = np.frombuffer(han.encode("utf-32-le"), np.uint32)
    some = draw.choice(characters, (BATCH // 4096, 1365))
    return pa.array([document.tobytes().decode("utf-32-le") for document in some], pa.string())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=30)
    parser.add_argument("--engine", choices=("auto", "tokenizers"), default="auto")
    parser.add_argument("--kind", choices=("words", "chinese"), default="words")
    parser.add_argument("--limit", type=float, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder) / "tokenizer.json")
        encoder = open_encoder(Path(folder) / "tokenizer.json", options.engine)
    draw, han = np.random.default_rng(1), Text(seed=1).han
    began = told = time.monotonic()
    read, peaks = 0, [0.0] * 4
    while (spent := time.monotonic() - began) < options.minutes * 60:
        encoder.encode_column(batch(draw, options.kind, han))
        read += BATCH
        quarter = min(3, int(spent / (options.minutes * 15)))
        peaks[quarter] = max(peaks[quarter], resident())
        if time.monotonic() - told >= options.every:
            told = time.monotonic()
            print(f"{spent / 60:6.1f} minutes  {read / 1e6:9.0f} MB read  {resident():7.0f} MB resident", flush=True)
    print(f"peaks by quarter: {', '.join(f'{peak:.0f}' for peak in peaks)} MB; at most {options.limit:.0f} more at the end")
    return 0 if peaks[3] <= peaks[0] + options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
