"""The model: texts *count by characters* if they are Chinese (or Japanese): declared so, or by *script*, if a text of what was wanted has a
Han character. The answer never decides, or it could choose how it is judged."""

from __future__ import annotations

import re
from collections.abc import Iterable

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
CHARACTER = HAN.pattern[:-1] + r"\u3005\u3007\u3041-\u3096\u30a1-\u30fa\u30fc]"
"""A Han character or kana, as a regular expression."""
_UNSPACED = {"zh", "lzh", "yue", "wuu", "ja"}


def by_characters(lang: str | None, wanted: Iterable[str]) -> bool:
    """Whether an item's texts count by characters.

    >>> by_characters(None, ["Paris"]), by_characters(None, ["巴黎"]), by_characters("en", ["巴黎"]), by_characters("zh-TW", [""])
    (False, True, False, True)
    """
    if lang is not None:
        return is_unspaced(lang)
    return any(HAN.search(text) for text in wanted)


def is_unspaced(lang: str) -> bool:
    """Whether a language's code is that of one which is written in characters without spaces."""
    return re.split(r"[-_]", lang.lower())[0] in _UNSPACED


def texts(wanted: str | Iterable[str]) -> tuple[str, ...]:
    """What was wanted: any of several texts, or the one."""
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)
