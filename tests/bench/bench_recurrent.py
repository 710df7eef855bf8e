"""What it costs an LSTM that documents begin inside of rows: seconds of processor of a forward and backward pass, by the number of places
in which the rows of a batch are cut for it, over those of a pass that is not cut.

    python -m tests.bench.bench_recurrent [--width 256] [--rows 16] [--context 256] [--float32]
"""

from __future__ import annotations

import argparse
import time

import torch

from model.recurrent import RecurrentModel
from schemas import recipe

PASSES = 3


def seconds(model: RecurrentModel, ids: torch.Tensor, documents: torch.Tensor | None, dtype: torch.dtype) -> float:
    """The best of a few passes."""
    best = float("inf")
    for _ in range(PASSES + 1):
        began = time.process_time()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            states = model.hidden(ids, packed=None if documents is None else (documents, documents))
        states.float().square().mean().backward()
        best = min(best, time.process_time() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("width", 256), ("rows", 16), ("context", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--float32", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # as training does
    dtype = torch.float32 if options.float32 else torch.bfloat16
    model = RecurrentModel(recipe.Recurrent(family="lstm", layers=1, width=options.width, context=options.context), 512)
    ids = torch.randint(512, (options.rows, options.context))
    whole = seconds(model, ids, None, dtype)
    print(f"not cut: {whole:.3f} s")
    for cuts in (0, 10, 30, 100, options.context - 1):
        places = torch.randperm(options.context - 1)[:cuts] + 1
        begins = torch.zeros_like(ids)
        begins[torch.arange(cuts) % options.rows, places] = 1
        found = seconds(model, ids, begins.cumsum(1), dtype)
        print(f"cut in {cuts} places: {found:.3f} s, {found / whole:.1f} times")


if __name__ == "__main__":
    main()
