"""Where a training step's CPU time goes, by piece, kind and kernel: `bench_train`'s Llama, compiled, bf16, on one thread.

    python -m tests.bench.profile_train [--give-back] [--passes 9] [--kernels 12] [--layers 4 --width 256 --context 256 --batch 8]

Times are CPU milliseconds a step, so they stand when other work shares the machine (which still makes them longer: compare only what
one run tells); those of kinds and kernels are torch.profiler's, of the clock, in the quickest of the steps. With `--give-back` freed
memory goes back to the system, as it did before `model.memory`. Products by themselves are those of the model's shapes, as torch.mm takes
them; `share` is how near they are to the rate of plain products of 1,024 squared, which utilization is told in.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import torch
import torch._inductor.config
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.profiler import ProfilerActivity, profile

import model.parallel
from model.backward import Backward
from model.decoder import DecoderModel
from model.hardware import peak_bytes
from model.objectives.next_token import NextToken
from model.objectives.objective import Inputs
from model.optim import build_optimizer
from model.parallel import Ranks, ranks
from schemas import recipe

VOCABULARY = 8192
WARM = 3
"""Steps in which code is compiled and memory is taken."""
Kernels = dict[str, tuple[float, int]]
"""Milliseconds and calls by name."""


class Step:
    """A training step cut into pieces that can be timed."""

    def __init__(self, options: argparse.Namespace, group: Ranks) -> None:
        torch.manual_seed(0)
        heads = options.width // 64
        config = recipe.Decoder(
            layers=options.layers, width=options.width, heads=heads, kv_heads=heads, ffn=4 * options.width, context=options.context,
            tie_embeddings=False,
        )  # fmt: skip
        self.model = DecoderModel(config, VOCABULARY)
        self._parameters = list(self.model.parameters())
        self._passes = [Inputs((torch.randint(0, VOCABULARY, (options.batch, options.context + 1)),))]
        self._backward = Backward(NextToken(self.model), torch.bfloat16, group, compiled=True)
        self._optimizer = build_optimizer(self.model, recipe.Optimizer(name="adamw"), group)
        self._norm = torch.zeros(())

    def passes(self) -> None:
        self._backward(self._passes)

    def norm(self) -> None:
        self._norm = get_total_norm([p.grad for p in self._parameters if p.grad is not None])

    def clip(self) -> None:
        clip_grads_with_norm_(self._parameters, 1.0, self._norm)

    def update(self) -> None:
        self._optimizer.step(0.01)

    def zero(self) -> None:
        self._optimizer.zero_grad()

    def whole(self) -> None:
        for piece in self.pieces().values():
            piece()

    def pieces(self) -> dict[str, Callable[[], None]]:
        return {"forward and backward": self.passes, "norm": self.norm, "clip": self.clip, "AdamW": self.update, "zero": self.zero}


def milliseconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def kernel_work(step: Step, passes: int) -> tuple[float, float]:
    """Of the operating system: its CPU milliseconds, and pages that it filled with zeros."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(passes):
        step.whole()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_stime - before.ru_stime) * 1000 / passes, (after.ru_minflt - before.ru_minflt) / passes


def kernels(step: Step, passes: int) -> Kernels:
    """Of the quickest of so many steps: what each operator and generated kernel takes by itself."""
    steps = []
    for _ in range(passes):
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step.whole()
        steps.append({event.key: (event.self_cpu_time_total / 1000, event.count) for event in found.key_averages()})
    return min(steps, key=lambda found: sum(spent for spent, _ in found.values()))


KINDS = {
    "log_softmax": "cross entropy", "softmax": "softmax", "silu": "gates", "cpp_fused": "norms, rotation, sums, casts",
    "bmm": "products of attention", "mm": "products", "adam": "optimizer",
}  # fmt: skip
"""What a kernel is for, by the first of these that is in its name."""


def kind(name: str) -> str:
    return next((found for part, found in KINDS.items() if part in name), "other")


def products(options: argparse.Namespace) -> dict[str, tuple[int, int, int, int]]:
    """Rows, inner and columns of a product of the forward pass, and how often a step takes it."""
    tokens, width, ffn = options.batch * options.context, options.width, 4 * options.width
    return {
        "queries, keys, values, output": (tokens, width, width, 4 * options.layers),
        "gate, up": (tokens, width, ffn, 2 * options.layers),
        "down": (tokens, ffn, width, options.layers),
        "head": (tokens, width, VOCABULARY, 1),
    }


def best(work: Callable[[], object], calls: int = 9) -> float:
    return min(milliseconds(work) for _ in range(calls))


def show_products(options: argparse.Namespace) -> None:
    def random(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16)

    one, other = random(1024, 1024), random(1024, 1024)
    peak = 2 * 1024**3 / best(lambda: one @ other)
    total = ideal = 0.0
    print(f"{'':<32}{'forward':>9}{'of states':>10}{'of weights':>11}{'share':>15}   (peak {peak / 1e6:.0f} GFLOP/s)")
    for name, (rows, inner, columns, count) in products(options).items():
        x, weight, slope = random(rows, inner), random(columns, inner), random(rows, columns)
        ways = [best(lambda: x @ weight.T), best(lambda: slope @ weight), best(lambda: slope.T @ x)]  # noqa: B023
        least = 2 * rows * inner * columns / peak
        total, ideal = total + count * sum(ways), ideal + 3 * count * least
        shares = "/".join(f"{least / way:.0%}" for way in ways)
        print(f"{name + f' ({count})':<32}{count * ways[0]:>9.1f}{count * ways[1]:>10.1f}{count * ways[2]:>11.1f}{shares:>15}")
    print(f"{'all':<32}{total:>9.1f} ms, at the peak {ideal:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("passes", 9), ("kernels", 12), ("layers", 4), ("width", 256), ("context", 256), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--give-back", action="store_true")
    options = parser.parse_args()
    if options.give_back:
        model.parallel.keep_freed_memory = lambda: False
    torch._inductor.config.cpp.enable_kernel_profile = True
    with ranks(1) as group:
        step = Step(options, group)
        for _ in range(WARM):
            step.whole()
        system, faults = kernel_work(step, options.passes)
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.passes):
            for name, piece in step.pieces().items():
                taken[name].append(milliseconds(piece))
        found = kernels(step, options.passes)
    print("piece, ms: median, least")
    for name, spans in taken.items():
        print(f"  {name:<32}{median(spans):>9.1f}{min(spans):>9.1f}")
    print(f"of the whole step, ms of the system {system:.1f}, page faults {faults:,.0f}; memory at most {peak_bytes() / 1e6:,.0f} MB")
    kinds: dict[str, float] = defaultdict(float)
    for name, (spent, _) in found.items():
        kinds[kind(name)] += spent
    print("kind, ms, share")
    for name, spent in sorted(kinds.items(), key=lambda item: -item[1]):
        print(f"  {name:<32}{spent:>9.1f}{spent / sum(kinds.values()):>8.1%}")
    print("kernel, ms, calls")
    for name, (spent, calls) in sorted(found.items(), key=lambda item: -item[1][0])[: options.kernels]:
        print(f"  {spent:>8.1f}{calls:>6}  {name}")
    show_products(options)


if __name__ == "__main__":
    main()
