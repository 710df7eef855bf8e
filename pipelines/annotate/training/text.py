"""The model: *plain text* is what teachers label for the student to learn from, a paragraph a line; it becomes *sequences* by
the fast engine's own rules, so that the student sees words as it will get them.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.annotate.fast.engine import FastEngine
from pipelines.characters import HAN, classes_of, codes_of
from schemas.errors import RequestError

_SENTENCE = re.compile(r"[^。！？\n]+[。！？]*")
_SHORTEST, _LONGEST = 4, 150
"""Characters of a sequence without spaces; longer ones are cut, shorter ones left out."""

_LINES = 2_000
"""Lines that are annotated at once."""


def read_lines(paths: Sequence[Path]) -> list[str]:
    """Lines of UTF-8 files, plain or `.gz`, that are not blank. Raises `RequestError` naming a file that isn't."""
    lines: list[str] = []
    for path in paths:
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            lines += [line.strip() for line in data.decode().split("\n") if line.strip()]
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise RequestError(f"{path}: is not a text file in UTF-8: {error}") from error
    return lines


def word_sequences(lines: Sequence[str], lang: str) -> list[tuple[str, ...]]:
    """The words of each sentence."""
    engine = FastEngine(lang, "ud")
    found = []
    for start in range(0, len(lines), _LINES):
        some = pa.array(lines[start : start + _LINES], pa.string())
        made = engine.annotate(some)
        columns = (column.to_pylist() for column in (made.sentence_ends, made.word_starts, made.word_ends))
        for line, ends, starts, stops in zip(some.to_pylist(), *columns, strict=True):
            data = line.encode()
            cuts = np.searchsorted(starts, ends)
            for first, last in pairwise([0, *cuts.tolist()]):
                words = tuple(data[s:e].decode() for s, e in zip(starts[first:last], stops[first:last], strict=True))
                if words:
                    found.append(words)
    return found


def character_sequences(lines: Sequence[str]) -> list[str]:
    """Sentences of Chinese text without their white space."""
    return list(_sentences(lines))


def _sentences(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        for match in _SENTENCE.finditer(line):
            text = "".join(match[0].split())
            if (classes_of(codes_of(text)) == HAN).any():
                for start in range(0, len(text), _LONGEST):
                    if len(text) - start >= _SHORTEST:
                        yield text[start : start + _LONGEST]
