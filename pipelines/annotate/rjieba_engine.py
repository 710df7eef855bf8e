"""The model: Chinese words and tags by rjieba, a Rust port of jieba (dictionary, unigram path, HMM for unknown words);
`jieba_tags` maps its tags to Universal POS. A *sentence* ends at terminal punctuation with the quotes and brackets that
close behind it, and at a new line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from pipelines.annotate.columns import Annotations, columns_of
from pipelines.annotate.jieba_tags import AFTER_VERB, WHITE, Pieces, pieces_of
from pipelines.characters import JIEBA_CUTS, blocks, text_starts
from schemas.arrow import UPOS_CODE

VERSION = f"rjieba {version('rjieba')} map 1"

_SENTENCE_ENDS = re.compile(r"""(?:(?:[。！？…；｡]|[!?](?![A-Za-z0-9_&=/%]))+[”’」』）】》〉"')\]]*|\n)\s*""")
_CLAUSE_MAKERS = np.array([UPOS_CODE["VERB"], UPOS_CODE["ADJ"]], np.uint8)


class RjiebaEngine:
    """Chinese words, sentences and parts of speech; see the module."""

    version = VERSION

    def annotate(self, texts: Sequence[str]) -> Annotations:
        import rjieba

        memo: dict[tuple[str, str], Pieces] = {}
        pieces: list[tuple[int, int]] = []
        sentence_ends: list[int] = []
        for start, text in zip(text_starts(texts)[:-1].tolist(), texts, strict=True):
            for block in blocks(text, JIEBA_CUTS):
                for tagged in rjieba.tag(block):
                    found = memo.get(tagged)
                    if found is None:
                        found = memo[tagged] = pieces_of(*tagged)
                    pieces += found
            ends = [match.end() for match in _SENTENCE_ENDS.finditer(text)]
            if ends and text[: ends[0]].isspace():
                del ends[0]  # white space at the start of a text is part of its first sentence
            sentence_ends += [start + end for end in ends]
        table = np.array(pieces, np.int64).reshape(-1, 2)
        ends_of_pieces = np.cumsum(table[:, 0])
        kept = table[:, 1] != WHITE
        ends = ends_of_pieces[kept]
        starts = ends - table[kept, 0]
        pos = _resolve(table[kept, 1].astype(np.uint8), starts, text_starts(texts))
        return columns_of(texts, starts, ends, np.array(sentence_ends, np.int64), pos)


def _resolve(pos: np.ndarray, starts: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Give `的` its code by the word before it in the same text: SCONJ after a verb or adjective, else PART."""
    waiting = np.flatnonzero(pos == AFTER_VERB)
    before = np.maximum(waiting - 1, 0)
    text = np.searchsorted(bounds, starts, side="right")
    clause = (waiting > 0) & (text[before] == text[waiting]) & np.isin(pos[before], _CLAUSE_MAKERS)
    pos[waiting] = np.where(clause, UPOS_CODE["SCONJ"], UPOS_CODE["PART"])
    return pos
