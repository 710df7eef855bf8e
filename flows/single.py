"""The model: a *single step* is one that a command asks for by itself, with no recipe around it: it is ensured as a step of a run is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flows.ensure import Outcome, Say, Watch, ensure, unwatched
from flows.steps import Step
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Corpus, Recipe, Run, Source
from schemas.recipe.section import NAMES, is_name
from schemas.store import Store


def ensure_single(
    step: Step, name: str, run: Run, store: Store, inputs: Mapping[str, Artifact], say: Say, watch: Watch = unwatched
) -> Outcome:
    """Have the artifact of `step` under a name that `--name` gave, whose inputs are all at hand by role. Raises `RequestError` for a name
    that is none, and as `ensure` does."""
    unread = Corpus(sources=(Source(name="none", path=os.curdir, format="txt"),))  # a recipe has one
    if not is_name(name):
        raise RequestError(f"--name {name!r}: {NAMES}")
    recipe = Recipe(name=step.name, corpus=unread, run=run.model_copy(update={"store": str(store.root)}))
    return ensure(step, recipe.model_copy(update={"name": name}), store, inputs, say, watch)  # no recipe's name, so any will do
