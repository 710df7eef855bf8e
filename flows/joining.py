"""The model: who *joins* a training is another machine of it. It is told the training's draft, or the recipe: then it waits until the first
machine has begun, as machines that are started together can't know the draft beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from flows.planning import plan
from schemas.draft import TASK, Draft
from schemas.errors import RequestError
from schemas.recipe import Recipe
from schemas.store import Store

STEP = "pretrain"
_LOOK = 5.0
"""Seconds from one look to the next."""


def draft_of(recipe: Recipe, say: Callable[[str], None]) -> Path | None:
    """Where the first machine trains what a recipe asks for, once it does; None if that is trained. Raises `RequestError` for a recipe
    whose training is of one machine, or that has none."""
    if recipe.pretrain is None or recipe.run.meet is None:
        raise RequestError(f"{recipe.name}: joins nobody: it needs a pretrain section, and run.machines and run.meet")
    told = False
    while True:
        last = plan(recipe, Store(recipe.run.store), STEP)[-1]
        if last.action == "reuse":
            return None
        if last.draft is not None and (last.draft.path / TASK).is_file():
            run = Draft.open(last.draft.path).task.get("run", {})
            if run.get("meet") == recipe.run.meet:
                return last.draft.path
        if not told:
            say(f"{recipe.name}: waiting for the first machine to begin the training, by `gristmill run` of this recipe")
            told = True
        time.sleep(_LOOK)
