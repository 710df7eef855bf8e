"""The model: the *fast engine* annotates by rules and by weights that ship with this package, a batch at a time, on arrays: words
(`words`), Chinese words inside of runs of ideographs (`han`, or `dictionary` if the recipe wants its standard), sentences
(`sentences`), and parts of speech (`tagger`) for the languages that have weights; the others have null.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate import DEFAULT, GivenWord
from pipelines.annotate.columns import Annotations, Ints, Joined, columns_of, join, merged
from pipelines.annotate.fast import classes, dictionary
from pipelines.annotate.fast.han import HanSegmenter
from pipelines.annotate.fast.pieces import cut, groups, put_together
from pipelines.annotate.fast.sentences import first_words
from pipelines.annotate.fast.tagger import Tagger
from pipelines.annotate.fast.weights import SEGMENTER, TAGGER, languages, packaged, read_weights
from pipelines.annotate.fast.words import word_spans
from schemas.errors import RequestError

RULES = 1
"""Raised when the rules for words or sentences give something else."""

_CHINESE = "zh"


def version_of(lang: str, standard: str, weights: Path | None = None, *, pos: bool = True) -> str:
    """Versions of rules, Unicode, and of what else cuts and tags this language; for `DEFAULT` of all languages."""
    if not pos:
        return f"{version_of(lang, standard, weights)} without pos"
    parts = [f"fast {RULES} (unicode {unicodedata.unidata_version})"]
    if lang in (_CHINESE, DEFAULT):
        parts.append(f"{standard} words, {dictionary.VERSION}")
    paths = [weights] if weights else [packaged(each) for each in (languages() if lang == DEFAULT else [lang])]
    for path in paths:
        if path:
            opened = read_weights(path)
            parts.append(f"weights {opened.lang} {opened.digest}")
    return " ".join(parts)


class FastEngine:
    """Words, sentences and parts of speech of one language; see the module."""

    def __init__(self, lang: str, standard: str, path: Path | None = None, *, pos: bool = True) -> None:
        """`path` is a file of weights to use instead of those that ship. Raises `RequestError` if it holds none for this language."""
        self.version = version_of(lang, standard, path, pos=pos)
        self._lang = lang
        path = path or packaged(lang)
        weights = read_weights(path) if path else None
        if weights and weights.lang != lang:
            raise RequestError(f"{path}: holds weights of {weights.lang!r}, and is asked to annotate {lang!r}")
        self._tagger = Tagger(weights) if pos and weights and TAGGER in weights.nets else None
        self._segmenter: HanSegmenter | dictionary.DictionarySegmenter | None = None
        if weights and SEGMENTER in weights.nets and standard == "ud":
            self._segmenter = HanSegmenter(weights)
        elif lang == _CHINESE:
            self._segmenter = dictionary.DictionarySegmenter()

    def annotate(self, texts: pa.StringArray) -> Annotations:
        pieces, numbers = cut(texts)
        found = [self._annotate(group) for group in groups(pieces)] or [self._annotate(pieces)]
        return put_together(found, pieces, numbers)

    def _annotate(self, texts: pa.StringArray) -> Annotations:
        joined = join(texts)
        starts, ends = word_spans(joined.codes, joined.bounds, self._lang)
        if self._segmenter is not None:
            starts, ends = self._join_ideographs(joined, starts, ends)
        firsts, pos = self.sentences_and_tags(joined, starts, ends)
        return columns_of(joined, starts, ends, starts[firsts], pos)

    def sentences_and_tags(self, joined: Joined, starts: Ints, ends: Ints) -> tuple[Ints, npt.NDArray[np.uint8] | None]:
        """Which of these words (in characters) begin a sentence, but for the first of each text; and tags of all, if there is a tagger."""
        firsts = first_words(joined.codes, joined.bounds, starts, ends, self._lang)
        if self._tagger is None or not starts.size:
            return firsts, None if self._tagger is None else np.zeros(0, np.uint8)
        texts = np.searchsorted(starts, joined.bounds[1:])
        sentence_ends = merged(firsts, texts[texts > 0])
        return firsts, self._tagger.tag(joined.data, joined.to_bytes[starts], joined.to_bytes[ends], sentence_ends)

    def tag_words(self, sentences: Sequence[Sequence[GivenWord]]) -> npt.NDArray[np.uint8] | None:
        if self._tagger is None:
            return None
        words = [word for sentence in sentences for word in sentence]
        lengths = np.fromiter((len(word.form.encode()) for word in words), np.int64, len(words))
        gaps = np.fromiter((word.space_after for word in words), np.int64, len(words))
        starts = np.cumsum(lengths + gaps) - lengths - gaps
        data = np.frombuffer("".join(word.form + " " * word.space_after for word in words).encode(), np.uint8)
        counts = np.fromiter(map(len, sentences), np.int64, len(sentences))
        return self._tagger.tag(data, starts, starts + lengths, np.cumsum(counts[counts > 0]))

    def _join_ideographs(self, joined: Joined, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
        """Words, with those of one ideograph joined to their neighbours as the segmenter says."""
        assert self._segmenter is not None
        kinds = classes.table()[joined.codes[starts]]
        single = (kinds == classes.HAN) & (ends - starts == 1)
        open_ = single | ((kinds == classes.LETTER) | (kinds == classes.DIGIT)) & self._segmenter.joins_scripts
        touching = ends[:-1] == starts[1:]
        second = np.flatnonzero(touching & open_[1:] & open_[:-1] & (single[1:] | single[:-1])) + 1
        second = second[joined.bounds[np.searchsorted(joined.bounds, starts[second])] != starts[second]]
        inside = second[~self._segmenter.breaks(joined.codes, joined.bounds, starts[second])]
        return np.delete(starts, inside), np.delete(ends, inside - 1)
