"""The model: *evaluating* an engine is to annotate the raw text of gold files and to score what comes out; then to tag gold's own words,
if the engine can tag words that it is given; and to count the words that it annotates in a second.

The *speed* is end to end, from an Arrow array of texts to columns: one pass over all texts warms up, then passes are timed, at
least three and for at least a second, and the fastest counts. Words are those that the engine finds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.annotate import Annotations, AnnotatorEngine, GivenWord, open_annotator
from pipelines.annotate.conllu import UNSPACED, Sentence, gold_texts, read
from pipelines.annotate.scores import Scores, compare, of_gold, of_system
from schemas.arrow import UPOS, UPOS_CODE
from schemas.errors import RequestError
from schemas.recipe import Annotator

_ROUNDS, _SECONDS = 3, 1.0


class Evaluation(NamedTuple):
    """Metrics of one engine on gold files."""

    engine: str
    """Its version."""
    words: int
    """Gold's."""
    sentences: int
    """Gold's."""
    sentence_f1: float
    word_f1: float
    upos_f1: float | None
    """Null from an engine without tags, as is the next."""
    upos_accuracy: float | None
    """Share of gold's words with gold's tag, when given gold's words and sentences; null from engines that can't tag given words."""
    words_per_second: float


def evaluate(paths: Sequence[Path], lang: str, settings: Annotator) -> Evaluation:
    """Evaluate the engine of `settings` for `lang` on gold files. Raises `RequestError` naming a file that isn't CoNLL-U."""
    gold: list[tuple[Path, str, list[Sentence]]] = []
    for path in paths:
        documents = gold_texts(list(read(path)), lang)
        if not documents:
            raise RequestError(f"{path}: not a CoNLL-U file: there is no sentence in it")
        gold += [(path, *document) for document in documents]
    engine = open_annotator(settings, lang)
    texts = pa.array([text for _, text, _ in gold], pa.string())
    found = engine.annotate(texts)
    scores = Scores()
    for (path, text, sentences), analysis in zip(gold, _analyses(texts.to_pylist(), found), strict=True):
        try:
            scores += compare(of_gold(sentences), of_system(text, *analysis))
        except ValueError as error:
            raise RequestError(f"{path}: '# text' and tokens differ, so there is no raw text to annotate") from error
    return Evaluation(
        engine.version,
        scores.words.gold,
        scores.sentences.gold,
        scores.sentences.f1,
        scores.words.f1,
        scores.upos.f1 if found.pos.null_count == 0 else None,
        _accuracy(engine, [sentence for _, _, sentences in gold for sentence in sentences], lang),
        _speed(engine, texts, len(found.word_starts.flatten())),
    )


def _analyses(texts: Sequence[str], found: Annotations) -> Iterator[tuple[list[tuple[int, int, str | None]], list[int]]]:
    """Words (start, end, tag) and sentence ends of each text, in characters."""
    for text, *columns in zip(texts, *(column.to_pylist() for column in found), strict=True):
        ends, starts, stops, pos = columns
        at = np.frombuffer(text.encode(), np.uint8) & 0xC0 != 0x80
        characters = np.append(0, np.cumsum(at))  # how many begin before each byte
        spans = characters[np.array([starts, stops], np.int64)].tolist()
        tags = [None] * len(starts) if pos is None else [UPOS[code] for code in pos]
        yield list(zip(*spans, tags, strict=True)), characters[np.array(ends, np.int64)].tolist()


def _accuracy(engine: AnnotatorEngine, sentences: Sequence[Sentence], lang: str) -> float | None:
    codes = engine.tag_words([given_words(sentence, lang) for sentence in sentences])
    if codes is None:
        return None
    gold = [word.upos and UPOS_CODE[word.upos] for sentence in sentences for token in sentence.tokens for word in token.words]
    return sum(a == b for a, b in zip(gold, codes.tolist(), strict=True)) / len(gold)


def given_words(sentence: Sentence, lang: str) -> list[GivenWord]:
    """A sentence's words, with a space behind each that has one in the text. If the words of a multiword token aren't pieces of it
    (French `au`: `à le`), spaces are put between them.
    """
    words = []
    for token in sentence.tokens:
        gap = token.space_after and lang not in UNSPACED
        whole = "".join(word.form for word in token.words) == token.form
        words += [GivenWord(word.form, not whole) for word in token.words[:-1]]
        words.append(GivenWord(token.words[-1].form, gap))
    return words


def _speed(engine: AnnotatorEngine, texts: pa.StringArray, words: int) -> float:
    times: list[float] = []
    while len(times) < _ROUNDS or sum(times) < _SECONDS:
        start = time.perf_counter()
        engine.annotate(texts)
        times.append(time.perf_counter() - start)
    return words / min(times)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """For `--json`: shares rounded to four digits, the speed to whole words."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in evaluation._asdict().items()}
    return {**rounded, "words_per_second": round(evaluation.words_per_second)}
