"""The model: a recipe's *champion* is the bundle of models that is used in its name: the pretrained one, and the one that was fine-tuned
from it, if any. It is the last of a *history* of *reigns*, each a small file that is created once, numbered on; so two processes can't both
begin the next one, and nothing of the past is lost.

    champions/NAME/000001.json
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from schemas.artifact import Damaged
from schemas.errors import RequestError
from schemas.files import create
from schemas.fingerprint import canonical_json, read_json
from schemas.recipe.names import maker_of
from schemas.recipe.section import NAMES, is_name

FOLDER = "champions"
"""The folder of histories in a store."""
ALIAS = "champion"
"""The version that stands for the champion in a reference: `model/NAME@champion`."""


class Overtaken(Exception):
    """Another process began the next reign first."""


@dataclass(frozen=True)
class Reign:
    """A bundle that was, or is, the champion."""

    number: int
    began: str
    """ISO 8601, UTC."""
    models: Mapping[str, str]
    """Versions by the step that made them, pretrain or finetune: `model/NAME@VERSION`."""
    digests: Mapping[str, str]
    """Their content digests."""
    by: Literal["first", "gate", "hand", "rollback"]
    why: str
    decision: str | None = None
    """The decision that it follows from."""


def history(root: Path, name: str) -> list[Reign]:
    """All reigns of a name, the champion's last. Raises `Damaged` naming a file that can't be read."""
    found = []
    for path in sorted(_folder(root, name).glob("[0-9]*.json")):
        try:
            found.append(Reign(**read_json(path)))
        except (TypeError, ValueError) as error:
            raise Damaged(f"{path}: does not describe a reign: {error}") from error
    return found


def _folder(root: Path, name: str) -> Path:
    if not is_name(name):
        raise RequestError(f"{name!r} is no name of a recipe: {NAMES}")
    return root / FOLDER / name


def champion(root: Path, name: str) -> Reign | None:
    """The last reign of a name, if there is any."""
    return next(reversed(history(root, name)), None)


def kept(root: Path, name: str) -> list[Reign]:
    """The reigns whose models must stay: the champion's, and that of the last other bundle, to which a rollback goes; that first."""
    past = history(root, name)
    others = [reign for reign in past if dict(reign.digests) != dict(past[-1].digests)]
    return [*others[-1:], *past[-1:]]


def no_champion(name: str) -> str:
    """What is to be said of a name that has none."""
    if (maker := maker_of(name)) is not None:
        return f"{name} is no recipe, but what a recipe {maker} makes, and champions are a recipe's: say {maker}"
    return f"{name} has no champion yet: `gristmill promote {name}` names the first"


def names(root: Path) -> list[str]:
    """All names that have a champion."""
    folder = root / FOLDER
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def begin_reign(
    root: Path,
    name: str,
    after: int,
    models: Mapping[str, str],
    digests: Mapping[str, str],
    by: Literal["first", "gate", "hand", "rollback"],
    why: str,
    decision: str | None = None,
) -> Reign:
    """Begin the reign behind number ``after`` (0: the first). Raises `Overtaken` if that has a successor already, `RequestError` for the
    first one of a name that is no recipe's."""
    if after == 0 and maker_of(name) is not None:
        raise RequestError(no_champion(name))
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    reign = Reign(after + 1, began, dict(models), dict(digests), by, why, decision)
    folder = _folder(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    last = champion(root, name)
    if (last.number if last else 0) != after or not create(folder / f"{reign.number:06d}.json", canonical_json(asdict(reign))):
        raise Overtaken(f"{FOLDER}/{name}: reign {reign.number} was begun by another process")
    return reign
