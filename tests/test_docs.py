"""The model: what the README and docs/ show works as shown: recipes parse, commands exist, links and pictures are there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from flows.cli import app
from schemas.recipe import Recipe, Source
from schemas.recipe_file import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_first_recipe_is_whole(tmp_path: Path) -> None:
    (recipe,) = blocks("README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(recipe, encoding="utf-8")
    loaded = load_recipe(tmp_path / "mine.yaml")
    assert [source.name for source in loaded.corpus.sources] == ["books", "reviews"]
    assert loaded.pretrain is None


def test_the_recipe_of_all_formats_has_them_all(tmp_path: Path) -> None:
    (recipe,) = blocks("docs/sources.md", "yaml")
    (tmp_path / "mine.yaml").write_text(recipe, encoding="utf-8")
    found = {source.format for source in load_recipe(tmp_path / "mine.yaml").corpus.sources}
    assert found == set(get_args(Source.model_fields["format"].annotation))
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert found == set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) - {"format"}


def test_the_first_recipe_grows_into_a_model(tmp_path: Path) -> None:
    (recipe,) = blocks("README.md", "yaml")
    (model,) = blocks("docs/first-recipe.md", "yaml")
    (tmp_path / "mine.yaml").write_text(recipe + "\n" + model, encoding="utf-8")
    loaded = load_recipe(tmp_path / "mine.yaml")
    assert loaded.finetune is not None and loaded.finetune.source == "reviews"
    assert loaded.evaluate is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_options_and_recipe_keys_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text(encoding="utf-8")
    for name, rest in re.findall(r"(?:\$ |`)gristmill ([a-z]+)\b([^`\n#]*)", text):
        assert name in commands, f"gristmill {name}"
        command = commands[name]
        if hasattr(command, "commands"):  # a group
            command = command.commands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known | {"--help"}, f"gristmill {name}{rest}"
    for target in re.findall(r"(?:\$ |`)make ([a-z-]+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("picture", ["flow.svg", "house.svg"])
def test_pictures_are_self_contained_and_suit_light_and_dark(picture: str) -> None:
    text = (ROOT / "docs" / picture).read_text(encoding="utf-8")
    root = ET.fromstring(text)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"title", "desc"} <= names
    assert not {"script", "image", "foreignObject"} & names
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(?:href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text)


def test_the_demo_recipe_is_the_whole_job_with_honest_splits() -> None:
    recipe: Recipe = load_recipe(ROOT / "flows" / "recipes" / "demo.yaml")
    assert [source.name for source in recipe.corpus.sources] == ["pydoc", "docstrings", "code", "reviews"]
    assert recipe.corpus.dedup.conflict_field == "label"
    assert recipe.corpus.held_out.cut_shared_lines_over == 20
    assert recipe.pretrain is not None and recipe.finetune is not None and recipe.evaluate is not None


def test_the_reasons_of_rejects_that_are_explained_exist() -> None:
    text = (ROOT / "docs" / "ledger-and-report.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", text, re.MULTILINE)
    reasons = {reason for cell in table for reason in re.findall(r"`([a-z_]+)`", cell)}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pipelines").rglob("*.py"))
    assert len(reasons) > 5
    assert {reason for reason in reasons if f'"{reason}"' not in sources} == set()
