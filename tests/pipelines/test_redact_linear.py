"""Redaction takes time in proportion to the bytes, whatever they are: four times the text takes about four times as long.

A ratio of two times of one process says how it grows on any machine: a quadratic finder takes sixteen times as long.
"""

import time

import pyarrow as pa
import pytest

from pipelines.redact import redact
from tests.pipelines.pii import PLACEHOLDERS

HARD = {
    "at signs": "@",
    "hosts": "a.",
    "mail without an end": "a@a.",
    "local parts": "a.b-c+d@",
    "chained mail": "a@b.com",
    "digits": "1",
    "spaced digits": "1 ",
    "dotted digits": "10.",
    "grouped cards": "4539 ",
    "card after card": "4539988915720591 ",
    "signs": "+1",
    "brackets": "(0",
    "cues": "call me at 1 ",
    "colons": "2001:",
    "names": "key=",
    "names in names": "key-key.",
    "passwords": "password: aB3",
    "urls": "://u:p",
    "web tokens": ".eyJaaaaaaaa",
    "dashed web tokens": "-eyJ",
    "begins": "-----BEGIN RSA PRIVATE KEY-----",
    "begins of nothing": "-----BEGIN ",
    "key bodies": "-----BEGIN PRIVATE KEY-----\nAAAA",
    "full width": "１",
    "full-width mail": "ａ＠ａ．ｃｏｍ",
    "han": "密码是",
}


def _seconds(text: str) -> float:
    array = pa.array([text])
    start = time.process_time()
    redact(array, PLACEHOLDERS)
    return time.process_time() - start


def _growth(piece: str, small: int) -> float:
    """The lower of two ratios: another process on the machine can slow down one measure."""
    count = small // len(piece.encode())
    return min(_seconds(piece * 4 * count) / max(_seconds(piece * count), 0.005) for _ in range(2))


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD)
def test_time_grows_with_the_bytes(name: str) -> None:
    assert _growth(HARD[name], 100_000) < 10


@pytest.mark.soak
@pytest.mark.parametrize("name", HARD)
def test_time_grows_with_the_bytes_up_to_25_megabytes(name: str) -> None:
    assert _growth(HARD[name], 25_000_000 // 4) < 10
