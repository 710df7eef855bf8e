"""How often a gate promotes a challenger that is no better than the champion (it differs by its seed alone), and one that is better by so
many deviations between seeds. Gates are simulated with real models: each takes a champion and a challenger of other seeds, measures the
deviation on seeds of its own, and draws the held-out documents again.

    python -m tests.bench.gate_rates [--gates 1000]
    python -m tests.bench.gate_rates --make      # trains the models, of 12 seeds, and writes tests/model/gate_items.json

The models are decoders of 0.4 million parameters, 80 steps on the topics of Python's manual and Chinese reviews.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from flows.demo import write_inputs
from flows.ensure import ensure
from flows.evaluated import results_of
from flows.retraining.gate import BITS, items_of, set_of
from flows.retraining.judging import Bundle, judge
from flows.steps import STEPS
from model.metrics.bootstrap import wilson
from schemas.artifact import Artifact
from schemas.recipe import Recipe
from schemas.results import MODEL
from schemas.store import Store
from tests.model.gates import FILE, read_items, simulate

SEEDS = 12


def recipe(inputs: Path, store: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "rates",
            "corpus": {
                "sources": [
                    {"name": "pydoc", "path": str(inputs / "pydoc"), "format": "txt", "lang": "en"},
                    {"name": "reviews", "path": str(inputs / "reviews"), "format": "jsonl", "lang": "zh", "include": ["*0.jsonl.gz"]},
                ],
                "held_out": {"validation": 0.05, "test": 0.3},
                "annotate": {"zh": {"engine": "rjieba"}},
            },
            "tokenizer": {"vocab_size": 2048},
            "pretrain": {
                "model": {"layers": 2, "width": 96, "heads": 4, "kv_heads": 2, "ffn": 256, "context": 128},
                "steps": 80, "batch": 16, "precision": "float32", "compile": False, "validate_every": 80, "checkpoint_every": 80,
            },
            "retrain": {"gate": {"max_bytes": 120_000}},
            "run": {"store": str(store)},
        }
    )  # fmt: skip


def make(folder: Path) -> None:
    """Train the models and write what each needs for each held-out document."""
    inputs, store = folder / "inputs", Store(folder / "store")
    write_inputs(inputs)
    plain = recipe(inputs, store.root)
    made: dict[str, Artifact] = {}
    for step in STEPS[:3]:
        made[step.name] = ensure(step, plain, store, made, _say).artifact
    systems = {}
    for seed in range(SEEDS):
        assert plain.pretrain is not None
        with_seed = plain.model_copy(update={"pretrain": plain.pretrain.model_copy(update={"seed": seed})})
        model = ensure(STEPS[3], with_seed, store, {role: made[role] for role in ("tokenizer", "tokens")}, _say).artifact
        systems[MODEL if seed == 0 else f"seed-{seed}"] = Bundle(model)
    corpus = {"documents": made["documents"], "tokens": made["tokens"], "before": made["documents"]}
    evaluation = judge(store, plain, systems, corpus, (), _say).artifact
    results = [result for result in results_of(evaluation) if set_of(result) == "old"]
    rows = {name: [row for result in results for row in items_of(evaluation, result, name, BITS).tolist()] for name in systems}
    langs = [result.task.removeprefix("old.") for result in results for _ in range(result.n)]
    told = {
        "langs": langs,
        "bytes": [int(row[2]) for row in rows[MODEL]],
        "nats": {name: [row[0] for row in found] for name, found in rows.items()},
    }
    FILE.write_text(json.dumps(told) + "\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gates", type=int, default=1000)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.folder or Path(tempfile.mkdtemp()))
    items = read_items()
    print(f"{len(items.nats)} seeds, {len(items.langs)} documents, deviation of a difference {items.deviation:.5f} bits per byte")
    print(f"{'seeds':>5} {'better by':>10} {'promoted':>9} {'95 % interval':>18}")
    for seeds in (2, 3, 4, 7):
        for better in (0.0, 3.0, 6.0, 12.0):
            promoted = simulate(items, arguments.gates, seeds, better, 0)
            low, high = wilson(promoted, arguments.gates)
            print(f"{seeds:>5} {better:>10.0f} {promoted / arguments.gates:>8.1%} {low:>9.1%} to {high:.1%}")


if __name__ == "__main__":
    main()
