"""Values to plant in texts: each is built by rule, none is anybody's. Strategies of hypothesis, by kind."""

from __future__ import annotations

import datetime
import string
from collections.abc import Mapping

import pyarrow as pa
from hypothesis import strategies as st

from pipelines.redact import FINDERS, redact

PLACEHOLDERS = {kind: f"<{kind.upper()}>" for kind in FINDERS}
ALPHANUMERIC = string.ascii_letters + string.digits


def redacted(*texts: str, placeholders: Mapping[str, str] = PLACEHOLDERS) -> list[str]:
    return redact(pa.array(texts, pa.string()), placeholders).texts.to_pylist()


def text_of(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=size, max_size=size)


def batched(number: str, size: int) -> list[str]:
    return [number[at : at + size] for at in range(0, len(number), size)]


def with_check_digit(number: str) -> str:
    """A number with the digit behind it that makes Luhn's sum a multiple of ten, found by trying."""
    return next(number + d for d in string.digits if _sum(number + d) % 10 == 0)


def _sum(number: str) -> int:
    return sum(sum(divmod(int(d) * (1 + place % 2), 10)) for place, d in enumerate(reversed(number)))


def with_check_character(number: str) -> str:
    """A resident identity number with its last character, by ISO 7064's recursive rule rather than by weights."""
    product = 0
    for digit in number:
        product = (product + int(digit)) * 2 % 11
    return number + "0123456789X"[(12 - product) % 11]


emails = st.builds(
    lambda first, rest, host, tld: f"{first}{rest}@{host}.{tld}",
    st.sampled_from(string.ascii_letters),
    st.text(ALPHANUMERIC + "._+-", max_size=20).filter(lambda s: not s.endswith((".", "-", "+"))),
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
    st.sampled_from("com org com.cn edu.cn de io co.uk".split()),
)
mobiles = st.builds(
    lambda country, head, middle, tail, mark: (
        f"{country}{mark}{head}{mark}{middle}{mark}{tail}" if country else f"{head}{mark}{middle}{mark}{tail}"
    ),
    st.sampled_from(["", "+86", "86"]),
    st.sampled_from("130 139 147 150 159 166 177 188 199".split()),
    st.integers(1000, 9999),
    st.integers(1000, 9999),
    st.sampled_from("- "),
) | st.builds("{}{}".format, st.sampled_from("130 139 147 150 159 166 177 188 199".split()), st.integers(10**7, 10**8 - 1))
international = st.builds(
    lambda code, parts, mark: f"+{code}{mark}" + mark.join(map(str, parts)),
    st.sampled_from("44 49 33 81 82 61 55 91 852 971".split()),
    st.tuples(st.integers(100, 999), st.integers(100, 999), st.integers(100, 9999)),
    st.sampled_from("- "),
)
cards = st.builds(
    lambda head, rest, mark: mark.join(batched(with_check_digit(head + rest), 4)),
    st.sampled_from("4539 5412 2221 6222 3530".split()),
    text_of(string.digits, 11),
    st.sampled_from(["", " ", "-"]),
)
id_cards = st.builds(
    lambda province, district, born, serial: with_check_character(f"{province}{district:04d}{born:%Y%m%d}{serial:03d}"),
    st.sampled_from("11 31 44 50 65".split()),
    st.integers(101, 9999),
    st.dates(min_value=datetime.date(1900, 1, 1), max_value=datetime.date(2025, 12, 31)),
    st.integers(0, 999),
)
addresses = st.builds(
    "{}.{}.{}.{}".format, st.integers(20, 99), st.integers(10, 255), st.integers(0, 255), st.integers(1, 254)
) | st.builds("2a02:{:x}:{:x}::{:x}".format, st.integers(1, 65535), st.integers(1, 65535), st.integers(1, 65535))
secrets = st.one_of(
    st.builds("AKIA{}".format, text_of(string.ascii_uppercase + "234567", 16)),
    st.builds("ghp_{}".format, text_of(ALPHANUMERIC, 36)),
    st.builds("AIza{}".format, text_of(ALPHANUMERIC + "_-", 34).map(lambda s: s + "a")),
    st.builds("xoxb-{}-{}".format, text_of(string.digits, 12), text_of(ALPHANUMERIC, 24)),
    st.builds("eyJ{}.eyJ{}.{}".format, text_of(ALPHANUMERIC, 20), text_of(ALPHANUMERIC, 40), text_of(ALPHANUMERIC, 43)),
    text_of(string.ascii_letters + string.digits + "+/\n", 300).map(
        lambda body: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    ),
)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "secret": secrets,
    "email": emails,
    "id_card": id_cards,
    "card": cards,
    "ip": addresses,
    "phone": mobiles | international,
}

BEFORE = st.sampled_from(["", "电话是", "请联系：", "我的号码，", "see (", "\n", "x = '", "contact: ", "（", "》", "é "])
BEHIND = st.sampled_from(["", "。谢谢", "，", " and more", ")", "\n", "'", "的手机", "）", ";"])
