"""The model: the *head* of a file is its first 64 KiB; one *encoding*, found in the head, serves the whole file.

In order: what the recipe declares; a byte order mark; UTF-16 by where its zero bytes fall; UTF-8, when the head is
valid or only a little of it is damaged (a damaged record is rejected later by name; one bad byte must not turn a whole
file into mojibake); then the legacy encoding of East Asia in which most characters are common ones, if one stands out; then
detection by charset_normalizer among those that matter for Chinese, its neighbours and Europe.

A head may end inside a character: a cut last character never counts against an encoding.
"""

from __future__ import annotations

import codecs
import re

from pipelines.clean.common_characters import common_share, plausible_share

HEAD_BYTES = 64 << 10
"""How much of a file `detect_encoding` wants to see; more is not read."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UTF32_BOMS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))

_LEGACY = (
    "gb18030", "big5", "cp950", "cp932", "euc_jp", "euc_kr", "cp949", "cp1252", "cp1250", "cp1251", "koi8_r", "utf_16_le", "utf_16_be",
)  # fmt: skip
"""Encodings that detection chooses from; docs/accuracy.md tells how often it is right. GB18030 takes nearly everything: without
the supersets that Windows writes for Big5 and EUC-KR, one of their characters turns a whole file into it."""

_EAST_ASIAN = ("gb18030", "cp932", "euc_jp", "cp949", "utf-16-le", "utf-16-be")
_COMMON = 0.4
"""Share of common characters from which text counts as East Asian: real text has 0.6 to 0.9, what was read wrongly 0 to 0.2."""
_SCORED = 1 << 12
"""Characters that are looked at."""
_FEW = 0.01
"""Share of such characters up to which a text is English with some foreign names, not one in a language that needs them."""

_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "utf-8-sig": "utf-8", "ascii": "utf-8", "euc_kr": "cp949"}
"""Text in the left encoding reads the same in the right one, and files called by the left name often need the right."""

_QUOTES_OF_1252 = frozenset(b"\x85\x91\x92\x93\x94\x96\x97")
"""Ellipsis, curly quotes and dashes: all that most English cp1252 files have beyond ASCII."""

_LONE = re.compile(rb"(?<![\x80-\xff])[\x80\x82-\x8c\x8e\x91-\x9c\x9e-\xff](?![\x80-\xff])")
"""A character of one byte beyond ASCII among ASCII: a letter with a mark, a quote, a sign."""
_ENOUGH = 3
"""So many of them are no accident; fewer may be damage."""

_MAX_DAMAGED_LINES = 0.25
"""A file with a larger share of lines that are not UTF-8 is taken to be in another encoding."""


class Undecodable(ValueError):
    """Bytes that are not text in the given encoding; `detail` names the encoding and the byte offset."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def decode(raw: bytes, encoding: str) -> str:
    """`raw` as text, strictly; a leading byte order mark is dropped.

    Raises `Undecodable` naming the first wrong byte's offset in `raw`.
    """
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = raw[error.start : error.start + 4].hex(" ")
        raise Undecodable(f"not {encoding} at byte {error.start} ({wrong}): {error.reason}") from error
    return text.removeprefix("\ufeff")


def detect_encoding(head: bytes, declared: str | None) -> str:
    """The encoding of a file as a Python codec name, from its first `HEAD_BYTES` bytes (a longer head is cut).

    UTF-16 and UTF-32 come with their byte order, so that a record from the middle of the file decodes as well. A
    declared encoding wins over everything but a byte order mark for its own byte order. Raises `ValueError` if the
    declared one is unknown.
    """
    head = head[:HEAD_BYTES]
    marked = next((name for bom, name in (*_UTF32_BOMS, *_BOMS) if head.startswith(bom)), None)
    if declared is not None:
        return _declared(declared, marked)
    return marked or _utf16_by_zeros(head) or _utf8(head) or _legacy(head)


def _declared(name: str, marked: str | None) -> str:
    try:
        found = codecs.lookup(name).name
        "".encode(found)
    except LookupError as error:
        raise ValueError(f"encoding {name!r} is not known; use a name that Python's codecs know, such as 'gb18030'") from error
    if found in ("utf-16", "utf-32"):
        return marked if marked and marked.startswith(found) else f"{found}-le"
    return _SUPERSETS.get(found, found)


def _utf16_by_zeros(head: bytes) -> str | None:
    """UTF-16 without a mark: ASCII puts zero bytes at odd offsets (little endian) or at even ones, and 一 puts them at the others."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 50 < len(head) or min(even, odd) * 20 > max(even, odd):
        return None
    read = {name: text for name in ("utf-16-le", "utf-16-be") if (text := _read(head, name)) is not None}
    return max(read, key=lambda name: plausible_share(read[name]), default=None)


def _utf8(head: bytes) -> str | None:
    """UTF-8, maybe damaged; or cp1252, if all that isn't ASCII is what English text in it has; else None."""
    if _valid(head, "utf-8"):
        return "utf-8"
    text = head.decode("utf-8", "surrogateescape")
    damage = sum("\udc80" <= c <= "\udcff" for c in text)
    intact = sum(c > "\x7f" for c in text) - damage
    if intact >= 9 * damage:
        return "utf-8"
    lines = [line for line in head.splitlines() if line.strip()]
    damaged = sum(not _valid(line, "utf-8") for line in lines)
    high = {byte for byte in head if byte > 0x7F}
    if intact == 0 and high <= _QUOTES_OF_1252:
        return "cp1252"
    if intact == 0 and len(_LONE.findall(head)) >= max(_ENOUGH, damage - damage // 4):
        return "cp1252" if damage < _FEW * len(head) and _valid(head, "cp1252") else None
    return "utf-8" if damaged <= _MAX_DAMAGED_LINES * len(lines) else None


def _east_asian(head: bytes) -> str | None:
    """The encoding in which most characters are ones that East Asian text is full of, if one stands out."""
    big5 = "big5" if _valid(head, "big5") else "cp950"  # two that differ in a few characters
    shares = {name: common_share(text[:_SCORED]) for name in (*_EAST_ASIAN, big5) if (text := _read(head, name)) is not None}
    ranked = sorted(shares, key=shares.__getitem__, reverse=True)
    stands_out = bool(ranked) and shares[ranked[0]] >= max([_COMMON, *(2 * shares[name] for name in ranked[1:2])])
    return ranked[0] if stands_out else None


def _legacy(head: bytes) -> str:
    if (found := _east_asian(head)) is not None:
        return found
    from charset_normalizer import from_bytes  # 30 ms to import, and most files never need it

    whole = next((head[: len(head) - cut] for cut in range(4) if _strictly(head[: len(head) - cut], "gb18030")), head)
    best = from_bytes(whole, cp_isolation=list(_LEGACY), enable_fallback=False).best()
    if best is None:
        return next((name for name in _LEGACY if _valid(head, name)), "utf-8")
    found = codecs.lookup(best.encoding).name
    if found == "cp1250" and sum(byte > 0x7F for byte in head) < _FEW * len(head):
        return "cp1252"
    return _SUPERSETS.get(found, found)


def _read(head: bytes, encoding: str) -> str | None:
    """The head as text, but for a last character that may be cut; None if it isn't valid."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except UnicodeDecodeError:
        return None


def _valid(head: bytes, encoding: str) -> bool:
    """Whether `head` decodes, but for a last character that may be cut."""
    return _read(head, encoding) is not None


def _strictly(head: bytes, encoding: str) -> bool:
    try:
        head.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
