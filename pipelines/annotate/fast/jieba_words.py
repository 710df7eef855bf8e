"""The model: *jieba's words* are what rjieba cuts text into, each with the *tag* that its dictionary has for the word, as a number.

`rjieba.tag` makes three Python objects a word. But the tag is a function of the word alone (jieba-rs looks it up in the
dictionary; a word that isn't there is `eng`, `m` or `x` by its characters), so words are cut without tags, and tags are
remembered by word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.annotate.fast.hashing import Hashes, Indices

_MOST_WORDS = 1 << 17
"""Words whose tags are remembered."""

_LINE = "\n"
_SPACE = re.compile(r"\s")


class JiebaWords:
    """Words and tags of many texts; what was met before never shows."""

    def __init__(self) -> None:
        self._tags: dict[str, int] = {}

    def words(self, sequences: Sequence[str]) -> tuple[Indices, Hashes]:
        """Lengths of all words, in characters, which tile the sequences; and the tag of each, as its bytes (at most 7) in a number.

        No sequence has white space.
        """
        import rjieba

        # one call for all sequences: jieba takes text apart at new lines before it looks for words
        found = rjieba.cut(_LINE.join(sequences))
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        encoded = pa.array(found, pa.string()).dictionary_encode()
        types, spellings = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        if len(self._tags) + len(spellings) > _MOST_WORDS:
            self._tags.clear()
        is_word = types != (spellings.index(_LINE) if _LINE in spellings else -1)
        unknown = [number for number, word in enumerate(spellings) if word not in self._tags and word != _LINE]
        words = [spellings[number] for number in unknown]
        known = {word: tags[0] for word, tags in zip(words, tags_of(words), strict=True) if len(tags) == 1}
        # Now and then jieba's hidden Markov model makes a word that is taken apart when it stands by itself: look where it was found.
        hidden = np.array([number for number, word in zip(unknown, words, strict=True) if word not in known], np.int32)
        if hidden.size:
            at = np.flatnonzero(np.isin(types, hidden))
            _, first = np.unique(types[at], return_index=True)
            lines = np.unique(np.cumsum(~is_word)[at[first]])
            known |= rjieba.tag(_LINE.join(sequences[line] for line in lines.tolist()))
        self._tags |= {word: _number(tag) for word, tag in known.items()}
        tags = np.array([self._tags.get(word, 0) for word in spellings], np.uint64)
        if int(lengths[is_word].sum()) != sum(map(len, sequences)):
            raise ValueError("the dictionary's words do not add up to the text")
        return lengths[is_word], tags[types[is_word]]


def tags_of(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The tags of what jieba takes each word for by itself."""
    import rjieba

    if _SPACE.search("".join(words)):
        return [tuple(tag for _, tag in rjieba.tag(word)) for word in words]
    found: list[list[str]] = [[] for _ in words]
    number = 0
    for piece, tag in rjieba.tag(_LINE.join(words)):
        if piece == _LINE:
            number += 1
        else:
            found[number].append(tag)
    return [tuple(tags) for tags in found]


def _number(tag: str) -> int:
    return int.from_bytes(tag.encode()[:7], "little")
