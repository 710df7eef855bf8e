"""The model: results are *rounded*, so that float noise is no content."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """The same JSON with every float rounded to 6 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
