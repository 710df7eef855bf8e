"""The model: a *number* that names somebody, or what they pay with, is told from any other by its check digit, once it is long
enough and stands alone: no letter or digit touches it, and it is no decimal fraction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.redact.checksums import is_card, is_resident_id
from pipelines.redact.haystack import Haystack, Span

_LONGEST = 64
"""Bytes that no match is longer than."""

_ID_CARD = re.compile(
    rb"(?<![0-9])(?<![0-9][Xx.])[1-9][0-9]{5}([ -]?)(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])\1[0-9]{3}[0-9Xx]"
    rb"(?![0-9A-Za-z])"
)
_CARD = re.compile(
    rb"(?<![0-9A-Za-z])(?<![0-9]\.)(?<![0-9A-Za-z]-)"
    rb"(?:[0-9]{12,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?"
    rb"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{6}([ -])[0-9]{13})"
    rb"(?![0-9A-Za-z])(?!\.[0-9])(?!-[0-9A-Za-z])"
)
_SAYS_CARD = re.compile(
    rb"(?:\b(?:card|visa|mastercard|maestro|amex|jcb|paid with)|"
    + "卡号|银行卡|信用卡".encode()
    + rb")(?:[ \t.:=#]|number|no\b|"
    + "：|号|是|为".encode()
    + rb")*\Z",
    re.IGNORECASE,
)
_BOOK = re.compile(rb"(?:isbn|issn|doi|pmid)[\s:=/-]{0,4}[^\s|]{0,40}[\s(]?\Z", re.IGNORECASE)
_REACH = 50


def find_id_cards(haystack: Haystack) -> Iterator[Span]:
    """Chinese resident identity numbers with a right check digit."""
    text = haystack.text
    for start, end in haystack.clusters:
        for span in search(text, _ID_CARD, start, end):
            if is_resident_id(re.sub(rb"[ -]", b"", text[span[0] : span[1]])):
                yield span


def find_cards(haystack: Haystack) -> Iterator[Span]:
    """Numbers of payment cards, in one piece or in the groups that are printed on them, with Luhn's digit right."""
    text = haystack.text
    for start, end in haystack.clusters:
        for span in search(text, _CARD, start, end):
            said = _SAYS_CARD.search(text[max(0, span[0] - _REACH) : span[0]]) is not None
            if is_card(re.sub(rb"[ -]", b"", text[span[0] : span[1]]), said=said) and not numbers_a_book(text, span[0]):
                yield span


def search(text: bytearray, pattern: re.Pattern[bytes], start: int, end: int) -> Iterator[Span]:
    """Matches of a pattern of bounded length that begin in a stretch, overlapping ones too.

    A caller that takes a span masks it before it asks for the next: what is masked never matches again.
    """
    while (match := pattern.search(text, start, end + _LONGEST)) and match.start() < end:
        start = match.start() + 1
        yield match.span()


def numbers_a_book(text: bytearray, start: int) -> bool:
    """Whether what stands before a number says that it names a publication."""
    return _BOOK.search(text[max(0, start - _REACH) : start]) is not None
