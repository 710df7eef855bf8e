"""The model: *cleaning* turns the raw bytes of a record into text that later stages can trust.

`decode` finds characters in bytes, strictly; `clean_text` repairs them, `cut_lines` drops whole lines, and `form`, which comes later,
takes case and punctuation away if a recipe wants that. All of them count what they changed.
"""

from __future__ import annotations

import unicodedata
from importlib.metadata import version

from pipelines.clean.decode import Undecodable, decode, detect_encoding
from pipelines.clean.forms import form
from pipelines.clean.lines import cut_lines, own_lists_digest
from pipelines.clean.text import clean_text
from schemas.recipe import Clean

__all__ = ["Undecodable", "clean_text", "cut_lines", "decode", "detect_encoding", "engines", "form"]


def engines(settings: Clean) -> dict[str, str]:
    """Versions of what decides the outcome of cleaning, for fingerprints."""
    found = {
        "charset-normalizer": version("charset-normalizer"),
        "ftfy": version("ftfy"),
        "unicode": unicodedata.unidata_version,
    }
    if settings.chinese is not None:
        found["opencc"] = version("opencc")
    if settings.boilerplate_lines is not None:
        found["ahocorasick-rs"] = version("ahocorasick-rs")
        if settings.boilerplate_lines.own_lists:
            found["boilerplate lists"] = own_lists_digest()
    return found
