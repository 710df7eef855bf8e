"""nanoGPT's smallest setting by our recipe, and AdamW beside Muon: validation loss over steps, with several seeds.

    curl -LO https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt
    python -m tests.bench.learn_shakespeare input.txt [--rates] [--seeds 0 1 2] [--steps 2000] [--family llama] [--threads 1]
    python -m tests.bench.learn_shakespeare input.txt --widths 64 128 256 --steps 400       # does the best rate move with the width?

The setting is that of nanoGPT's README for a CPU: characters, the last tenth of the text held out, 4 layers, 4 heads, 128 wide, context
64, 12 sequences a step, 2,000 steps, no dropout, for which it tells a validation loss of 1.88. That is of 240 sequences drawn at random;
ours is of the whole held-out text, in nats a character, with a new context every 64 characters. Ours differs in architecture
(--family llama, ffn 344; or gpt2, which is nanoGPT's, but with biases) and in optimizer. Prints the loss by step, and the first measured
step at which it is at most 1.88. --rates tries learning rates of both optimizers first, with seed 0, and takes the best of each. --widths
tries rates at each width (a head is 32 wide at all of them) and does nothing else: if the best one stays, rates carry over from a narrow
model to a wide one as they are, and width transfer (muP; Yang et al., arXiv:2203.03466) has nothing to mend.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from schemas.artifact import Artifact
from tests.bench.pretrain_drafts import SPECIAL, commit_tokenizer, commit_tokens, pretrain_draft

BAR = 1.88
VALIDATE_EVERY = 200
"""Steps. All of the held-out text costs as much as fifty of them."""
RATES: dict[str, list[dict[str, float]]] = {
    "adamw": [{"lr": lr} for lr in (2e-3, 4e-3, 8e-3)],
    "muon": [{"muon_lr": rate, "lr": 8e-3} for rate in (2e-3, 4e-3, 8e-3)],
}
OVER_WIDTHS: dict[str, list[dict[str, float]]] = {
    "adamw": [{"lr": lr} for lr in (1e-3, 2e-3, 4e-3, 8e-3, 16e-3)],
    "muon": [{"muon_lr": rate, "lr": 8e-3} for rate in (1e-3, 2e-3, 4e-3, 8e-3, 16e-3)],
}
CHOSEN = {"adamw": {"lr": 4e-3}, "muon": {"muon_lr": 4e-3, "lr": 8e-3}}


def artifacts(text: str, folder: Path) -> tuple[Artifact, Artifact]:
    """Tokens and tokenizer; each of the two parts of the text is one document."""
    symbols = sorted(set(text))
    number = {symbol: len(SPECIAL) + place for place, symbol in enumerate(symbols)}
    ids, cut = np.array([number[symbol] for symbol in text]), len(text) * 9 // 10
    tokenizer = commit_tokenizer(folder / "tokenizer", symbols)
    return commit_tokens(folder / "tokens", tokenizer, {"train": [ids[:cut]], "validation": [ids[cut:]]}), tokenizer


class Runs:
    """Trains in the setting; see the module."""

    def __init__(self, text: str, folder: Path, options: argparse.Namespace) -> None:
        self._tokens, self._tokenizer = artifacts(text, folder)
        self._folder, self._options, self._held_out = folder, options, len(text) - len(text) * 9 // 10

    def losses(self, optimizer: str, rates: dict[str, float], seed: int, width: int = 128) -> dict[int, float]:
        """Validation loss by step."""
        heads = width // 32
        shape = {"family": self._options.family, "layers": 4, "heads": heads, "kv_heads": heads, "width": width, "context": 64}
        ffn = width * 4 if self._options.family == "gpt2" else width * 43 // 16
        settings: dict[str, Any] = {
            "model": shape | {"ffn": ffn}, "steps": self._options.steps, "batch": 12,
            "optimizer": {"name": optimizer, "betas": [0.9, 0.99], **rates}, "schedule": {"name": "cosine", "warmup": 0.05, "final": 0.1},
            "precision": "float32", "compile": False, "validate_every": VALIDATE_EVERY, "validate_tokens": self._held_out + 2,
            "checkpoint_every": 1 << 20, "seed": seed,
        }  # fmt: skip
        name = "-".join([optimizer, *map(str, rates.values()), str(seed), str(width)])
        threads = self._options.threads
        draft = pretrain_draft(self._folder / name, self._tokens, self._tokenizer, 1, threads, settings)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, "-m", "model.train", str(draft.path)], check=True, env=environment, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
        return {row["step"]: row["bits_per_byte"]["en"] * math.log(2) for row in rows if "bits_per_byte" in row}


def told(losses: dict[int, float]) -> str:
    first = next((step for step, loss in losses.items() if loss <= BAR), None)
    reached = f"{BAR} at step {first}" if first else f"never {BAR}"
    last = max(losses)
    shown = "  ".join(f"{step} {loss:.3f}" for step, loss in losses.items() if step in (200, 600, 1000, 1400))
    return f"{reached:<18} at the end {losses[last]:.4f}   {shown}"


def compare_widths(runs: Runs, widths: list[int], optimizers: list[str]) -> None:
    """Print the loss at the end by width and rate; the best of each width is marked."""
    for optimizer in optimizers:
        for width in widths:
            ends = []
            for rates in OVER_WIDTHS[optimizer]:
                losses = runs.losses(optimizer, rates, 0, width)
                ends.append((losses[max(losses)], next(iter(rates.values()))))
            shown = "  ".join(f"{rate:g}: {loss:.4f}{'*' if loss == min(ends)[0] else ''}" for loss, rate in ends)
            print(f"{optimizer:<6} {width:>4} wide  {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--family", choices=("llama", "gpt2"), default="llama")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--widths", type=int, nargs="+", default=[])
    parser.add_argument("--optimizers", nargs="+", choices=tuple(RATES), default=list(RATES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.text.read_text(encoding="utf-8"), Path(folder), options)
        if options.widths:
            compare_widths(runs, options.widths, options.optimizers)
            return
        chosen = dict(CHOSEN)
        if options.rates:
            for optimizer in options.optimizers:
                tried = [(runs.losses(optimizer, rates, 0), rates) for rates in RATES[optimizer]]
                for losses, rates in tried:
                    print(f"{optimizer:<6} {rates}  {told(losses)}", flush=True)
                chosen[optimizer] = min(tried, key=lambda found: found[0][max(found[0])])[1]
        for seed in options.seeds:
            for optimizer in options.optimizers:
                print(
                    f"{optimizer:<6} {chosen[optimizer]}, seed {seed}  {told(runs.losses(optimizer, chosen[optimizer], seed))}", flush=True
                )


if __name__ == "__main__":
    main()
