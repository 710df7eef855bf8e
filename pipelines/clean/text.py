"""The model: cleaning repairs a text by *kinds* of change, each counted in UTF-8 bytes of the text before it.

    mojibake   text that was decoded in a wrong encoding, repaired by ftfy; lone surrogates, which no UTF-8 can hold
    control    control characters and stray marks, removed; CR LF and other line breaks, made LF
    nfc        Unicode normalisation form C (UAX #15)
    width      full-width letters and digits, made ASCII                      (if the recipe asks for it)
    chinese    Traditional or Simplified characters, see `pipelines.clean.chinese`  (if the recipe asks for it)

ftfy runs with everything off but its repair of mojibake: its other fixes rewrite the full-width comma of Chinese, curly
quotes and HTML entities. It reads a text line by line, and only lines with a *suspect* character can change: that test
is cheap, and a property test holds it to ftfy's own verdict. The kinds run in turn until nothing changes, because one
may uncover work for another; so cleaning is idempotent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from pipelines.clean.chinese import HAN, converted
from schemas.recipe import Clean

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

_TO_REMOVE = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u206a-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
"""C0 and C1 controls, deprecated format characters, noncharacters, the byte order mark, interlinear annotation marks."""

_LINE_BREAKS = "\r\v\f\x85\u2028\u2029"
"""Line breaks of other kinds (Unicode 5.8, without the information separators): they become LF."""

_CONTROL = re.compile(f"[{_TO_REMOVE}{_LINE_BREAKS}]")
_REMOVED = re.compile(f"[{_TO_REMOVE}]+")
_BROKEN = re.compile(f"[{_LINE_BREAKS}]")
_ASCII_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")

_FULL_WIDTH = "０-９Ａ-Ｚａ-ｚ"
_WIDE = re.compile(f"[{_FULL_WIDTH}]+")
_NARROWED = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
"""Unicode's full-width forms stand in ASCII's order."""

_NEVER_ALONE = ("common", "start_punctuation", "end_punctuation")
"""Categories of ftfy's badness test that it holds against a text only beside a character of another category."""


def clean_text(text: str, settings: Clean) -> tuple[str, dict[str, int]]:
    """The cleaned text, and the UTF-8 bytes changed or removed by kind.

    Kinds without a change are left out: an empty dict says that cleaning was the identity. A kind counts what it
    found: the span from the first to the last difference of a line for `mojibake` and `nfc`, single characters for
    the others. The result can always be encoded as UTF-8.
    """
    if text.isascii():
        if not (settings.control_characters and _ASCII_CONTROL.search(text)):
            return text, {}
    elif not _trouble(settings).search(text) and (not settings.nfc or unicodedata.is_normalized("NFC", text)):
        return text, {}
    changed: dict[str, int] = {}
    while True:
        before = text
        for kind, repair in _repairs(settings):
            text, count = repair(text)
            if count:
                changed[kind] = changed.get(kind, 0) + count
        if text == before:
            return text, changed


@cache
def _trouble(settings: Clean) -> re.Pattern[str]:
    """Matches a character without which no kind of repair but `nfc` has anything to do."""
    control = _TO_REMOVE + _LINE_BREAKS if settings.control_characters else ""
    wanted = (_FULL_WIDTH if settings.width == "half" else "") + (HAN if settings.chinese else "")
    return re.compile("[\ud800-\udfff" + control + wanted + (_suspects() if settings.ftfy else "") + "]")


def _repairs(settings: Clean) -> list[tuple[str, Callable[[str], tuple[str, int]]]]:
    repairs: list[tuple[str, Callable[[str], tuple[str, int]]]] = [("mojibake", _replace_surrogates)]
    if settings.ftfy:
        repairs.append(("mojibake", _fix_mojibake))
    if settings.control_characters:
        repairs.append(("control", _remove_controls))
    if settings.nfc:
        repairs.append(("nfc", _compose))
    if settings.width == "half":
        repairs.append(("width", _narrow))
    if settings.chinese is not None:
        repairs.append(("chinese", partial(converted, to=settings.chinese)))
    return repairs


def _replace_surrogates(text: str) -> tuple[str, int]:
    if text.isascii():
        return text, 0
    fixed, count = _SURROGATE.subn("\ufffd", text)
    return fixed, 3 * count


def _fix_mojibake(text: str) -> tuple[str, int]:
    """ftfy on the lines that have a suspect character; equal to ftfy on the whole text."""
    suspect = suspects().search
    match = None if text.isascii() else suspect(text)
    if match is None:
        return text, 0
    from ftfy import fix_text

    out: list[str] = []
    done = count = 0
    while match is not None:
        start = text.rfind("\n", done, match.start()) + 1 or done
        end = text.find("\n", match.start()) + 1 or len(text)
        line = text[start:end]
        fixed = fix_text(line, ftfy_config())
        if fixed != line:
            out += (text[done:start], fixed)
            count += _span(line, fixed)
            done = end
        match = suspect(text, end)
    out.append(text[done:])
    return "".join(out), count


def _remove_controls(text: str) -> tuple[str, int]:
    if not _CONTROL.search(text):
        return text, 0
    count = text.count("\r\n")
    text = text.replace("\r\n", "\n")
    count += len("".join(_REMOVED.findall(text) + _BROKEN.findall(text)).encode())
    return _BROKEN.sub("\n", _REMOVED.sub("", text)), count


def _compose(text: str) -> tuple[str, int]:
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text, 0
    lines = text.split("\n")  # a new line never composes, so lines can be taken one by one
    count = 0
    for i, line in enumerate(lines):
        composed = unicodedata.normalize("NFC", line)
        if composed != line:
            count += _span(line, composed)
            lines[i] = composed
    return "\n".join(lines), count


def _narrow(text: str) -> tuple[str, int]:
    if text.isascii():
        return text, 0
    count = 3 * sum(map(len, _WIDE.findall(text)))
    return (_WIDE.sub(lambda run: run[0].translate(_NARROWED), text) if count else text), count


def _span(before: str, after: str) -> int:
    """UTF-8 bytes of `before` from the first to the last difference from `after`; at least 1 if they differ."""
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next((i for i in range(shorter - head) if before[-1 - i] != after[-1 - i]), shorter - head)
    return max(1, len(before[head : len(before) - tail].encode()))


@cache
def suspects() -> re.Pattern[str]:
    """Matches a character without which ftfy leaves a line alone.

    Every alternative of `ftfy.badness.BADNESS_RE` needs a character of a category that is not in `_NEVER_ALONE`.
    Chinese punctuation and curly quotes are thus not suspect. Built from ftfy's own tables.
    """
    return re.compile(f"[{_suspects()}]")


def _suspects() -> str:
    from ftfy.badness import MOJIBAKE_CATEGORIES

    return "".join(c for name, c in MOJIBAKE_CATEGORIES.items() if name not in _NEVER_ALONE)


@cache
def ftfy_config() -> TextFixerConfig:
    """Repair of mojibake alone: nothing that touches CJK punctuation, quotes, entities or ligatures."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
