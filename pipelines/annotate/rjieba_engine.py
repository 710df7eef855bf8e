"""The model: Chinese words and tags by rjieba, a Rust port of jieba (dictionary, unigram path, HMM for unknown words);
`jieba_tags` maps its tags to Universal POS.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from pipelines.annotate import GivenWord
from pipelines.annotate.chinese_sentences import sentence_ends as sentence_ends_of
from pipelines.annotate.columns import Annotations, columns_of, join
from pipelines.annotate.jieba_tags import AFTER_VERB, WHITE, Pieces, pieces_of
from pipelines.characters import JIEBA_CUTS, blocks
from schemas.arrow import UPOS_CODE

VERSION = f"rjieba {version('rjieba')} map 1"
_CLAUSE_MAKERS = np.array([UPOS_CODE["VERB"], UPOS_CODE["ADJ"]], np.uint8)


class RjiebaEngine:
    """Chinese words, sentences and parts of speech; see the module."""

    version = VERSION

    def annotate(self, texts: pa.StringArray) -> Annotations:
        import rjieba

        joined = join(texts)
        memo: dict[tuple[str, str], Pieces] = {}
        pieces: list[tuple[int, int]] = []
        sentence_ends: list[int] = []
        for start, text in zip(joined.bounds[:-1].tolist(), texts.to_pylist(), strict=True):
            for block in blocks(text, JIEBA_CUTS):
                for tagged in rjieba.tag(block):
                    found = memo.get(tagged)
                    if found is None:
                        found = memo[tagged] = pieces_of(*tagged)
                    pieces += found
            sentence_ends += [start + end for end in sentence_ends_of(text)]
        table = np.array(pieces, np.int64).reshape(-1, 2)
        ends_of_pieces = np.cumsum(table[:, 0])
        kept = table[:, 1] != WHITE
        ends = ends_of_pieces[kept]
        starts = ends - table[kept, 0]
        pos = _resolve(table[kept, 1].astype(np.uint8), starts, joined.bounds)
        return columns_of(joined, starts, ends, np.array(sentence_ends, np.int64), pos)

    def tag_words(self, sentences: Sequence[Sequence[GivenWord]]) -> None:
        """Null: jieba tags what it has cut itself."""


def _resolve(pos: np.ndarray, starts: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Give `的` its code by the word before it in the same text: SCONJ after a verb or adjective, else PART."""
    waiting = np.flatnonzero(pos == AFTER_VERB)
    before = np.maximum(waiting - 1, 0)
    text = np.searchsorted(bounds, starts, side="right")
    clause = (waiting > 0) & (text[before] == text[waiting]) & np.isin(pos[before], _CLAUSE_MAKERS)
    pos[waiting] = np.where(clause, UPOS_CODE["SCONJ"], UPOS_CODE["PART"])
    return pos
