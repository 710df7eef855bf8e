"""The model: *evaluating* an engine is to annotate the raw text of gold files and to score what comes out; then to tag gold's own words,
if the engine can tag words that it is given; and to count the words that it annotates in a second.

The *speed* is end to end, from an Arrow array of texts to columns, on some processes at once, as a run has workers: each annotates
all texts in every round, and begins it together with the others. The first round warms up, then rounds are timed, at least three and
for at least a second, and the fastest counts. Words are those that the engine finds, by all processes.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.annotate import Annotations, AnnotatorEngine, GivenWord, open_annotator
from pipelines.annotate.conllu import UNSPACED, Sentence, gold_texts, read
from pipelines.annotate.scores import Scores, compare, of_gold, of_system
from pipelines.workers import become_worker
from schemas.arrow import UPOS, UPOS_CODE
from schemas.errors import RequestError
from schemas.recipe import Annotator

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

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
    """All processes together."""
    processes: int


def evaluate(paths: Sequence[Path], lang: str, settings: Annotator, processes: int) -> Evaluation:
    """Evaluate the engine of `settings` for `lang` on gold files, its speed on so many processes.

    Raises `RequestError` naming a file that isn't CoNLL-U.
    """
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
        _speed(settings, lang, texts, _rounds(engine, texts), processes),
        processes,
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


def _rounds(engine: AnnotatorEngine, texts: pa.StringArray) -> int:
    """How many rounds are enough; the engine is warm."""
    start = time.perf_counter()
    engine.annotate(texts)
    return max(_ROUNDS, math.ceil(_SECONDS / (time.perf_counter() - start)))


def _speed(settings: Annotator, lang: str, texts: pa.StringArray, rounds: int, processes: int) -> float:
    """Words a second in the fastest round, all processes together. Raises `EOFError` if one of them dies."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes)
    answers = []
    for _ in range(processes):
        answer, told = context.Pipe(duplex=False)
        context.Process(target=_tell_speeds, args=(os.getpid(), told, start, settings, lang, texts, rounds)).start()
        told.close()  # so that the death of the process, which has the other copy, ends the wait
        answers.append(answer)
    try:
        return float(max(map(sum, zip(*(answer.recv() for answer in answers), strict=True))))
    except EOFError:
        start.abort()
        raise


def _tell_speeds(parent: int, told: Connection, start: Barrier, settings: Annotator, lang: str, texts: pa.StringArray, rounds: int) -> None:
    """Send the words a second of this process in each round."""
    become_worker(parent)
    engine = open_annotator(settings, lang)
    words = len(engine.annotate(texts).word_starts.flatten())
    speeds = []
    for _ in range(rounds):
        start.wait()
        before = time.perf_counter()
        engine.annotate(texts)
        speeds.append(words / (time.perf_counter() - before))
    told.send(speeds)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """For `--json`: shares rounded to four digits, the speed to whole words."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in evaluation._asdict().items()}
    return {**rounded, "words_per_second": round(evaluation.words_per_second)}
