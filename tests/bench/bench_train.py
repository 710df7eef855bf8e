"""Our pretraining step beside Hugging Face's Trainer and nanoGPT: tokens a second in one run, the sides taking turns.

    pip install --no-deps --target PEERS accelerate psutil     # which Trainer needs, and this project does not
    git clone https://github.com/karpathy/nanoGPT
    python -m tests.bench.bench_train [--peers PEERS] [--nanogpt nanoGPT] [--steps 60 --rounds 2 --threads 2 --widths 512 768]

Each side trains a Llama of 8.4 M parameters (4 layers, 256 wide, a vocabulary of 8,192, own head) on 8 sequences of 256 of the same ids,
with the same number of threads: ours as the recipe's defaults have it (bf16, compiled, AdamW), in one process, and as one rank a thread;
Trainer at its defaults (float32), and told bf16 and torch.compile; nanoGPT as it comes, which is float32 on a CPU, with as many layers,
heads and channels (it has no gates, and ties its head: 5.3 M parameters).

Tokens a second are of the median step; the best of all rounds is told. The first steps are left out, in which code is compiled: `warm-up`
is the time from the start of the process to their end, in the first round (later ones find compiled code). CPU seconds are the whole
process', so they stand when other work shares the machine, except that waiting threads spin. `waits` is the share of a step that it waits
for data. Then ours alone at other widths, as a share of what this machine does in plain matrix products of bf16.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from schemas.artifact import Artifact
from schemas.child import RUN_FACTS
from tests.bench.pretrain_drafts import SPECIAL, commit_tokenizer, commit_tokens, pretrain_draft

VOCABULARY, BATCH, CONTEXT = 8192, 8, 256
TOKENS = 2_000_000
WARM = 12
"""Steps that are left out."""
SHAPE = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 4, "ffn": 1024, "context": CONTEXT, "tie_embeddings": False}
Stamp = tuple[float, float, float | None]
"""At the end of a step: the clock's seconds, CPU seconds so far, seconds that it waited for data."""


@dataclass(frozen=True)
class Speed:
    """Of one training, its first steps left out."""

    rate: float
    """Tokens a second."""
    per_cpu: float
    """Tokens a CPU second."""
    warm_up: float
    """Seconds to the end of the last step that is left out."""
    waits: float | None
    """Share of the time that a step waits for its data."""

    @classmethod
    def of(cls, stamps: list[Stamp], began: float, processes: int = 1) -> Speed:
        first, steady = stamps[WARM - 1], stamps[WARM:-1]  # the last of ours validates and saves, too
        step = median(b[0] - a[0] for a, b in zip(stamps[WARM - 1 :], steady, strict=False))
        waits = [stamp[2] for stamp in steady if stamp[2] is not None]
        tokens = BATCH * CONTEXT
        busy = (steady[-1][1] - first[1]) * processes
        return cls(tokens / step, tokens * len(steady) / busy, first[0] - began, median(waits) / step if waits else None)


class Sides:
    """Runs the sides; see the module."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options, self._number = folder, options, 0
        draw = np.random.default_rng(0)
        ids = np.minimum(draw.zipf(1.2, TOKENS), VOCABULARY - len(SPECIAL)) + len(SPECIAL) - 1
        np.save(folder / "ids.npy", ids.astype(np.uint16))
        # Symbols are never shown: any names will do.
        self._tokenizer: Artifact = commit_tokenizer(folder / "tokenizer", [f"<{number}>" for number in range(VOCABULARY - len(SPECIAL))])
        held_out = ids[: CONTEXT * 2]
        self._tokens = commit_tokens(folder / "tokens", self._tokenizer, {"train": np.split(ids, 1000), "validation": [held_out]})

    def ours(self, ranks: int = 1, **shape: int) -> tuple[Speed, dict[str, Any]]:
        """Our step, and what its run told of itself."""
        threads = self._options.threads // ranks
        settings = {"model": SHAPE | shape, "steps": self._options.steps, "batch": BATCH}
        settings |= {"validate_every": 1 << 20, "validate_tokens": CONTEXT, "checkpoint_every": 1 << 20}
        draft = pretrain_draft(self._next(), self._tokens, self._tokenizer, ranks, threads, settings)
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
        speed = self._run("ours", launcher, {"draft": str(draft.path), "threads": threads}, processes=ranks)
        return speed, json.loads((draft.scratch() / RUN_FACTS).read_text())

    def trainer(self, way: str) -> Speed:
        task = {
            "model": SHAPE,
            "vocabulary": VOCABULARY,
            "batch": BATCH,
            "steps": self._options.steps,
            "ids": str(self._folder / "ids.npy"),
        }
        return self._run(way, [], {**task, "threads": self._options.threads}, [self._options.peers])

    def nanogpt(self) -> Speed:
        """nanoGPT's own script in a copy of its folder; steps are stamped as it tells them."""
        folder = self._next()
        shutil.copytree(self._options.nanogpt, folder)
        data = folder / "data" / "bench"
        data.mkdir()
        for name in ("train", "val"):
            np.load(self._folder / "ids.npy").tofile(data / f"{name}.bin")
        (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": VOCABULARY}))
        asked = {"dataset": "bench", "device": "cpu", "batch_size": BATCH, "gradient_accumulation_steps": 1, "block_size": CONTEXT}
        asked |= {"n_layer": SHAPE["layers"], "n_head": SHAPE["heads"], "n_embd": SHAPE["width"], "eval_iters": 1}
        asked |= {"max_iters": self._options.steps - 1}
        command = [sys.executable, "-u", "train.py", *(f"--{key}={value}" for key, value in asked.items())]
        began, stamps = time.time(), []
        process = subprocess.Popen(command, cwd=folder, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if line.startswith("iter "):
                stamps.append((time.time(), cpu_seconds(process.pid), None))
        if process.wait():
            sys.exit(f"nanogpt failed: {process.stderr.read()[-800:]}")
        return Speed.of(stamps, began)

    def _next(self) -> Path:
        self._number += 1
        return self._folder / str(self._number)

    def _environment(self, more: list[str] | None = None) -> dict[str, str]:
        paths = [str(Path(__file__).parents[2]), *(more or [])]
        threads = str(self._options.threads)
        kernels = str(self._folder / "kernels")
        return os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_CACHE_DIR": kernels}

    def _run(self, way: str, launcher: list[str], task: dict[str, Any], paths: list[str] | None = None, processes: int = 1) -> Speed:
        folder = self._next()
        folder.mkdir()
        stamps = folder / "stamps"
        (folder / "task.json").write_text(json.dumps({**task, "folder": str(folder), "stamps": str(stamps)}))
        script = str(Path(__file__).with_name("train_peers.py"))
        command, began = [sys.executable, *launcher, script, way, str(folder / "task.json")], time.time()
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(paths), cwd=folder)
        if done.returncode:
            sys.exit(f"{way} failed: {done.stderr.strip()[-800:]}")
        return Speed.of([tuple(json.loads(line)) for line in stamps.read_text().splitlines()], began, processes)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(sides: Sides, options: argparse.Namespace) -> None:
    ways = {f"ours, 1 x {options.threads}": lambda: sides.ours()[0]}
    if options.threads > 1:
        ways[f"ours, {options.threads} x 1"] = lambda: sides.ours(options.threads)[0]
    if options.peers:
        ways["Trainer"] = lambda: sides.trainer("trainer")
        ways["Trainer, bf16, compiled"] = lambda: sides.trainer("trainer-fast")
    if options.nanogpt:
        ways["nanoGPT"] = sides.nanogpt
    found: dict[str, list[Speed]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, measure in ways.items():
            found[way].append(measure())
            print(f"  {way}: {found[way][-1]}", file=sys.stderr, flush=True)
    warm_up = {way: speeds[0].warm_up for way, speeds in found.items()}
    best = {way: max(speeds, key=lambda speed: speed.rate) for way, speeds in found.items()}
    top = max(speed.rate for way, speed in best.items() if way.startswith("ours"))
    leanest = max(speed.per_cpu for way, speed in best.items() if way.startswith("ours"))
    print(f"{'':<24}{'tokens/s':>10}{'ours/it':>9}{'a CPU s':>10}{'ours/it':>9}{'warm-up':>10}{'waits':>8}")
    for way, speed in best.items():
        waits = "" if speed.waits is None else f"{speed.waits:.2%}"
        ratios = f"{speed.rate:>10,.0f}{top / speed.rate:>9.2f}{speed.per_cpu:>10,.0f}{leanest / speed.per_cpu:>9.2f}"
        print(f"{way:<24}{ratios}{warm_up[way]:>8.1f} s{waits:>8}")


def utilization(sides: Sides, options: argparse.Namespace) -> None:
    for width in options.widths:
        speed, told = sides.ours(width=width, heads=width // 64, kv_heads=width // 64, ffn=4 * width)
        weights = SHAPE["layers"] * (4 + 3 * 4) * width**2 + VOCABULARY * width
        operations = 6 * weights + 12 * SHAPE["layers"] * width * CONTEXT
        peak = told["matmul_operations_per_second"]
        print(
            f"{width} wide: {speed.rate:,.0f} tokens/s, {speed.rate * operations / 1e9:.0f} GFLOP/s, "
            f"{speed.rate * operations / peak:.0%} of the peak of {peak / 1e9:.0f}", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="folder with accelerate and psutil")
    parser.add_argument("--nanogpt", type=Path, help="folder with nanoGPT's train.py")
    for name, value in (("steps", 60), ("rounds", 2), ("threads", min(2, os.cpu_count() or 1))):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--widths", type=int, nargs="*", default=[512, 768])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder), options)
        compare(sides, options)
        utilization(sides, options)


if __name__ == "__main__":
    main()
