"""The model: the *terms* of a source are what its publisher says of its use: a licence, and where it was published. They decide no byte, so
no identity has them. They lie beside a version of documents, as a recipe told them last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.files import replace
from schemas.fingerprint import canonical_json, read_json
from schemas.recipe import Source
from schemas.recipe.source import TERMS

FILE = "terms.json"


def read_terms(version: Path) -> dict[str, Mapping[str, str]]:
    """By source: `license` and `url`, as far as they were told."""
    path = version / FILE
    return dict(read_json(path)) if path.is_file() else {}


def tell_terms(version: Path, sources: Iterable[Source]) -> None:
    """Write what a recipe says down beside a version, unless it stands there already."""
    said = {source.name: {key: told for key in TERMS if (told := getattr(source, key)) is not None} for source in sources}
    said = {name: terms for name, terms in said.items() if terms}
    if said != read_terms(version):
        replace(version / FILE, canonical_json(said))
