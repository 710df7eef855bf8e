"""The model: a *telephone number* is known by its form alone, if the form is one that little else has: international with its
country code (E.164), Chinese mobile, Chinese area code and number, North American. Any other needs a *cue*, a word before or
behind it that says what it is.

`phonenumbers` knows every country's plan, and reads 4 MB/s of text that has none; these patterns see clusters of digits only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.redact.haystack import Haystack, Span
from pipelines.redact.numbers import numbers_a_book, search

_COUNTRY = (
    rb"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]|6[789][0-9]"
    rb"|80[08]|85[02356]|88[06]|96[0-8]|97[0-9]|99[2-8])"
)
"""Country codes that ITU-T E.164 assigns."""

_MARK = rb"(?:[ .-]|\) ?| ?\(|/)?"
_EXTENSION = rb"(?: ?(?:x|ext\.? ?|#|" + "转|分机".encode() + rb") ?[0-9]{1,6})?"
_TAIL = _EXTENSION + rb"(?![0-9A-Za-z])"
_LEFT = rb"(?<![0-9A-Za-z_$%#+])(?<![0-9][.,])(?<![0-9A-Za-z]-)"
_RIGHT = rb"(?![0-9A-Za-z_%])(?![.,][0-9])(?!-[0-9])"
_PLUS = rb"(?<![0-9A-Za-z+])(?!\+[0-9]+\.[0-9]+(?![0-9.-]))(?!\+[12][0-9]{3}-[0-9]{2}-[0-9]{2})"
"""No decimal fraction and no date stands behind the sign."""
_CHINESE_MOBILE = (
    rb"1(?:3[0-9]|4[014-9]|5[0-35-9]|6[2567]|7[0-8]|8[0-9]|9[0-35-9])(?!0{8})(?:[0-9]{8}|-[0-9]{4}-[0-9]{4}| [0-9]{4} [0-9]{4})"
)
_CHINESE_AREA = rb"0(?:10|2[0-9]|[3-9][0-9]{2})"

_FORMS = (
    rb"(?:" + _PLUS + rb"(?:\(\+?86\)|\+86|0086)[ -]?|" + _LEFT + rb"(?:86[ -])?|(?<=[Tt][Ee][Ll]))" + _CHINESE_MOBILE + _RIGHT,
    _PLUS + rb"(?:\(\+1\)|\+1)(?:" + _MARK + rb"[0-9]){10}+" + _TAIL,
    _PLUS + rb"(?:\(\+" + _COUNTRY + rb"\)|\+" + _COUNTRY + rb")(?:" + _MARK + rb"[0-9]){6,12}+" + _TAIL,
    _LEFT + rb"(?!00[0-9]{2}-[0-9]{2}-[0-9]{2}(?![0-9]))00" + _COUNTRY + rb"[ -](?:" + _MARK + rb"[0-9]){6,12}+" + _TAIL,
    _LEFT
    + rb"(?:\(" + _CHINESE_AREA + rb"\)[ -]?|" + _CHINESE_AREA + rb"[ -])[2-8][0-9]{2,3}[ -]?[0-9]{4}(?:-[0-9]{1,6})?"
    + _EXTENSION + _RIGHT,
    _LEFT + rb"[48]00(?:-[0-9]{3}-[0-9]{4}|-[0-9]{4}-[0-9]{3}| [0-9]{3} [0-9]{4}| [0-9]{4} [0-9]{3})" + _RIGHT,
    _LEFT + rb"(?:\(0[0-9]{2,5}\)[ -]?[0-9]{3,4}[ -]?[0-9]{2,5}|0[1-9][0-9]{2,3} [0-9]{3} [0-9]{4})" + _EXTENSION + _RIGHT,
    _LEFT + rb"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}" + _EXTENSION + _RIGHT,
)  # fmt: skip
"""By precedence where two begin at one byte: Chinese mobile; North America with its country code; any country's with its code; dialled
with 00; Chinese area code; Chinese 400 and 800; any area code in brackets, and British groups; North America."""
_FORM = re.compile(rb"(?:(?<![0-9A-Za-z_$%])|(?<=[Tt][Ee][Ll]))(?=[+(0-9])(?:" + rb"|".join(_FORMS) + rb")")
_CUED = re.compile(_LEFT + rb"(?<![0-9])(?<![0-9][ ./()-])[(]?[0-9](?:" + _MARK + rb"[0-9]){6,12}+" + _EXTENSION + _RIGHT)
_DATE = re.compile(rb"\(?(?:19|20)[0-9]{2}[./-][0-9]{1,2}[./-][0-9]{1,2}")

_CUE = re.compile(
    rb"(?:\b(?:phone|tel|telephone|call|mobile|cell|fax|whats ?app|dial|hotline|contact|text|sms|reach|ring)(?:s|ed)?"
    rb"(?:[ \t](?:me|us|him|her|them))?"
    rb"(?:[ \t](?:number|num|no))?|" + "电话|手机|传真|热线|联系方式|致电|拨打|微信".encode() + rb")"
    rb"(?:[ \t.:=]|at|is|on|to|number|" + "号码|号|是|为|：|:".encode() + rb")*\Z",
    re.IGNORECASE,
)
_CUE_TO_AREA = re.compile(rb"(?:\b(?:office|home|work)|\b(?:my|your|his|her|our|their|new)[ \t]number)(?:[ \t.:=]|to|is)*\Z", re.IGNORECASE)
"""Weaker words, which count before an area code: `office 365 2019` is no telephone."""
_CUE_BEHIND = re.compile(rb"[ \t]{0,2}\(?(?:phone|tel|mobile|cell|fax|office|home|work)\b", re.IGNORECASE)
_CUE_REACH = 48
_BEFORE = 3
"""Bytes of a number before its first digit: "(+ "."""


def find_phones(haystack: Haystack) -> Iterator[Span]:
    """Telephone numbers, with the extension if one follows."""
    text = haystack.text
    for start, end in haystack.clusters:
        first = max(0, start - _BEFORE)
        for span in search(text, _FORM, first, end):
            if not numbers_a_book(text, span[0]):
                yield span
        for span in search(text, _CUED, first, end):
            before = text[max(0, span[0] - _CUE_REACH) : span[0]]
            area = text[span[0]] in b"0("
            cued = _CUE.search(before) or (area and _CUE_TO_AREA.search(before)) or _CUE_BEHIND.match(text, span[1])
            if cued and not _DATE.match(text, span[0]):
                yield span
