"""What models learn from real text by each objective that hides some of it, beside what counting knows: held-out loss over steps.

    python -m tests.bench.learn_objectives [--only masked_tokens next_sentence ...] [--steps N] [--folder FOLDER] [--threads 1]

A recipe takes `tests.bench.library_prose` through the pipelines: WordPiece of 4,096 ids, held out by the folders that source files lie in.
Each model is 128 wide and trains by the step itself, in float32. Its validation takes the same held-out text apart the same way each time,
and measures guesses, too, that were fitted on training text (`tests.bench.counting`). Of pairs one half follow: always yes is right
about that half.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.recipe import Pretrain
from schemas.store import Store
from tests.bench.counting import MEASURES, measure_guesses, of_english
from tests.bench.library_prose import write_prose
from tests.bench.pretrain_drafts import pretrain_draft

RECIPE = """
name: prose
corpus:
  sources:
    - {name: prose, path: prose.jsonl, format: jsonl, lang: en, origin: extra.folder}
  held_out: {validation: 0.1, test: 0}
tokenizer: {kind: wordpiece, vocab_size: 4096, lowercase: true, sentinels: 16}
run: {store: store, workers: 1}
"""
SHAPE = {"layers": 2, "width": 128, "heads": 4, "context": 64}
BERT = SHAPE | {"family": "bert", "ffn": 512}
T5 = SHAPE | {"family": "t5", "ffn": 344}
RUNS: dict[str, dict[str, Any]] = {
    "masked_tokens": {"model": BERT, "steps": 2000},
    "masked_tokens-modernbert": {"model": SHAPE | {"family": "modernbert", "ffn": 256}, "steps": 1000},
    "next_sentence": {"model": BERT, "objective": {"name": "masked_tokens", "next_sentence": True}, "steps": 2500},
    "span_corruption": {"model": T5, "steps": 1000},
    "denoising": {"model": T5, "objective": {"name": "denoising"}, "steps": 500},
}
COMMON: dict[str, Any] = {
    "batch": 32, "optimizer": {"name": "muon", "lr": 5e-3, "muon_lr": 5e-3}, "schedule": {"warmup": 0.1}, "precision": "float32",
    "compile": False, "validate_tokens": 90_000, "checkpoint_every": 1 << 20,
}  # fmt: skip


def artifacts(folder: Path) -> tuple[Artifact, Artifact]:
    """Tokens and tokenizer, as a recipe makes them of the prose; the folder's own, if it has them."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prose.jsonl").exists():
        write_prose(folder / "prose.jsonl")
    (folder / "prose.yaml").write_text(RECIPE, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "flows.cli", "run", "prose.yaml", "--until", "tokens"], cwd=folder, check=True)
    store = Store(folder / "store")
    return store.find("tokens/prose"), store.find("tokenizer/prose")


def train(draft: Draft, threads: int) -> tuple[dict[int, dict[str, float]], float]:
    """Measures by step, and CPU minutes."""
    environment, before = os.environ | {"OMP_NUM_THREADS": str(threads)}, resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "model.train", str(draft.path)], check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = [json.loads(line) for line in (draft.path / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: of_english(row) for row in rows if "validation_loss" in row}, (after.ru_utime - before.ru_utime) / 60


def told(measured: dict[str, float]) -> str:
    right = [f"{key.replace('_', ' ')} {measured[key]:.3f}" for key in MEASURES[1:] if key in measured]
    return "  ".join([f"{measured['validation_loss']:6.3f} nats", *right])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(RUNS), default=list(RUNS), metavar="NAME", help=f"of {', '.join(RUNS)}")
    parser.add_argument("--steps", type=int, help="other than each run's own")
    parser.add_argument("--folder", type=Path, help="where text and tokens stay for another time")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        tokens, tokenizer = artifacts((options.folder or Path(temporary)).resolve())
        for name in options.only:
            settings = COMMON | RUNS[name] | ({"steps": options.steps} if options.steps else {})
            settings["validate_every"] = max(settings["steps"] // 8, 1)
            print(f"{name}, {settings['steps']} steps", flush=True)
            for guess, measured in measure_guesses(tokens, tokenizer, Pretrain.model_validate(settings)).items():
                print(f"  {guess:<16} {told(measured)}", flush=True)
            draft = pretrain_draft(Path(temporary) / name, tokens, tokenizer, 1, options.threads, settings)
            rows, minutes = train(draft, options.threads)
            for step, measured in rows.items():
                print(f"  step {step:<11} {told(measured)}")
            print(f"  {minutes:.1f} CPU minutes", flush=True)


if __name__ == "__main__":
    main()
