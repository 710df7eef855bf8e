from __future__ import annotations

from schemas.recipe import Tokenizer

STEP_VERSION: int = 1


def engines(settings: Tokenizer) -> dict[str, str]:
    """Versions of what decides the tokenizer, for fingerprints."""
    raise NotImplementedError
