"""The model: a long text for a tokenizer that rewrites what it reads (WordPiece, Unigram) is cut into stretches, and each but the first
*overlaps* the one before by a character, its *context*: the tokens of the context are dropped. So what a tokenizer does at the beginning of
a text (a `▁` put before it) is done to the context, and the rest is encoded as it is inside of the whole.

Cuts are made where no token can cross, and neither normalizer nor pre-tokenizer looks across:

    letter or digit | space    before a single space that a letter or digit follows, all ASCII or Han: words end there
    Han | Han                  where the normalizer puts spaces around ideographs (BERT's)
    Han | Han at a seam        for Unigram: both are pieces of their own, and no piece holds the one before the other, so the best
                               segmentation has a boundary there

A Unigram's scores are sums of floating point numbers: of two segmentations that differ by less than a sum's last digits the whole text may
have had the other. Tokenizers that aren't made of known parts are run on whole texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

WORDPIECE_CHARS, UNIGRAM_CHARS = 1 << 12, 1 << 16
"""Characters of a stretch: the library takes longer a character for longer texts, and for WordPiece cuts are free."""

_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "StripAccents"})
"""Those that rewrite an ASCII or Han character whatever stands before it."""

_IN_WORDS = frozenset({"BertPreTokenizer", "Metaspace", "Whitespace", "WhitespaceSplit"})
"""Pre-tokenizers that end a piece at every space."""

_HAN = "\u4e00-\u9fa5"
_SPACE = f"(?<=[0-9A-Za-z{_HAN}])(?= [0-9A-Za-z{_HAN}])"
_IDEOGRAPHS = f"(?<=[{_HAN}])(?=[{_HAN}])"


class Overlaps(NamedTuple):
    """Where texts are cut for one tokenizer."""

    places: re.Pattern[str]
    pieces: frozenset[str] | None
    """Of a Unigram: ideographs that are pieces, and pairs of them that stand in one piece; None: ideographs may be parted anywhere."""
    chars: int
    """A stretch ends at the first place behind so many characters."""

    def stretches(self, text: str) -> Iterator[tuple[int, int, str]]:
        """A text in stretches: where each begins, how many characters of it are context, and the stretch."""
        start = context = 0
        while (cut := self._cut(text, start)) is not None:
            yield start, context, text[start:cut]
            start, context = cut - 1, 1
        yield start, context, text[start:]

    def _cut(self, text: str, start: int) -> int | None:
        if len(text) - start <= self.chars:
            return None
        places = (match.start() for match in self.places.finditer(text, start + self.chars))
        return next((at for at in places if text[at] == " " or self._parted(text[at - 1], text[at])), None)

    def _parted(self, left: str, right: str) -> bool:
        return self.pieces is None or (left in self.pieces and right in self.pieces and left + right not in self.pieces)


def overlaps_of(document: Mapping[str, Any]) -> Overlaps | None:
    """How texts are cut for a `tokenizer.json`; None: not at all."""
    normalizers, pre_tokenizers = _parts(document["normalizer"], "normalizers"), _parts(document["pre_tokenizer"], "pretokenizers")
    model, names = document["model"], {part["type"] for part in pre_tokenizers}
    whole_words = names and names <= _IN_WORDS and all(part.get("split", True) for part in pre_tokenizers)
    known = {part["type"] for part in normalizers} <= _NORMALIZERS
    plain = all(token["special"] for token in document["added_tokens"])
    if not (whole_words and known and plain and model["type"] in ("WordPiece", "Unigram")):
        return None
    anywhere = re.compile(f"{_SPACE}|{_IDEOGRAPHS}")
    if model["type"] == "Unigram":
        return Overlaps(anywhere, _han_pieces([piece for piece, _ in model["vocab"]]), UNIGRAM_CHARS)
    parted = any(part.get("handle_chinese_chars") for part in normalizers)
    return Overlaps(anywhere if parted else re.compile(_SPACE), None, WORDPIECE_CHARS)


def _parts(part: Mapping[str, Any] | None, members: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    return list(part[members]) if part["type"] == "Sequence" else [part]


def _han_pieces(pieces: list[str]) -> frozenset[str]:
    is_han = re.compile(f"[{_HAN}]").fullmatch
    alone = {piece for piece in pieces if len(piece) == 1 and is_han(piece)}
    together = {a + b for piece in pieces for a, b in pairwise(piece) if is_han(a) and is_han(b)}
    return frozenset(alone | together)
