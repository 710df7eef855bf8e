"""A machine that is told a recipe finds the training of it, waits for its beginning, and knows when there is nothing to join."""

import threading
from pathlib import Path

import pytest

from flows.joining import draft_of
from flows.steps import STEPS
from schemas.errors import RequestError
from schemas.recipe import Recipe
from schemas.recipe_file import load_recipe
from schemas.store import Store
from tests.flows.conftest import RECIPE

MEET = "one.training:29400"


def test_a_recipe_of_one_machine_joins_nobody(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(RECIPE)
    with pytest.raises(RequestError, match="tiny: joins nobody: it needs a pretrain section, and run.machines and run.meet"):
        draft_of(load_recipe(tmp_path / "one.yaml"), print)


@pytest.mark.slow
def test_a_machine_waits_for_the_first_and_joins_what_that_has_begun(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    several = f'run: {{machines: 2, ranks: 2, meet: "{MEET}"}}\n'
    (tmp_path / "as-it-was.yaml").write_text(RECIPE + several)
    assert draft_of(load_recipe(tmp_path / "as-it-was.yaml"), print) is None  # the workspace has that model
    (tmp_path / "new.yaml").write_text(RECIPE.replace("steps: 12", "steps: 13") + several)
    recipe: Recipe = load_recipe(tmp_path / "new.yaml")
    said: list[str] = []
    found: list[Path | None] = []
    waiting = threading.Thread(target=lambda: found.append(draft_of(recipe, said.append)), daemon=True)
    waiting.start()
    while not said and waiting.is_alive():
        waiting.join(0.1)
    store, (step,) = Store(recipe.run.store), [step for step in STEPS if step.name == "pretrain"]
    inputs = {name: store.find(f"{name}/tiny") for name in step.needs}
    draft = store.start("model", "tiny", step.prepare(recipe, store, inputs).identity)
    draft.assign(inputs={}, roots={}, run=recipe.run.model_dump(mode="json"))
    waiting.join(60)
    assert found == [draft.path]
    assert said == ["tiny: waiting for the first machine to begin the training, by `gristmill run` of this recipe"]
