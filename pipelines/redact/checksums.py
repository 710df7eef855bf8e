"""The model: a *checksum* is the digit of a number that follows from the others, so that a number picked at random is hardly
ever one. Chinese resident identity numbers carry ISO 7064 MOD 11-2 (GB 11643-1999), payment cards Luhn's (ISO/IEC 7812-1).

A number that has no such digit to tell it by, as the fifteen-digit identity numbers from before 1999, is not looked for.
"""

from __future__ import annotations

import datetime

_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
_CHECKS = b"10X98765432"
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_PROVINCES = frozenset(b"11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split())
"""First two digits of GB/T 2260, with Taiwan, Hong Kong and Macao."""

_ISSUERS = (
    (b"4", b"4", (13, 16, 19)),
    (b"51", b"55", (16,)),
    (b"2221", b"2720", (16,)),
    (b"34", b"34", (15,)),
    (b"37", b"37", (15,)),
    (b"300", b"305", (14, 16)),
    (b"36", b"36", (14,)),
    (b"38", b"39", (14, 16)),
    (b"35", b"35", (16, 17, 18, 19)),
    (b"2131", b"2131", (15,)),
    (b"1800", b"1800", (15,)),
    (b"6011", b"6011", (16, 17, 18, 19)),
    (b"62", b"62", (16, 17, 18, 19)),
    (b"644", b"659", (16, 17, 18, 19)),
    (b"81", b"81", (16, 17, 18, 19)),
    (b"50", b"50", (16, 18, 19)),
    (b"56", b"58", (16, 18, 19)),
    (b"60", b"60", (16, 19)),
)
"""First and last prefix of an issuer's range and the lengths of its numbers: Visa, Mastercard, American Express, Diners Club, JCB,
Discover, UnionPay, RuPay, Maestro."""


def luhn(digits: bytes) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    values = [byte - 48 for byte in reversed(digits)]
    return (sum(values[::2]) + sum(_LUHN_DOUBLED[value] for value in values[1::2])) % 10 == 0


def is_card(digits: bytes, *, said: bool) -> bool:
    """Whether the digits are the number of a payment card: of an issuer's range and length, with Luhn's digit.

    The digit alone is enough if it is `said` that a card's number follows.
    """
    if said:
        return luhn(digits)
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS) and luhn(digits)


def is_resident_id(number: bytes) -> bool:
    """Whether 17 digits and a digit or X are a Chinese resident identity number: province, date of birth and check digit."""
    if number[:2] not in _PROVINCES:
        return False
    try:
        datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum((byte - 48) * weight for byte, weight in zip(number[:17], _WEIGHTS, strict=True))
    return _CHECKS[total % 11] == number[17:].upper()[0]
