"""The model: the *head* of a file is its first 64 KiB; one *encoding*, found in the head, serves the whole file.

In order: what the recipe declares; a byte order mark; UTF-16 by where its zero bytes fall; UTF-8, when the head is
valid or only a little of it is damaged (a damaged record is rejected later by name; one bad byte must not turn a whole
file into mojibake); then detection among the legacy encodings that matter for Chinese, its neighbours and Europe.

A head may end inside a character: a cut last character never counts against an encoding.
"""

from __future__ import annotations

import codecs

HEAD_BYTES = 64 << 10
"""How much of a file `detect_encoding` wants to see; more is not read."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UTF32_BOMS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))

_LEGACY = (
    "gb18030", "big5", "cp950", "cp932", "euc_jp", "euc_kr", "cp949", "cp1252", "cp1250", "cp1251", "koi8_r", "utf_16_le", "utf_16_be",
)  # fmt: skip
"""Encodings that detection chooses from; on Chinese reviews it is right from 100 bytes on. GB18030 takes nearly everything: without
the supersets that Windows writes for Big5 and EUC-KR, one of their characters turns a whole file into it."""

_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "utf-8-sig": "utf-8", "ascii": "utf-8", "euc_kr": "cp949"}
"""Text in the left encoding reads the same in the right one, and files called by the left name often need the right."""

_QUOTES_OF_1252 = frozenset(b"\x85\x91\x92\x93\x94\x96\x97")
"""Ellipsis, curly quotes and dashes: all that most English cp1252 files have beyond ASCII."""

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
    """UTF-16 without a mark: spaces and new lines put zero bytes at odd (little endian) or at even offsets, never both."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 50 < len(head) or min(even, odd) * 20 > max(even, odd):
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    return encoding if _valid(head, encoding) else None


def _utf8(head: bytes) -> str | None:
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
    return "utf-8" if damaged <= _MAX_DAMAGED_LINES * len(lines) else None


def _legacy(head: bytes) -> str:
    from charset_normalizer import from_bytes  # 30 ms to import, and most files never need it

    whole = next((head[: len(head) - cut] for cut in range(4) if _strictly(head[: len(head) - cut], "gb18030")), head)
    best = from_bytes(whole, cp_isolation=list(_LEGACY), enable_fallback=False).best()
    if best is not None:
        found = codecs.lookup(best.encoding).name
        return _SUPERSETS.get(found, found)
    return next((name for name in _LEGACY if _valid(head, name)), "utf-8")


def _valid(head: bytes, encoding: str) -> bool:
    """Whether `head` decodes, but for a last character that may be cut."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _strictly(head: bytes, encoding: str) -> bool:
    try:
        head.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
