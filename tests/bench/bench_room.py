"""How many bytes steps take on the disk while they work, against what `flows.room` says they need: the demo's documents and tokens, and a
training of its model's size. `python -m tests.bench.bench_room`; two minutes.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

from flows.demo import write_inputs
from flows.launch import run_child
from flows.room import needed, taken
from flows.steps import wanted_steps
from schemas.artifact import Artifact
from schemas.recipe_file import load_recipe
from schemas.store import Store

RECIPE = Path(__file__).parents[2] / "flows" / "recipes" / "demo.yaml"
TRAINED = 12
"""Steps of the training: enough for all checkpoints that are kept."""


def _note(sizes: list[int], folder: Path) -> None:
    sizes.append(taken(folder))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_inputs(Path(".gristmill/demo"))
        text = RECIPE.read_text()
        Path("demo.yaml").write_text(text)
        recipe = load_recipe("demo.yaml")
        assert recipe.pretrain is not None
        short = recipe.pretrain.model_copy(update={"steps": TRAINED, "epochs": None, "checkpoint_every": 3, "validate_every": TRAINED})
        recipe = recipe.model_copy(update={"pretrain": short})
        store = Store(recipe.run.store)
        made: dict[str, Artifact] = {}
        print(f"{'step':<10} {'needed':>14} {'taken at most':>14} {'left':>14}")
        for step in wanted_steps(recipe, "pretrain"):
            inputs = {need: made[need] for need in step.needs}
            ready = step.prepare(recipe, store, inputs)
            said = needed(step, recipe, ready, inputs)
            draft = store.start(step.kind, step.artifact_name(recipe), ready.identity, ready.splits)
            draft.assign(
                inputs={role: a.path for role, a in inputs.items()}, roots=ready.roots or {}, run=recipe.run.model_dump(mode="json")
            )
            sizes = [0]
            run_child(
                step.command(draft.path.resolve(), recipe.run), Path("log.txt"), partial(_note, sizes, draft.path), {"OMP_NUM_THREADS": "1"}
            )
            made[step.name] = draft.commit(step.stages)
            print(f"{step.name:<10} {said:>14,} {max(sizes):>14,} {taken(draft.path):>14,}", flush=True)


if __name__ == "__main__":
    main()
