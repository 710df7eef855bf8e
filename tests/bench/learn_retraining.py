"""What a challenger learns and what it forgets, by what it goes on from and how much old text it reads again: bits per byte of held-out
text of what the champion knew, and of what came since.

    python -m tests.bench.learn_retraining FOLDER [--steps 200] [--champion-steps 400] [--seed 0]

The champion learns from docstrings and a few Chinese reviews; then the topics of Python's manual come, and many reviews (`flows.demo`). All
is made by the steps of a recipe, as a retraining makes it. Challengers take equal steps; the last learns all from nothing. What is made is
reused: a second call only measures.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from flows.demo import write_inputs
from flows.ensure import ensure
from flows.retraining.challenger import make_challenger
from flows.steps import wanted_steps
from model.checkpoint import load_causal
from model.parallel import Ranks
from model.stream import Stream
from model.text import Special, open_text
from model.validate import Validation
from schemas.artifact import Artifact
from schemas.champion import Reign
from schemas.recipe import Recipe
from schemas.store import Store

HELD_OUT_TOKENS = 60_000
OLD_REVIEWS, NEW_REVIEWS = 1, 4
"""Files of Chinese reviews."""
CHAMPION = {
    "model": {"layers": 2, "width": 128, "heads": 4, "kv_heads": 2, "ffn": 352, "context": 128}, "batch": 16, "keep_trunk": True,
    "optimizer": {"name": "adamw", "lr": 3e-3}, "precision": "float32", "compile": False, "validate_every": 1000, "checkpoint_every": 1000,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    f"{start}, rates x {lr}, replay {replay}": {"start": start, "lr": lr, "replay": replay}
    for start, lr in (("weights", 0.3), ("weights", 1.0), ("trunk", 1.0))
    for replay in (0.0, 0.5)
}


def recipe_of(folder: Path, options: argparse.Namespace, retrain: Mapping[str, Any], steps: int) -> Recipe:
    sources = [
        {"name": "prose", "path": str(folder / "prose"), "format": "jsonl", "lang": "en", "origin": "extra.module"},
        {"name": "topics", "path": str(folder / "topics"), "format": "txt", "lang": "en"},
        {"name": "reviews", "path": str(folder / "reviews"), "format": "jsonl", "lang": "zh", "origin": "text"},
    ]
    corpus = {"sources": sources, "annotate": {"default": {"engine": "plain"}}, "held_out": {"validation": 0.1, "test": 0}}
    return Recipe.model_validate(
        {
            "name": "retraining",
            "corpus": corpus | {"incremental": True},
            "tokenizer": {"vocab_size": 4096, "weights": {"en": 1, "zh": 1}},
            "pretrain": CHAMPION | {"steps": steps, "seed": options.seed},
            "retrain": {"steps": options.steps, "epochs": None, "warmup": 0.05, **retrain},
            "run": {"store": str(folder / "store"), "workers": 1, "settle": 0},
        }
    )


def data(recipe: Recipe, store: Store) -> dict[str, Artifact]:
    """The data of now."""
    made: dict[str, Artifact] = {}
    for step in wanted_steps(recipe, "tokens"):
        made[step.name] = ensure(step, recipe, store, {need: made[need] for need in step.needs}, print).artifact
    return made


def arrive(inputs: Path, folder: Path, new: bool) -> None:
    """Put text where the recipe looks for it."""
    for name in ("prose", "topics", "reviews"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    reviews = sorted((inputs / "reviews").iterdir())[: OLD_REVIEWS + NEW_REVIEWS]
    files = {"topics": sorted((inputs / "pydoc").iterdir()), "reviews": reviews[OLD_REVIEWS:]}
    for name, found in (files if new else {"prose": sorted((inputs / "docstrings").iterdir()), "reviews": reviews[:OLD_REVIEWS]}).items():
        for file in found:
            if not (folder / name / file.name).exists():
                shutil.copy2(file, folder / name / file.name)


def measured(model: Artifact, now: Artifact, before: Artifact, tokenizer: Artifact) -> dict[str, float]:
    """Bits per byte of held-out text by `old/` or `new/` and language."""
    special = tokenizer.facts("tokenizer")["special_tokens"]
    text, _ = open_text(now.path, "validation", Special(special["bos"], special["eos"]), before=before.path)
    streams = {name: Stream(text, name) for name in text.index.streams}
    loaded, _ = load_causal(model.path)
    validation = Validation(streams, HELD_OUT_TOKENS, loaded.config.context, "retraining", Ranks(0, 1), False)
    return validation.by_language(loaded, torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--champion-steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder, store = options.folder.resolve(), Store(options.folder.resolve() / "store")
    write_inputs(folder / "inputs")
    champion_recipe = recipe_of(folder, options, {}, options.champion_steps)
    arrive(folder / "inputs", folder, new=False)
    before = next(store.artifacts("tokens"), None) or data(champion_recipe, store)["tokens"]
    pretrain = next(step for step in wanted_steps(champion_recipe) if step.name == "pretrain")
    given = {"tokens": before, "tokenizer": next(store.artifacts("tokenizer"))}
    champion = ensure(pretrain, champion_recipe, store, given, print).artifact
    arrive(folder / "inputs", folder, new=True)
    now = data(champion_recipe, store)
    digests = {"pretrain": champion.manifest.content_digest}
    reign = Reign(1, "now", {"pretrain": champion.reference}, digests, "first", "it is measured")
    found = {"the champion": measured(champion, now["tokens"], before, now["tokenizer"])}
    runs = {name: recipe_of(folder, options, retrain, options.champion_steps) for name, retrain in RUNS.items()}
    runs["scratch"] = recipe_of(folder, options, {"start": "scratch"}, options.steps)
    for name, recipe in runs.items():
        made = make_challenger(recipe, store, reign, now, print, options.seed)["pretrain"]
        found[name] = measured(made, now["tokens"], before, now["tokenizer"])
    streams = sorted(found["the champion"])
    print(f"\n{'':<36}" + "".join(f"{stream:>9}" for stream in streams) + "   bits per byte")
    for name, row in found.items():
        print(f"{name:<36}" + "".join(f"{row[stream]:9.3f}" for stream in streams))


if __name__ == "__main__":
    main()
