"""The model: a *unigram language model* (Kudo 2018, arXiv:1804.10959) gives every *piece* a probability; a word's is the sum over
all ways to cut it into pieces. Training starts from many pieces and in turns *expects* how often each one is used, sets the
probabilities to that, and *prunes* the pieces whose loss costs least, until few enough are left.

Equal input gives equal bytes, on any machine and however many threads: words are put in order first, probabilities are
multiplied and added as they are (a word has at most `WORD_CHARS` characters, so nothing underflows), every sum has one order,
and logarithms are made of the four operations. The library's own trainer keeps words in a hash table that each process
seeds anew, so its scores differ from run to run, and it takes about half a minute of a core a megabyte of Chinese.

All words go side by side: sorted by length, those with k characters or more stand first, and step k extends them all.
Time: (unique characters) x `PIECE_CHARS`, some 20 times. Memory: 4 bytes each of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

WORD_CHARS = 32
"""Words are to be cut to so many characters."""

PIECE_CHARS = 16
"""SentencePiece's limit."""

UNIQUE_CHARS = 3_000_000
"""The most frequent words that together have so many characters are learned from; memory is about 150 times that."""

_SEEDS_A_PIECE = 10
_SHRINK = 0.75
_ROUNDS = 2
_FLOOR = 1e-9
"""Least probability of a character: to the power of `WORD_CHARS` it is still a normal number."""

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


def train_pieces(words: Mapping[str, int], alphabet: Sequence[str], size: int) -> list[tuple[str, float]]:
    """At most `size` pieces with the natural logarithms of their probabilities, the most probable first.

    `words` are counted and consist of characters of the `alphabet`, all of which become pieces.
    """
    corpus = _Corpus(words, alphabet)
    model = _Model(corpus, _SEEDS_A_PIECE * size)
    while True:
        for _ in range(_ROUNDS):
            model.expect_and_maximize()
        if model.size <= size:
            return model.pieces()
        model.prune(max(size, int(_SHRINK * model.size)))


class _Corpus:
    """Unique words as numbers of characters, longest first."""

    def __init__(self, words: Mapping[str, int], alphabet: Sequence[str]) -> None:
        chosen, room = [], UNIQUE_CHARS
        for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0])):
            if (room := room - len(word)) < 0:
                break
            chosen.append(word)
        chosen.sort(key=lambda word: (-len(word), word))
        self.alphabet = alphabet
        self.lengths = np.array([len(word) for word in chosen], np.int64)
        self.counts = np.array([words[word] for word in chosen], np.float64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        number = np.zeros(0x110000, np.int32)
        number[[ord(character) for character in alphabet]] = np.arange(len(alphabet))
        self.characters: Ints = number[np.frombuffer("".join(chosen).encode("utf-32-le"), np.uint32)]

    def longer_than(self, k: int) -> int:
        """How many words have more than `k` characters; they stand first."""
        return int(np.searchsorted(-self.lengths, -k))


class _Model:
    """The pieces left so far. Numbers of pieces: the alphabet's, then longer ones; `size` stands for no piece."""

    def __init__(self, corpus: _Corpus, seeds: int) -> None:
        self._corpus = corpus
        letters = len(corpus.alphabet)
        levels, frequencies, firsts = _substrings(corpus)
        lengths = np.concatenate([np.full(frequency.size, n + 1) for n, frequency in enumerate(frequencies)])
        weight = np.concatenate(frequencies) * lengths
        weight[:letters] = np.inf  # characters are always pieces
        chosen = np.sort(np.argsort(-weight, kind="stable")[: max(seeds, letters)])
        chosen = chosen[weight[chosen] > 0]
        self.size = chosen.size
        self._letters = letters
        self._lengths = lengths[chosen]
        self._first = np.concatenate(firsts)[chosen]
        """Where a piece stands in the corpus for the first time."""
        counts = np.concatenate(frequencies)[chosen]
        self._set(counts)
        number = np.full(weight.size + 1, self.size, np.int32)
        number[chosen] = np.arange(self.size)
        self._at: list[Ints] = []
        """By length less one: the piece at each character of the corpus."""
        offset = 0
        for level, frequency in zip(levels, frequencies, strict=True):
            self._at.append(number[np.where(level < 0, -1, level + offset)])
            offset += frequency.size
        self._index()

    def _index(self) -> None:
        """The piece that ends a word's first k characters and has a length, by k and length, for all words that long."""
        corpus, self._ending = self._corpus, list[list[Ints]]()
        for k in range(1, int(corpus.lengths.max(initial=0)) + 1):
            starts = corpus.starts[: corpus.longer_than(k - 1)]
            self._ending.append([self._at[n - 1][starts + (k - n)] for n in range(1, min(k, len(self._at)) + 1)])

    def expect_and_maximize(self) -> None:
        """One round of EM: probabilities become the shares of the expected counts."""
        p = np.append(self.probabilities, 0.0)
        corpus, ending = self._corpus, self._ending
        forward = [np.ones(corpus.lengths.size)]
        for k, by_length in enumerate(ending, 1):
            reached = np.zeros(by_length[0].size)
            for n, piece in enumerate(by_length, 1):
                reached += forward[k - n][: reached.size] * p[piece]
            forward.append(reached)
        backward = [np.zeros(reached.size) for reached in forward]
        for k in range(len(ending) + 1):
            end = slice(corpus.longer_than(k), backward[k].size)  # the words of k characters
            backward[k][end] = corpus.counts[end] / forward[k][end]
        expected = np.zeros(self.size + 1)
        for k in range(len(ending), 0, -1):
            for n, piece in enumerate(ending[k - 1], 1):
                onward = p[piece] * backward[k]
                backward[k - n][: piece.size] += onward
                expected += _weighed(piece, forward[k - n][: piece.size] * onward, self.size + 1)
        self._set(expected[:-1])

    def _set(self, counts: Floats) -> None:
        """Take over expected counts. A count of c is worth exp(digamma(c)), which favours few pieces (as SentencePiece does)."""
        self.counts = counts
        worth = np.where(counts > 0.5, counts - 0.5 + 1 / (24 * np.maximum(counts, 0.5)), 0.0)
        share = worth / max(_sum(worth), 1.0)
        share[: self._letters] = np.maximum(share[: self._letters], _FLOOR)
        self.probabilities = share

    def prune(self, size: int) -> None:
        """Keep the alphabet and the pieces whose absence would lower the corpus's likelihood most."""
        best = self._without_themselves()
        p = self.probabilities
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = np.where(p > best, self.counts * (log2(p) - log2(np.maximum(best, 1e-300))), 0.0)
        loss[: self._letters] = np.inf
        kept = np.sort(np.argsort(-loss, kind="stable")[: max(size, self._letters)])
        kept = kept[loss[kept] > 0]
        number = np.full(self.size + 1, kept.size, np.int32)
        number[kept] = np.arange(kept.size)
        self._at = [number[at] for at in self._at]
        self._first, self._lengths, self.size = self._first[kept], self._lengths[kept], kept.size
        self._set(self.counts[kept])
        self._index()

    def _without_themselves(self) -> Floats:
        """Of each piece, the probability of the best way to cut it into others."""
        p = np.append(self.probabilities, 0.0)
        best = [np.ones(self.size)]
        for k in range(1, len(self._at) + 1):
            longest = np.zeros(self.size)
            for n in range(1, k + 1):
                inside = np.flatnonzero((self._lengths >= k) & (self._lengths > n))
                way = best[k - n][inside] * p[self._at[n - 1][self._first[inside] + (k - n)]]
                longest[inside] = np.maximum(longest[inside], way)
            best.append(longest)
        return np.stack(best)[self._lengths, np.arange(self.size)]

    def pieces(self) -> list[tuple[str, float]]:
        characters = np.array(list(self._corpus.alphabet))
        codes = self._corpus.characters
        scores = np.round(log2(self.probabilities) * math.log(2), 6).tolist()
        texts = list(self._corpus.alphabet)
        for first, length in zip(self._first[self._letters :].tolist(), self._lengths[self._letters :].tolist(), strict=True):
            texts.append("".join(characters[codes[first : first + length]]))
        return sorted(((t, s) for t, s in zip(texts, scores, strict=True) if s > -math.inf), key=lambda item: (-item[1], item[0]))


def _substrings(corpus: _Corpus) -> tuple[list[npt.NDArray[np.int64]], list[Floats], list[npt.NDArray[np.int64]]]:
    """By length less one: the number of the substring at each character (-1: none that repeats), and by number how often it
    stands there (0: always inside the same longer one, so no use as a piece) and where first."""
    size, letters = corpus.characters.size, len(corpus.alphabet)
    of_word = np.repeat(np.arange(corpus.lengths.size), corpus.lengths)
    counts = corpus.counts[of_word]
    room = np.repeat(corpus.starts + corpus.lengths, corpus.lengths) - np.arange(size)
    level = corpus.characters.astype(np.int64)
    levels: list[npt.NDArray[np.int64]] = [level]
    frequencies: list[Floats] = [_weighed(level, counts, letters)]
    first = np.zeros(letters, np.int64)
    first[level[::-1]] = np.arange(size)[::-1]
    firsts = [first]
    for length in range(2, PIECE_CHARS + 1):
        after = np.append(level[1:], -1)
        at = np.flatnonzero((room >= length) & (level >= 0) & (after >= 0))
        if not at.size:
            break
        keys, where, number = np.unique(level[at] * frequencies[-1].size + after[at], return_index=True, return_inverse=True)
        frequency = _weighed(number, counts[at], keys.size)
        repeated = frequency > 1
        if length > 2:  # of equally frequent substrings the longer is the better piece; characters stay
            whole = frequencies[-1].copy()
            for inner in (keys // whole.size, keys % whole.size):
                frequencies[-1][inner[frequency == whole[inner]]] = 0
        renumbered = np.where(repeated, np.cumsum(repeated) - 1, -1)
        level = np.full(size, -1, np.int64)
        level[at] = renumbered[number]
        levels.append(level)
        frequencies.append(frequency[repeated])
        firsts.append(at[where][repeated])
    return levels, frequencies, firsts


def _weighed(numbers: npt.NDArray[np.integer], weights: Floats, size: int) -> Floats:
    """The sum of the weights of each number below `size`, in order."""
    return np.bincount(numbers, weights, size).astype(np.float64, copy=False)


def _sum(values: Floats) -> float:
    """Added up from first to last (numpy's own order of adding depends on the processor)."""
    return float(np.add.accumulate(values)[-1]) if values.size else 0.0


def log2(values: Floats) -> Floats:
    """Binary logarithm within 1e-13, of multiplications and additions alone, which are the same on every processor."""
    mantissa, exponent = np.frexp(values)
    z = (mantissa - math.sqrt(0.5)) / (mantissa + math.sqrt(0.5))
    square = z * z
    series = np.zeros_like(z)
    for n in range(21, 0, -2):
        series = series * square + 1 / n
    result: Floats = np.where(values > 0, exponent - 0.5 + 2 * z * series / math.log(2), -np.inf)
    return result
