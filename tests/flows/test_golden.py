"""Each data step's output on a small input is pinned to the version of its code and its engines.

If this fails, the output of a step has changed: raise the step's STEP_VERSION, so that users' artifacts are made anew,
and pin the new digest with `GRISTMILL_PIN_GOLDEN=1 pytest tests/flows/test_golden.py`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from flows.ensure import ensure
from flows.steps import wanted_steps
from schemas.artifact import Artifact
from schemas.recipe_file import load_recipe
from schemas.store import Store
from tests.flows.conftest import RECIPE, write_raw

GOLDEN = Path(__file__).with_name("golden.json")


@pytest.mark.slow
def test_outputs_are_those_of_their_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(tmp_path / "raw")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "tiny.yaml")
    store, made, found = Store(tmp_path / "store"), dict[str, Artifact](), dict[str, Any]()
    for step in wanted_steps(recipe, "tokens"):
        inputs = {need: made[need] for need in step.needs}
        made[step.name] = ensure(step, recipe, store, inputs, print).artifact
        manifest = made[step.name].manifest
        engines = dict(manifest.identity.engines)
        found[step.name] = {"version": manifest.identity.version, "engines": engines, "content_digest": manifest.content_digest}
    if os.environ.get("GRISTMILL_PIN_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())
