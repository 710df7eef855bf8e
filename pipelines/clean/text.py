from __future__ import annotations

from schemas.recipe import Clean


def clean_text(text: str, settings: Clean) -> tuple[str, dict[str, int]]:
    """The cleaned text, and the UTF-8 bytes changed or removed by kind (`mojibake`, `nfc`, `control`), non-zero kinds only."""
    raise NotImplementedError
