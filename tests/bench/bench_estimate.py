"""The memory of a rank: what `gristmill plan` says it will take, beside what a process that trains so took.

    python -m tests.bench.bench_estimate [--sizes tiny mini] [--vocabularies 600 8192] [--batch 8]

Each training is five steps over random tokens, in a process of its own with one thread: AdamW, bf16, with and without a compiler.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from model.backward import Backward
from model.families import build_model
from model.footprint import footprint
from model.hardware import peak_bytes
from model.objectives import Inputs, objective_of
from model.optim import build_optimizer
from model.parallel import ranks
from schemas.recipe import Pretrain


def measure(size: str, vocabulary: int, batch: int, compiled: bool) -> tuple[int, int]:
    """Bytes before there is a model, and at the most."""
    settings = Pretrain.model_validate({"model": {"size": size}, "batch": batch, "optimizer": {"name": "adamw"}})
    before = peak_bytes()
    with ranks(1) as group:
        model = build_model(settings.model, vocabulary)
        optimizer = build_optimizer(model, settings.optimizer, group)
        backward = Backward(objective_of(settings, {}, ()).module(model), torch.bfloat16, group, compiled)
        for _ in range(5):
            backward([Inputs((torch.randint(0, vocabulary, (batch, settings.model.context + 1)),))])
            optimizer.step(1.0)
            optimizer.zero_grad()
    return before, peak_bytes()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini"])
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[600, 8192])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        size, vocabulary, compiled = options.one
        print(json.dumps(measure(size, int(vocabulary), options.batch, compiled == "True")))
        return
    print(f"{'size':<6} {'vocabulary':>10}  {'compiled':<8} {'process':>8} {'beside it':>9} {'estimated':>9}")
    for size in options.sizes:
        for vocabulary in options.vocabularies:
            for compiled in (False, True):
                one = ["--batch", str(options.batch), "--one", size, str(vocabulary), str(compiled)]
                command = [sys.executable, "-m", "tests.bench.bench_estimate", *one]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                before, most = json.loads(done.stdout.splitlines()[-1])
                settings = Pretrain.model_validate({"model": {"size": size}, "batch": options.batch, "validate_tokens": 1})
                found = footprint(settings, {"vocab_size": vocabulary}, 1, compiled)
                told = found.bytes - found.checkpoint  # none is written here
                cells = f"{before / 1e6:>5.0f} MB {(most - before) / 1e6:>6.0f} MB {told / 1e6:>6.0f} MB"
                print(f"{size:<6} {vocabulary:>10}  {compiled!s:<8} {cells}", flush=True)


if __name__ == "__main__":
    main()
