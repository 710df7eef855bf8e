from __future__ import annotations

from schemas.recipe import Tokens

STEP_VERSION: int = 1


def engines(settings: Tokens) -> dict[str, str]:
    """Versions of what decides the tokens, for fingerprints."""
    raise NotImplementedError
