"""The model: the *card file* of a model is `cards/NAME.html` beside the store, where the leaderboard looks for it, or any file that is
named; its ending says which of the two it is: `.md` or `.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.card import gather_card, render_card, render_markdown
from flows.report.tongues import ENGLISH
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.files import replace
from schemas.store import Store

README = "README.md"
WRITERS = {".md": render_markdown, ".html": render_card}


def card_path(store: Store, name: str) -> Path:
    return store.root.parent / "cards" / f"{name}.html"


def write_card(store: Store, model: Artifact, target: Path | None = None, probes: Sequence[Path] = (), tongue: str = ENGLISH) -> Path:
    """Write a model's card, replacing what was there at once. Raises `RequestError` for another ending, or what is no model."""
    target = target or card_path(store, model.name)
    if target.suffix not in WRITERS:
        raise RequestError(f"{target}: a card is a file that ends in {' or '.join(WRITERS)}")
    text = WRITERS[target.suffix](gather_card(store, model, probes), tongue)
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, text.encode("utf-8"))
    return target
