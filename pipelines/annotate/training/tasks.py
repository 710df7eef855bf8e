"""The model: a *task* is what a net learns for a language: *tags* for words, or for characters whether a word *begins* there.
A *sequence* is what a net labels at once: the words of a sentence, or its characters. *Examples* are sequences as streams of
types (`pipelines.annotate.fast`), with a distribution over labels for each token as the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from pipelines.annotate.fast import char_features, word_features
from pipelines.annotate.fast.han import BEGINS
from pipelines.annotate.fast.hashing import Indices, Rows
from pipelines.annotate.fast.jieba_words import JiebaWords
from pipelines.annotate.fast.weights import SEGMENTER, TAGGER, Windows
from pipelines.annotate.fast.word_set import Bits
from schemas.arrow import UPOS, UPOS_CODE

Tokens = Sequence[str]
"""Words, or characters."""
Target = npt.NDArray[np.float32]
"""(tokens, labels), each row a distribution."""
Streams = tuple[Sequence[npt.NDArray[np.int32]], Sequence[Rows]]


@dataclass(frozen=True)
class Task:
    """What a net learns; the sizes of the student's streams are in their order."""

    name: str
    labels: int
    windows: Windows
    rows: tuple[int, ...]
    widths: tuple[int, ...]
    hidden: tuple[int, ...]
    channels: int
    context: int
    streams: Callable[[Sequence[Tokens]], Streams]


def tagging(lang: str) -> Task:
    """Universal POS tags for words."""

    def streams(sequences: Sequence[Tokens]) -> Streams:
        data = bytearray()
        starts, ends = [], []
        for words in sequences:
            for word in words:
                starts.append(len(data))
                data += word.encode()
                ends.append(len(data))
                data += b" "
        types, spellings = word_features.word_types(
            np.frombuffer(bytes(data), np.uint8), np.array(starts, np.int64), np.array(ends, np.int64)
        )
        return [types], [word_features.tagger_features(lang, spellings)]

    width = 40 if lang == "zh" else 64  # beside a segmenter there is less room
    return Task(TAGGER, len(UPOS), ((-2, -1, 0, 1, 2),), (word_features.TABLE_ROWS,), (width,), (64,), 80, 48, streams)


def segmenting(words: Bits) -> Task:
    """Where words begin in text without spaces; `words` is the word set."""
    rows = (char_features.CHAR_ROWS, char_features.PAIR_ROWS, char_features.ENTRY_ROWS, char_features.REACH_ROWS)
    windows = ((-3, -2, -1, 0, 1, 2, 3), (-3, -2, -1, 0, 1, 2), (-2, -1, 0, 1, 2), (-3, -2, -1, 0, 1, 2, 3))
    return Task(SEGMENTER, 2, windows, rows, (32, 32, 16, 8), (32, 32, 16, 8), 80, 40, partial(_character_streams, words=words))


def reading(words: Bits) -> Task:
    """Where words begin and what they are, both at once: label `BEGINS * tags + tag` for the first character of a word, `tag` for others.

    Only teachers do this: what a word is tells where it ends.
    """
    return replace(segmenting(words), name="reader", labels=2 * len(UPOS))


def _character_streams(sequences: Sequence[Tokens], words: Bits) -> Streams:
    found = char_features.char_keys(["".join(sequence) for sequence in sequences], words, JiebaWords())
    types, keys = zip(*map(char_features.typed, found), strict=True)
    return types, [rows(own) for own, rows in zip(keys, char_features.ROWS_OF, strict=True)]


def tag_target(tags: Sequence[str]) -> Target:
    """All weight on gold's tags."""
    return np.eye(len(UPOS), dtype=np.float32)[[UPOS_CODE[tag] for tag in tags]]


def word_target(words: Sequence[str]) -> Target:
    """All weight on gold's words: a row for each of their characters."""
    begins = np.zeros(sum(map(len, words)), np.int64)
    begins[np.cumsum([0, *map(len, words[:-1])])] = BEGINS
    return np.eye(2, dtype=np.float32)[begins]


def reading_target(words: Sequence[str], tags: Sequence[str]) -> Target:
    """All weight on gold's words and tags: a row for each character."""
    codes = np.repeat([UPOS_CODE[tag] for tag in tags], [len(word) for word in words])
    codes[np.cumsum([0, *map(len, words[:-1])])] += BEGINS * len(UPOS)
    return np.eye(2 * len(UPOS), dtype=np.float32)[codes]


def beginnings(reading: Target) -> Target:
    """The segmenter's part of what a reader says."""
    return reading.reshape(len(reading), 2, len(UPOS)).sum(2)


def tags_of(reading: Target, words: Sequence[str]) -> Target:
    """The tagger's part of it, for given words: the mean over each word's characters."""
    sizes = np.array([len(word) for word in words])
    tags = reading.reshape(len(reading), 2, len(UPOS)).sum(1)
    return (np.add.reduceat(tags, np.cumsum(sizes) - sizes) / sizes[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Examples:
    """Many sequences as flat arrays; sequence i is `starts[i]:ends[i]` of each."""

    types: Sequence[npt.NDArray[np.int32]]
    features: Sequence[Rows]
    starts: Indices
    ends: Indices
    targets: Target

    @classmethod
    def of(cls, task: Task, sequences: Sequence[Tokens], targets: Sequence[Target]) -> Examples:
        types, features = task.streams(sequences)
        sizes = np.array([len(sequence) for sequence in sequences], np.int64)
        ends = np.cumsum(sizes)
        return cls(types, features, ends - sizes, ends, np.concatenate(targets))

    def batches(self, tokens: int, rng: np.random.Generator, *, similar: bool = False) -> Iterator[Indices]:
        """Numbers of sequences in batches of about `tokens`, in random order; `similar` puts those of one length together."""
        sizes = self.ends - self.starts
        order = rng.permutation(sizes.size)
        if similar:
            order = order[np.argsort(sizes[order] + rng.integers(0, 4, sizes.size), kind="stable")]
        cuts = np.searchsorted(np.cumsum(sizes[order]), np.arange(tokens, sizes.sum(), tokens))
        found = [part for part in np.split(order, cuts) if part.size]
        for number in rng.permutation(len(found)):
            yield found[number]
