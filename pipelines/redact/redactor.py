"""The model: a *kind* is what a value is: a secret, an e-mail address, an identity number, a card, an Internet address, a
telephone number. *Redaction* replaces each value by the *placeholder* of its kind. The kinds take turns in this order, and what
one has found the next never sees: a number is a card before it is a telephone.

A placeholder is a boundary for what stands beside it, and so is what was found, while others are looked for: a redacted text
has nothing left to redact, whatever stood side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.redact.addresses import find_emails, find_internet_addresses
from pipelines.redact.credentials import find_secrets
from pipelines.redact.haystack import Haystack, Ints, Span
from pipelines.redact.numbers import find_cards, find_id_cards
from pipelines.redact.phones import find_phones

Finder = Callable[[Haystack], Iterator[Span]]

FINDERS: Mapping[str, Finder] = {
    "secret": find_secrets,
    "email": find_emails,
    "id_card": find_id_cards,
    "card": find_cards,
    "ip": find_internet_addresses,
    "phone": find_phones,
}


class Found(NamedTuple):
    """Values that were found, in order; all arrays have one length and no two values overlap."""

    rows: Ints
    starts: Ints
    """Byte offset of the first byte in the row's text, as UTF-8."""
    ends: Ints
    kinds: Sequence[str]


class Redacted(NamedTuple):
    """Texts with placeholders."""

    texts: pa.StringArray
    counts: dict[str, Ints]
    """Values that were replaced, by kind, one a row."""
    sizes: dict[str, Ints]
    """Their UTF-8 bytes."""


def find(texts: pa.StringArray, kinds: Sequence[str]) -> Found:
    """All values of some kinds in texts.

    A value that was found can set another free, as the number does in `a@b.com110105...`: rows with values are looked
    through again, with what was found blotted out, until there is nothing more.
    """
    found = _look(texts, kinds)
    rows = np.unique(found.rows)
    while rows.size:
        more = _look(_blotted(texts, rows, found), kinds)
        found = _in_order(found, more._replace(rows=rows[more.rows]))
        rows = rows[np.unique(more.rows)]
    return found


def _look(texts: pa.StringArray, kinds: Sequence[str]) -> Found:
    """One turn of each kind."""
    haystack = Haystack(texts)
    spans: list[tuple[int, int, str]] = []
    for kind, finder in FINDERS.items():
        if kind not in kinds:
            continue
        for start, end in finder(haystack):
            haystack.mask(start, end)
            spans.append((start, end, kind))
    spans.sort()
    starts, ends = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    return Found(*haystack.places(starts, ends), [kind for _, _, kind in spans])


def _blotted(texts: pa.StringArray, rows: Ints, found: Found) -> pa.StringArray:
    """Some of the texts, with NUL for every byte of what was found."""
    blotted = []
    for row in rows.tolist():
        text = bytearray(texts[row].as_buffer())
        low, high = np.searchsorted(found.rows, (row, row + 1)).tolist()
        for start, end in zip(found.starts[low:high].tolist(), found.ends[low:high].tolist(), strict=True):
            text[start:end] = bytes(end - start)
        blotted.append(text.decode())
    return pa.array(blotted, pa.string())


def _in_order(*parts: Found) -> Found:
    rows, starts, ends = (np.concatenate([part[column] for part in parts]) for column in range(3))
    kinds = [kind for part in parts for kind in part.kinds]
    order = np.lexsort((starts, rows))
    return Found(rows[order], starts[order], ends[order], [kinds[at] for at in order])


def redact(texts: pa.StringArray, placeholders: Mapping[str, str]) -> Redacted:
    """Replace the values of the kinds that have a placeholder. Rows without any are handed on as they are."""
    rows, starts, ends, kinds = find(texts, list(placeholders))
    zeros = np.zeros(len(texts), np.int64)
    counts, sizes = ({kind: zeros.copy() for kind in placeholders} for _ in range(2))
    if not rows.size:
        return Redacted(texts, counts, sizes)
    marks = {kind: mark.encode() for kind, mark in placeholders.items()}
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    changed = []
    for low, high in zip(first.tolist(), [*first[1:].tolist(), rows.size], strict=True):
        row = int(rows[low])
        whole = texts[row].as_buffer().to_pybytes()
        pieces: list[bytes] = []
        done = 0
        for at in range(low, high):
            start, end, kind = int(starts[at]), int(ends[at]), kinds[at]
            pieces += (whole[done:start], marks[kind])
            done = end
            counts[kind][row] += 1
            sizes[kind][row] += end - start
        changed.append(b"".join((*pieces, whole[done:])).decode())
    mask = np.zeros(len(texts), np.bool_)
    mask[rows] = True
    return Redacted(pc.replace_with_mask(texts, pa.array(mask), pa.array(changed, pa.string())), counts, sizes)
