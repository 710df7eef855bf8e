"""The model: a *list* is a file of *terms*, one a line, in UTF-8. What follows a `#` at the start of a line or behind white space is a
comment."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.errors import RequestError


def terms_of(content: str) -> list[str]:
    """The terms of a list, white space within them as one space."""
    lines = (re.split(r"(?:^|\s)#", line)[0] for line in content.removeprefix("\ufeff").splitlines())
    return [term for line in lines if (term := " ".join(line.split()))]


def read_list(path: str) -> str:
    """The content of a list. Raises `RequestError` if it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: can't be read as a word list in UTF-8: {error}") from error
