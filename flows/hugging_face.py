"""The model: `gristmill import` is one step without a recipe: a folder of Hugging Face's becomes a model artifact, reused if its
files were imported before under that name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flows.ensure import Outcome, Say
from flows.single import ensure_single
from flows.steps import Ready, Step
from model.versions import IMPORT_VERSION, engines
from schemas.artifact import Artifact
from schemas.fingerprint import Identity
from schemas.recipe import Recipe, Run
from schemas.store import Store


def import_model(store: Store, folder: Path, name: str, say: Say) -> Outcome:
    """Have model/`name` of the decoder and tokenizer in `folder`. Raises `RequestError` naming what it lacks, or can't be represented."""
    from model.hf.importing import FILES, STEP, digest_of, examine

    examine(folder)
    digest = digest_of(folder)

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        return Ready(Identity(STEP, IMPORT_VERSION, {}, {FILES: digest}, engines()), roots={FILES: os.path.abspath(folder)})

    step = Step(STEP, "model", STEP, (), (STEP,), prepare, lambda draft, run: [sys.executable, "-m", "model.hf.importing", str(draft)])
    return ensure_single(step, name, Run(), store, {}, say)
