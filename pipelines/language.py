from __future__ import annotations

from collections.abc import Sequence


def identify(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Language code (ISO 639, lid.176's labels; every Chinese is `zh`) and score in 0..1 of each text."""
    raise NotImplementedError


def engines() -> dict[str, str]:
    """Versions of what decides the language, for fingerprints."""
    raise NotImplementedError
