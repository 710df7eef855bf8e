"""Cross entropy over a big vocabulary, all logits at once or in chunks: seconds and memory of one forward and backward pass.

    python -m tests.bench.bench_cross_entropy [--vocabulary 32768] [--tokens 2048] [--width 256] [--threads 1] [--compile]

Each way runs in a process of its own, bf16 autocast over float32 weights, as training does; `torch` is torch's own
`F.linear_cross_entropy` in chunks. Memory is the process' peak over what it held before the first pass; seconds are the best pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from model.cross_entropy import linear_cross_entropy

PASSES = 4


def loss_of(way: str, states: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    if way == "logits":
        return F.cross_entropy((states @ head.T).float(), targets)
    if way == "torch":
        options = torch.nn.LinearCrossEntropyOptions()
        return F.linear_cross_entropy(states, head, targets, options=options)
    chunk = None if way == "all" else int(way)
    return linear_cross_entropy(states, head, targets, weights, chunk=chunk)[0]


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    states = torch.randn(options.tokens, options.width).requires_grad_()
    head = (torch.randn(options.vocabulary, options.width) * 0.02).requires_grad_()
    targets, weights = torch.randint(0, options.vocabulary, (options.tokens,)), torch.full((options.tokens,), 1 / options.tokens)
    function: Callable[..., Tensor] = torch.compile(loss_of, dynamic=False) if options.compile else loss_of

    def one_pass() -> float:
        states.grad = head.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = function(way, states, head, targets, weights)
        loss.backward()
        return float(loss)

    before, times, loss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [], 0.0
    for _ in range(PASSES):
        began = time.perf_counter()
        loss = one_pass()
        times.append(time.perf_counter() - began)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    norm = float(head.grad.norm()) if head.grad is not None else 0.0
    return {"seconds": min(times), "megabytes": (after - before) / 1024, "loss": loss, "norm": norm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("vocabulary", 32768), ("tokens", 2048), ("width", 256), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options)))
        return
    print(f"{'way':>8} {'seconds':>8} {'megabytes':>10} {'loss':>9} {'norm of the gradient':>21}")
    for way in ["logits", "all", "1024", "256", *([] if options.compile else ["torch"])]:
        command = [sys.executable, "-m", "tests.bench.bench_cross_entropy", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        if done.returncode:
            print(f"{way:>8} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:>8} {found['seconds']:8.3f} {found['megabytes']:10.0f} {found['loss']:9.5f} {found['norm']:21.7f}")


if __name__ == "__main__":
    main()
