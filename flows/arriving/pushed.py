"""The model: a file that is *pushed* is put into the folder of a recipe's source: under another name until it is whole, then linked to
its own, which fails if that is taken. So it is never over another file, and nobody reads half of it.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.places import is_url
from pipelines.settling import is_unfinished
from schemas.files import create
from schemas.recipe import Recipe


class NotTaken(Exception):
    """A file that can't be put where it should; the message says what to do."""


def put(recipe: Recipe, source: str, name: str, content: bytes) -> bool:
    """Put a file into a source's folder; False: it is there already, with this content. Raises `NotTaken`."""
    root = next((one.path for one in recipe.corpus.sources if one.name == source), None)
    if root is None:
        raise NotTaken(f"recipe {recipe.name} has no source of this name; there is {', '.join(one.name for one in recipe.corpus.sources)}")
    folder = Path(root.removeprefix("file://"))
    if is_url(root) or not folder.is_dir():
        raise NotTaken(f"source {source} is no folder on this machine: put the file where the source lies, and send a notice")
    if Path(name).name != name or is_unfinished(name):
        raise NotTaken("the file's name is none, or one that is given to unfinished files: take another")
    target = folder / name
    if create(target, content):
        return True
    if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
        return False
    raise NotTaken("another file of this name is there: give new content a new name")
