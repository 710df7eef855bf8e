"""The model: the plain engine knows no language. A *word* is a run of letters, digits, marks and underscores, one Han
character, or one character of anything else but white space; a *sentence* is a line, with the blank lines behind it.
Parts of speech are null. It serves source code and languages that have no engine of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.annotate import GivenWord
from pipelines.annotate.columns import Annotations, columns_of, join
from pipelines.characters import DIGIT, LETTER, MARK, SPACE, classes_of

VERSION = f"plain 2 (unicode {unicodedata.unidata_version})"

_LINE_ENDS = re.compile(r"\n(?:[^\S\n]*\n)*(?:[^\S\n]+\Z)?")


class PlainEngine:
    """Words and sentences by character class; see the module."""

    version = VERSION

    def annotate(self, texts: pa.StringArray) -> Annotations:
        joined = join(texts)
        codes, bounds = joined.codes, joined.bounds
        classes = classes_of(codes)
        running = (classes == LETTER) | (classes == DIGIT) | (classes == MARK) | (codes == ord("_"))
        begins = classes != SPACE
        continues = np.zeros(codes.size, bool)
        continues[1:] = running[1:] & running[:-1]
        continues[bounds[:-1][bounds[:-1] < codes.size]] = False
        starts = np.flatnonzero(begins & ~continues)
        # a word ends before the next character that does not continue it
        stops = np.append(np.flatnonzero(~continues), codes.size)
        ends = stops[np.searchsorted(stops, starts, side="right")]
        sentence_ends = [
            start + match.end()
            for start, text in zip(bounds[:-1].tolist(), texts.to_pylist(), strict=True)
            for match in _LINE_ENDS.finditer(text)
        ]
        return columns_of(joined, starts, ends, np.array(sentence_ends, np.int64), None)

    def tag_words(self, sentences: Sequence[Sequence[GivenWord]]) -> None:
        """Null: the engine has no tags."""
