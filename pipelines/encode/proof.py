"""The model: a *proof* compares an engine with the *reference*, Hugging Face `tokenizers`, by where they end pieces. Both are
given the tokenizer's own pattern and a vocabulary made for the purpose, whose ids show the boundaries that those of a trained
vocabulary would often hide.

    pattern       every string of up to four characters that stand for the classes a pattern tells apart; all of them are tokens
    code points   each one, when it first occurs in a text, beside letters, digits, spaces, an apostrophe and itself; what stands
                  side by side in one piece is merged into one token
    Han           for patterns that know letters as one class only, all ideographs at once: runs of them behind a letter

Patterns ask for classes that Unicode goes on assigning, and each engine has tables of its own age. A code point on which they
disagree is known before its document is encoded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.encode.seams import FIRST, LAST, byte_alphabet

UNKNOWN, SAME, DIFFERS, LETTER, HAN = 0, 1, 2, 4, 8
"""Flags of a code point: nothing known yet; the engines agree on it, or not; the reference calls it a letter; `seams` may cut at it."""

Encode = Callable[[Sequence[str]], list[list[int]]]
"""Ids of texts."""

_CLASSES = "aS'1. /\t\n\r好é"
_LONGEST = 4
_BEFORE, _AFTER = "aA1. \t'", "aA"

_HAN_RUN = 64
"""Ideographs of one run: the reference's time grows with the length of a piece."""

_SHOWN = {byte: character for character, byte in byte_alphabet().items()}
_LEADS, _TRAILS = range(0xC2, 0xF5), range(0x80, 0xC0)


def with_pieces(document: Mapping[str, Any], pieces: Iterable[str]) -> dict[str, Any]:
    """A `tokenizer.json` with another's pattern, in which each of `pieces` is a token, and all other pieces are single bytes."""
    vocabulary = {_SHOWN[byte]: byte for byte in range(256)}
    for piece in pieces:
        vocabulary.setdefault(piece.encode().decode("latin-1").translate(_SHOWN), len(vocabulary))
    return {**document, "model": {**document["model"], "vocab": vocabulary, "merges": [], "ignore_merges": True}}


def with_pairs(document: Mapping[str, Any]) -> dict[str, Any]:
    """A `tokenizer.json` with another's pattern that merges any character with what `_context` puts beside it, and nothing else."""
    ends, begins = [*range(0x80), *_TRAILS], [*range(0x80), *_LEADS]
    pairs = [(end, ord(after)) for after in _AFTER for end in ends]  # before the others: `'sa` then shows that `'s` is no piece
    pairs += [(ord(before), begin) for before in _BEFORE for begin in begins]
    pairs += [(end, begin) for end in _TRAILS for begin in _LEADS] + [(byte, byte) for byte in range(0x80)]
    merges = list(dict.fromkeys((_SHOWN[a], _SHOWN[b]) for a, b in pairs))
    vocabulary = {_SHOWN[byte]: byte for byte in range(256)} | {a + b: 256 + n for n, (a, b) in enumerate(merges)}
    return {**document, "model": {**document["model"], "vocab": vocabulary, "merges": merges, "ignore_merges": False}}


def _context(character: str) -> str:
    """A character beside all that tells its class."""
    lines = [*(before + character for before in _BEFORE), *(character + after for after in _AFTER)]
    return "\n".join([*lines, character + character, f"'{character}a", ""])


class Proof:
    """What is known of an engine for one pattern, growing with the code points that occur."""

    def __init__(self, reference: Mapping[str, Any], engine: Mapping[str, Any], open_engine: Callable[[str], Encode], letters: str) -> None:
        """`reference` and `engine` are one tokenizer as each of the two is given it; `letters` is the class that runs are made of."""
        self._documents, self._open_engine, self._letters = (reference, engine), open_engine, letters
        self._by_pairs = self._open(with_pairs)
        self.flags = np.zeros(0x110000, np.uint8)
        """By code point."""

    def holds_for_pattern(self) -> bool:
        """Whether both end pieces alike in every string of up to four characters of all classes."""
        strings = ["".join(characters) for n in range(1, _LONGEST + 1) for characters in product(_CLASSES, repeat=n)]
        reference, engine = self._open(lambda document: with_pieces(document, strings))
        return reference(strings) == engine(strings)

    def learn(self, codes: npt.NDArray[np.uint32]) -> None:
        """Compare the engines on code points (distinct, no surrogates) and set their flags."""
        characters = [chr(code) for code in codes.tolist()]
        expected, found = (encode([_context(character) for character in characters]) for encode in self._by_pairs)
        alike = np.array([a == b for a, b in zip(expected, found, strict=True)], bool)
        self.flags[codes] = np.where(alike, SAME, DIFFERS)
        self.flags[codes[alike & self._are_letters(characters)]] |= LETTER
        self.flags[codes[alike & (codes >= FIRST) & (codes <= LAST)]] |= HAN

    def learn_han(self) -> None:
        """Set the flags of all ideographs that `seams` may cut at, for a pattern in which nothing but a letter joins a letter before it.

        If in a run behind a letter everything is joined, for both engines, then all are letters to both, and letters are all alike
        to the pattern. What is in another run is left to `learn`.
        """
        codes = np.arange(FIRST, LAST + 1, dtype=np.uint32)
        runs = np.split(codes, range(_HAN_RUN, codes.size, _HAN_RUN))
        texts = ["a" + "".join(map(chr, run.tolist())) for run in runs]
        expected, found = (encode(texts) for encode in self._by_pairs)
        for run, a, b in zip(runs, expected, found, strict=True):
            if a == b and len(a) == 2 * run.size + 1:  # of 3 n + 1 bytes, n pairs are merged: each first byte with what is before it
                self.flags[run] = SAME | LETTER | HAN

    def _open(self, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> tuple[Encode, Encode]:
        """The reference and the engine with a changed tokenizer."""
        from tokenizers import Tokenizer

        reference, engine = (json.dumps(change(document)) for document in self._documents)
        library = Tokenizer.from_str(reference)
        return (
            lambda texts: [encoding.ids for encoding in library.encode_batch_fast(texts, add_special_tokens=False)],
            self._open_engine(engine),
        )

    def _are_letters(self, characters: Sequence[str]) -> npt.NDArray[np.bool_]:
        from tokenizers import Regex, pre_tokenizers

        letters = np.ones(len(characters), bool)
        others = pre_tokenizers.Split(Regex(self._letters), "removed").pre_tokenize_str("".join(characters))
        for _, (start, end) in others:
            letters[start:end] = False
        return letters
