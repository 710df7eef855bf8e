"""The model: how the report puts figures and foreign text into words: grouped digits, sizes in powers of ten, names of
languages, and *plain* text, in which characters that a page can't show are made visible or harmless.
"""

from __future__ import annotations

import math

from flows.report.facts import Classifier

THIN = "\u202f"
"""Narrow no-break space, between a number and its unit."""
MINUS = "\u2212"

CODE = "code"
"""The language of source code."""

LANGUAGES = {"en": "English", "zh": "Chinese", CODE: "source code"}

_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
_UNSHOWABLE = {
    **_CONTROL_PICTURES,
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
    **dict.fromkeys((0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069, 0xFFFE, 0xFFFF), 0xFFFD),
}


def plain(text: str) -> str:
    """Text with control characters as pictures, and lone surrogates and direction overrides as U+FFFD.

    >>> plain("a\\x00b\\u202ec")
    'a\u2400b\ufffdc'
    """
    return text.translate(_UNSHOWABLE)


def count(value: float) -> str:
    """A whole number with grouped digits.

    >>> count(12345)
    '12,345'
    """
    return f"{round(value):,}".replace("-", MINUS)


def size(value: int) -> str:
    """Bytes with three digits at most, in powers of ten.

    >>> size(3_400_000).replace(THIN, " "), size(999).replace(THIN, " "), size(0)
    ('3.40 MB', '999 B', '0')
    """
    for unit, name in _SIZES:
        if abs(value) >= unit * 0.9995:
            return f"{three_digits(value / unit)}{THIN}{name}"
    return f"{value}{THIN}B" if value else "0"


def short(value: float) -> str:
    """A count with three digits at most, for tiles and axes.

    >>> short(3_412_345).replace(THIN, " "), short(950)
    ('3.41 million', '950')
    """
    if abs(value) >= 999.5e6:
        return f"{three_digits(value / 1e9)}{THIN}billion"
    if abs(value) >= 999.5e3:
        return f"{three_digits(value / 1e6)}{THIN}million"
    return count(value)


def three_digits(value: float) -> str:
    """
    >>> [three_digits(v) for v in (1.234, 12.34, 123.4, 0.0)]
    ['1.23', '12.3', '123', '0']
    """
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-12))
    return decimals(value, min(digits, 6))


def decimals(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", MINUS)


def percent(share: float, digits: int = 1) -> str:
    """A share of one as per cent; what is not zero never reads as zero, what is not all never reads as all.

    >>> [percent(x).replace(THIN, " ") for x in (0.481, 0.0, 0.00001, 0.99999, 1.0)]
    ['48.1 %', '0 %', '<0.1 %', '>99.9 %', '100 %']
    """
    step = 10.0**-digits
    value = share * 100
    if value in (0, 100):
        return f"{value:.0f}{THIN}%"
    if 0 < value < step / 2:
        return f"<{step:.{digits}f}{THIN}%"
    if 100 - step / 2 < value < 100:
        return f">{100 - step:.{digits}f}{THIN}%"
    return f"{decimals(value, digits)}{THIN}%"


def signed_percent(share: float) -> str:
    """A relative difference with its sign.

    >>> signed_percent(-0.093).replace(THIN, " ")
    '\u22129.3 %'
    """
    sign = "+" if share > 0 else MINUS if share < 0 else ""
    return f"{sign}{abs(share) * 100:.1f}{THIN}%"


def language(lang: str) -> str:
    """A language's name inside a sentence."""
    return LANGUAGES.get(lang, lang)


def label(lang: str) -> str:
    """A language's name at the start of a row or of a sentence.

    >>> label("code"), label("fr")
    ('Source code', 'fr')
    """
    return language(lang)[:1].upper() + language(lang)[1:] if lang in LANGUAGES else lang


def plural(number: int, noun: str) -> str:
    """
    >>> plural(1, "record"), plural(2000, "record")
    ('1 record', '2,000 records')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def words(key: str) -> str:
    """A name of a system or of a metric as words: `bag_of_words` is "bag of words"."""
    return key.replace("_", " ")


def as_sentence(note: str) -> str:
    """A note of a result, which has no capital and no stop.

    >>> as_sentence("one leak")
    'One leak.'
    """
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def accuracy(classifier: Classifier) -> str:
    """Accuracy in per cent, with its standard error in points."""
    return f"{classifier.accuracy * 100:.1f}{THIN}±{THIN}{classifier.standard_error * 100:.1f}{THIN}%"
