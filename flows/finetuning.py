"""The model: what decides a *fine-tuning* is its section of a recipe, the pretrained model, and its examples: documents of the corpus,
or the names and contents of files. `gristmill finetune` is that one step, of a recipe that names a model of the store.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from flows.ensure import Outcome, Say
from flows.ready import Ready
from flows.single import ensure_single
from flows.steps import FINETUNE, Step, finetune_ready
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import FinetuneRecipe, Recipe
from schemas.store import Store

STARTS = ("pretrain", "import")
"""Steps whose models can be fine-tuned."""


def finetune_model(store: Store, recipe: FinetuneRecipe, say: Say) -> Outcome:
    """Have model/NAME, fine-tuned as a recipe says. Raises `RequestError` for a model that isn't there or can't be fine-tuned,
    `ChildFailed`."""
    base = store.find(recipe.model if "/" in recipe.model else f"model/{recipe.model}")
    if base.kind != "model" or base.manifest.identity.step not in STARTS:
        made = base.manifest.identity.step
        raise RequestError(f"model: {base.reference} was made by step {made}: only pretrained and imported models can be fine-tuned")
    if base.name == recipe.name:
        raise RequestError(f"name: {recipe.name!r} is the name of the model that it starts from: take another")

    def prepare(whole: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        return finetune_ready(recipe.finetune, inputs)

    command = lambda draft, run: [sys.executable, "-m", "model.finetune", str(draft)]  # noqa: E731
    step = Step(FINETUNE, "model", FINETUNE, ("pretrain",), (FINETUNE,), prepare, command)
    return ensure_single(step, recipe.name, recipe.run, store, {"pretrain": base}, say)
