"""The model: *cleaning* turns the raw bytes of a record into text that later stages can trust.

`decode` finds characters in bytes, strictly; `clean_text` repairs them and counts what it changed.
"""

from __future__ import annotations

import unicodedata
from importlib.metadata import version

from pipelines.clean.decode import Undecodable, decode, detect_encoding
from pipelines.clean.text import clean_text

__all__ = ["Undecodable", "clean_text", "decode", "detect_encoding", "engines"]


def engines() -> dict[str, str]:
    """Versions of what decides the outcome of cleaning, for fingerprints."""
    return {
        "charset-normalizer": version("charset-normalizer"),
        "ftfy": version("ftfy"),
        "unicode": unicodedata.unidata_version,
    }
