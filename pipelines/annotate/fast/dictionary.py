"""The model: jieba's *dictionary* says where words begin inside of a run of ideographs (unigram path, HMM for unknown words), through
rjieba; all runs of a batch go through it together, a line each. A run longer than `LONGEST_RUN` is cut into lines of that length:
what comes back is one Python string a word, and never exists for all of a huge text at once.
"""

from __future__ import annotations

import re
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from pipelines.characters import blocks

VERSION = f"rjieba {version('rjieba')}"

LONGEST_RUN = 1 << 16

_LINE = ord("\n")
_LINES = re.compile("\n")


class DictionarySegmenter:
    """Where words begin, by the dictionary; see the module."""

    version = VERSION
    joins_scripts = False
    """It has no say between an ideograph and a letter or digit: they are two words."""

    def breaks(
        self, codes: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Whether a word begins at each candidate: increasing positions whose character and the one before are ideographs of one of the
        texts that `codes` are and `bounds` part.
        """
        import rjieba

        if not candidates.size:
            return np.zeros(0, np.bool_)
        number = np.arange(candidates.size)
        new_run = np.diff(candidates, prepend=-1) > 1
        in_run = number - np.maximum.accumulate(np.where(new_run, number, 0)) + 1
        new_line = in_run % LONGEST_RUN == 0
        # before the first candidate of a run go a line's end and the run's first character, before a new line a line's end
        place = number + np.cumsum(2 * new_run + new_line)
        lines = np.full(int(place[-1]) + 1, _LINE, np.uint32)
        lines[place] = codes[candidates]
        lines[place[new_run] - 1 - new_line[new_run]] = codes[candidates[new_run] - 1]
        begins = np.zeros(lines.size + 1, np.bool_)
        at = 0
        for block in blocks(lines.tobytes().decode("utf-32-le"), _LINES):
            words = rjieba.cut(block)
            ends = at + np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
            begins[ends] = True
            at += len(block)
        return begins[place]
