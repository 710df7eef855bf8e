"""The model: a page is written in English, and *translated* as a whole: a table has each of our sentences in another *tongue*, with `{}`
places for what stands in it, which is translated in its turn where it is ours. What the table doesn't have stays as it is: names and
figures. Excerpts, code, the page's name and what is marked as foreign are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from html import unescape
from importlib.resources import files
from typing import Any, TypeVar

import yaml
from markupsafe import Markup, escape

from flows.report.blocks import Foreign
from flows.report.wording import plain

TONGUES = ("en", "zh")
ENGLISH = "en"
LONGEST = 800
"""Characters of a sentence of ours: what is longer is foreign, and could keep the patterns busy."""

Say = Callable[[str], str]
Value = TypeVar("Value")

_PLACE = re.compile(r"\{(\w+)\}")
_SENTENCE = re.compile(r"(?<=[.!?])[ \n](?=\S)")
_APART = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
"""Chinese puts no space between its own characters."""
_TEXT_NODE = re.compile(r"(?<=>)[^<>]+(?=<)")
_NAME = re.compile(r"(?<=&#34;name&#34;:&#34;).*?(?=&#34;)")
"""Of a series, in the figures that the page's script reads."""
_UNTOUCHED = {
    "Page": {"name"},
    "Section": {"key"},
    "Excerpt": {"note", "lead", "text"},
    "Code": {"text"},
    "Disclosure": {"text"},
    "Row": {"style", "lang", "of", "values"},
    "Table": {"best"},
}
"""Fields that hold foreign text, or none for people."""


@cache
def table(tongue: str) -> Mapping[str, str]:
    """Our sentences, in English, and what they are in a tongue."""
    read: Mapping[str, str] = yaml.safe_load(files("flows.report").joinpath(f"{tongue}.yaml").read_text(encoding="utf-8"))
    return read


@cache
def _patterns(tongue: str) -> list[tuple[re.Pattern[str], str]]:
    """Those with places, the ones with most text of their own first."""
    found = [message for message in table(tongue) if _PLACE.search(message)]
    found.sort(key=lambda message: -len(_PLACE.sub("", message)))
    return [(re.compile(_pattern(message), re.DOTALL), table(tongue)[message]) for message in found]


def _pattern(message: str) -> str:
    pieces = _PLACE.split(message)
    return "".join(re.escape(piece) if n % 2 == 0 else f"(?P<{piece}>{_takes(piece)})" for n, piece in enumerate(pieces)) + r"\Z"


def _takes(place: str) -> str:
    """Places called n, n1, ... take a figure with its unit, w a word, ws words with commas between them, list anything, and others what
    has no semicolon."""
    kinds = {"list": ".+?", "n": r"[−<>+]?[\d,.]*\d(?:e[+-]?\d+)?(?:\u202f[^\s,;.]+)?", "w": r"[\w-]+", "ws": r"[\w-]+(?:, [\w-]+)*"}
    return kinds.get(place.rstrip("0123456789"), "(?:(?!; ).)+?")


def sayer(tongue: str) -> Say:
    """What says a text of ours in a tongue."""
    if tongue == ENGLISH:
        return lambda text: text

    def known(text: str) -> str | None:
        """One sentence, or a part of one; None if the table has nothing like it."""
        if text in table(tongue):
            return table(tongue)[text]
        for pattern, told in _patterns(tongue) if len(text) <= LONGEST else ():
            if found := pattern.match(text):
                return _APART.sub("", _PLACE.sub(lambda place: say(found[place[1]]), told))
        return None

    def say(text: str) -> str:
        if text in table(tongue):
            return table(tongue)[text]
        sentences = _SENTENCE.split(text)
        told = [say(one) for one in sentences] if len(sentences) > 1 else sentences
        if told != sentences:  # what stays English has its space behind it
            return "".join(new if new != old else f"{old} " for old, new in zip(sentences, told, strict=True)).rstrip()
        whole = known(text)
        if whole is not None:
            return whole
        listed = text.split("; ")
        told = [say(one) for one in listed] if len(listed) > 1 else listed
        if told != listed:
            return "；".join(told)
        if text.endswith(".") and not text.endswith("..") and (whole := say(text[:-1])) != text[:-1]:
            return f"{whole}。"
        for sign, joined in ((": ", "："), (", ", "，")):
            parts = text.split(sign)
            if len(parts) > 1 and any(known(part) for part in parts):
                return joined.join(map(say, parts))
        return text

    return say


def filled(said: str, **values: str) -> Markup:
    """A sentence of ours with foreign text, or markup, in its places: it was said before, so nothing looks at what fills it."""
    return Markup(escape(said)).format(**{place: one if isinstance(one, Markup) else plain(one) for place, one in values.items()})


def translated(value: Value, say: Say) -> Value:
    """A page, or a part of one, with all of ours said."""
    return _translated(value, say)


def _translated(value: Any, say: Say) -> Any:
    if isinstance(value, Foreign):
        return value
    if isinstance(value, Markup):
        if not value.startswith("<svg"):
            return Markup(say(str(value)))
        say_in = lambda found: str(escape(say(unescape(found[0]))))  # noqa: E731
        return Markup(_NAME.sub(say_in, _TEXT_NODE.sub(say_in, value)))
    if isinstance(value, str):
        return say(value)
    if isinstance(value, list | tuple):
        return type(value)(_translated(one, say) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        left = _UNTOUCHED.get(type(value).__name__, set()) | {"kind"}
        return replace(value, **{f.name: _translated(getattr(value, f.name), say) for f in fields(value) if f.name not in left})
    return value
