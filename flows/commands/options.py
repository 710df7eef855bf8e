"""The model: what all commands share: *options* that mean the same everywhere, and how a recipe or a store is opened by them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.recipe import Recipe

if TYPE_CHECKING:
    from schemas.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
StoreOption = Annotated[str | None, typer.Option("--store", envvar="GRISTMILL_STORE", help="Folder of the artifacts.", metavar="DIR")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of the data jobs (never changes a result).")]
Until = Annotated[str | None, typer.Option(help="Stop after this step.", metavar="STEP")]
RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (YAML).", metavar="RECIPE")]
Reference = Annotated[str, typer.Argument(help="kind/name[@version]; the latest version by default.", metavar="ARTIFACT")]


class Tongue(StrEnum):
    """What a page can be written in."""

    en = "en"
    zh = "zh"


TongueOption = Annotated[Tongue, typer.Option("--lang", help="Language of the page itself; names and texts stay as they are.")]

_DEFAULT_STORE = ".gristmill/store"


def load(path: Path, store: str | None, workers: int | None) -> Recipe:
    """The recipe, with what options say of its run."""
    from schemas.recipe_file import load_recipe

    recipe = load_recipe(path)
    changes = {k: v for k, v in {"store": store, "workers": workers}.items() if v is not None}
    return recipe.model_copy(update={"run": recipe.run.model_copy(update=changes)})


def open_store(location: str | None) -> Store:
    """The store at a location, or the default one."""
    from schemas.store import Store

    return Store(location or _DEFAULT_STORE)


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, ensure_ascii=False, indent=1))
