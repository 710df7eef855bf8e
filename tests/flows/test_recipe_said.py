"""A recipe goes to the flow as JSON, and comes out saying what it said: packs keep what no threshold beside them turned off."""

import json
from pathlib import Path

import pytest

from flows.run import as_said
from pipelines.corpus import identity_settings
from schemas.recipe import Recipe
from schemas.recipe_file import load_recipe

SOURCES = "[{name: a, path: a, format: jsonl}, {name: b, path: b, format: tree, rules: {zh: {min_chars: 4}, fr: {max_digits: null}}}]"
RULES = {
    "a pack": "{default: {packs: [standard], min_words: 20}, zh: {packs: [standard, fineweb2], max_hashes: null}}",
    "no pack": "{default: {min_words: 20}, zh: {max_digits: null}}",
    "none": "{}",
}


def again(recipe: Recipe) -> Recipe:
    return Recipe.model_validate(json.loads(json.dumps(as_said(recipe))))


@pytest.mark.parametrize("rules", RULES)
def test_rules_that_went_through_a_flow_ask_the_same(tmp_path: Path, rules: str) -> None:
    (tmp_path / "r.yaml").write_text(f"name: r\ncorpus:\n  sources: {SOURCES}\n  rules: {RULES[rules]}\n")
    recipe = load_recipe(tmp_path / "r.yaml")
    changed = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"incremental": True})})
    for one in (recipe, changed):
        assert identity_settings(again(one).corpus) == identity_settings(one.corpus)
        assert again(one) == one
    assert again(changed).corpus.incremental


def test_the_demo_goes_through_a_flow_as_it_is() -> None:
    recipe = load_recipe(Path("flows/recipes/demo.yaml"))
    assert again(recipe) == recipe
    assert again(recipe).model_dump(mode="json") == recipe.model_dump(mode="json")
