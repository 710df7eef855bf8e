"""The model: a *haystack* is all texts of a batch as one mutable array of bytes, *folded*: full-width letters, digits and marks
stand as their ASCII twins, and the many spaces and hyphens of Unicode as one of each. So every finder reads ASCII alone, in
whatever script the text is. Texts are parted by NUL, which no finder matches across.

A *cluster* is a stretch of digits with at most three bytes between one and the next, and enough digits to be a number that means
somebody. Clusters are found by arithmetic; the few that there are in most texts are all that the patterns for cards, identity
numbers and telephones ever see.

A *span* is `[start, end)` in the haystack. What is found is *masked*, overwritten by NUL, so that nothing is found twice and a
found value is a boundary for what stands beside it, exactly as its placeholder will be.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

Span = tuple[int, int]

_GAP = 4
_FEWEST_DIGITS = 7

_FULL_WIDTH_MARKS = "＠．－＋＿：＝（）／＃"
_HYPHENS = "‐‑‒–−"
_SPACES = "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000"


def _twins() -> dict[str, str]:
    marks = {mark: chr(ord(mark) - 0xFEE0) for mark in _FULL_WIDTH_MARKS}
    letters = {chr(ord(c) + 0xFEE0): c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}
    return {**marks, **letters, **dict.fromkeys(_HYPHENS, "-"), **dict.fromkeys(_SPACES, " ")}


def _tables() -> dict[bytes, Bytes]:
    """By all bytes of a character but the last: the twin by the last byte, 0 if there is none."""
    tables: dict[bytes, Bytes] = {}
    for character, twin in _twins().items():
        encoded = character.encode()
        tables.setdefault(encoded[:-1], np.zeros(256, np.uint8))[encoded[-1]] = ord(twin)
    return tables


_TWINS = _tables()


class Haystack:
    """See the module. `texts` is an array of strings without nulls, less than 2 GiB in all."""

    def __init__(self, texts: pa.StringArray) -> None:
        offsets = pa.array(np.array([0, len(texts)], np.int32))
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts.cast(pa.binary())), b"\0")[0].as_buffer()
        raw = np.frombuffer(joined, np.uint8)
        lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
        self._row_starts: Ints = np.cumsum(lengths + 1) - lengths - 1
        folded, self._folded_at, self._dropped = _fold(raw)
        self.text = bytearray(folded)
        self.codes: Bytes = np.frombuffer(self.text, np.uint8)
        """A view of `text`: masks show in it."""
        self.clusters = _clusters(self.codes)
        """Start of the first and end of the last digit of each cluster, in order."""

    def mask(self, start: int, end: int) -> None:
        self.text[start:end] = bytes(end - start)

    def places(self, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
        """Row of each span, and its start and end in bytes of that row's text as it was given."""
        starts, ends = self._unfolded(starts), self._unfolded(ends)
        rows = np.searchsorted(self._row_starts, starts, "right") - 1
        return rows, starts - self._row_starts[rows], ends - self._row_starts[rows]

    def _unfolded(self, offsets: Ints) -> Ints:
        return offsets + self._dropped[np.searchsorted(self._folded_at, offsets, "left")]


def _fold(raw: Bytes) -> tuple[bytes | Bytes, Ints, Ints]:
    """The folded bytes, where in them the twins stand, and the bytes dropped up to and with each twin (led by a 0)."""
    at, widths, twins = _find_twins(raw)
    if not at.size:
        return raw, at, np.zeros(1, np.int64)
    dropped = np.concatenate(([0], np.cumsum(widths - 1)))
    whole, ends = raw.tobytes(), at + widths
    between = map(whole.__getitem__, map(slice, [0, *ends.tolist()], [*at.tolist(), raw.size]))
    pieces: list[bytes] = [b""] * (2 * at.size + 1)
    pieces[::2] = between
    pieces[1::2] = [bytes((twin,)) for twin in twins.tolist()]
    return b"".join(pieces), at - dropped[:-1], dropped


def _find_twins(raw: Bytes) -> tuple[Ints, Ints, Bytes]:
    """Where characters that have a twin start, how many bytes they take, and their twins. The bytes are valid UTF-8."""
    first = np.zeros(raw.shape, np.bool_)
    for byte in {prefix[0] for prefix in _TWINS}:
        first |= raw == byte
    at = np.flatnonzero(first)
    widths, twins = np.zeros(at.size, np.int64), np.zeros(at.size, np.uint8)
    for prefix, table in _TWINS.items():
        of_prefix = raw[at] == prefix[0]
        for place, byte in enumerate(prefix[1:], 1):
            of_prefix[of_prefix] = raw[at[of_prefix] + place] == byte
        widths[of_prefix] = len(prefix) + 1
        twins[of_prefix] = table[raw[at[of_prefix] + len(prefix)]]
    found = twins > 0
    return at[found], widths[found], twins[found]


def _clusters(codes: Bytes) -> list[Span]:
    digits = np.flatnonzero(codes - np.uint8(ord("0")) < 10)
    if digits.size < _FEWEST_DIGITS:
        return []
    breaks = np.flatnonzero(np.diff(digits) > _GAP) + 1
    first = np.concatenate(([0], breaks))
    last = np.concatenate((breaks, [digits.size]))
    many = last - first >= _FEWEST_DIGITS
    return list(zip(digits[first[many]].tolist(), (digits[last[many] - 1] + 1).tolist(), strict=True))
