"""The model: detection is right about the bytes of a text if decoding them as what it names gives the text: a superset of an encoding
does for it. A *sample* is some lines of real text as they would stand at the head of a file, written in an *encoding* that people use for
their language, and cut to a number of bytes (whole characters). Samples of ASCII alone are none: any answer would do.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.clean.decode import decode, detect_encoding
from schemas.errors import RequestError

UNICODE = ("utf-8", "utf-16-le", "utf-16-be")
LEGACY = {
    "zh": ("gb18030", "big5"),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
    "ru": ("cp1251", "koi8_r"),
    "pl": ("cp1250",),
    "cs": ("cp1250",),
}
"""Encodings that texts of a language were written in before Unicode; those of Western Europe in cp1252."""
LENGTHS = (20, 50, 100, 200, 500, 1000, 4000)
"""Bytes of samples."""
SAMPLES = 300
"""Most samples of one encoding and length."""


@dataclass(frozen=True)
class OfEncoding:
    """Of one encoding."""

    lines: float
    """Share of the lines that can be written in it; the others are left out."""
    by_length: dict[int, tuple[int, int]]
    """Samples, and how many of them were right, by bytes."""
    taken_for: dict[str, int]
    """How often it was wrongly taken for which one, the most frequent first."""


def encodings_of(lang: str) -> tuple[str, ...]:
    """Encodings that texts of a language are found in."""
    return (*UNICODE, *LEGACY.get(lang, ("cp1252",)))


def evaluate(texts: Sequence[str], encodings: Sequence[str], lengths: Sequence[int] = LENGTHS) -> dict[str, OfEncoding]:
    """By encoding, what detection makes of samples of the texts."""
    scores = {}
    for encoding in encodings:
        written = [raw for text in texts if (raw := _written(text, encoding)) is not None]
        by_length, wrong = {}, Counter[str]()
        for length in lengths:
            samples = list(_samples(written, encoding, length))
            found = [detect_encoding(sample, None) for sample in samples]
            right = [_reads(sample, encoding, name) for sample, name in zip(samples, found, strict=True)]
            wrong.update(name for name, is_right in zip(found, right, strict=True) if not is_right)
            if samples:
                by_length[length] = len(samples), sum(right)
        ordered = dict(sorted(wrong.items(), key=lambda one: (-one[1], one[0])))
        scores[encoding] = OfEncoding(len(written) / len(texts), by_length, ordered)
    return scores


def _written(text: str, encoding: str) -> bytes | None:
    try:
        return f"{text}\n".encode(encoding)
    except UnicodeEncodeError:
        return None
    except LookupError as error:
        raise RequestError(f"--encoding: Python knows no encoding {encoding!r}") from error


def _samples(lines: Sequence[bytes], encoding: str, length: int) -> Iterator[bytes]:
    """Samples that begin at lines spread evenly over all."""
    step = max(1, len(lines) // SAMPLES)
    for first in range(0, len(lines), step):
        sample, at = b"", first
        while len(sample) < length and at < len(lines):
            sample, at = sample + lines[at], at + 1
        if len(sample) >= length and not (whole := _whole_characters(sample[:length], encoding)).isascii():
            yield whole.encode(encoding)


def _whole_characters(cut: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(cut, final=False)


def _reads(sample: bytes, encoding: str, found: str) -> bool:
    try:
        return decode(sample, found) == sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    except ValueError:  # Undecodable
        return False
