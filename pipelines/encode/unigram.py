"""The model: a Unigram tokenizer (Kudo 2018, arXiv:1804.10959; as SentencePiece makes it and T5 uses it) rewrites a text (NFKC,
white space becomes single spaces), writes spaces as `▁` in front of words, and cuts each word into the most probable pieces.
A character without a piece becomes its UTF-8 bytes (`<0xE4>`), or else is unknown. It gives the rewritten text back, not the original.

No piece crosses from one script to another, or between letters, digits and punctuation (as in SentencePiece's default).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.encode.alphabet import CharacterCounts, blank
from pipelines.encode.unigram_trainer import WORD_CHARS, train_pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

SPACE = "▁"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))

_NEVER = -1_000.0
"""Score of special tokens and bytes: the model must not find them in text that happens to read like them."""

_HAN = "々〇ぁ-ヿ㐀-䶿一-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PUNCTUATION = "!-/:-@\\[-`{-~\u2000-\u206f\u3000-\u3004\u3006\u3008-\u303f\uff00-\uff0f"
_RUN = re.compile(f"{SPACE}?(?:[{_HAN}]+|[0-9]+|[{_PUNCTUATION}]+|[^0-9{_HAN}{_PUNCTUATION}{SPACE}]+)|{SPACE}")

_GROUP = 1_000


def new_tokenizer(vocabulary: Sequence[tuple[str, float]], unk: str, byte_fallback: bool) -> Tokenizer:
    """A Unigram tokenizer with these pieces and scores."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    unk_id = next(number for number, (piece, _) in enumerate(vocabulary) if piece == unk)
    tokenizer = Tokenizer(models.Unigram(list(vocabulary), unk_id=unk_id, byte_fallback=byte_fallback))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")]
    )
    metaspace = decoders.Metaspace(SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), metaspace]) if byte_fallback else metaspace
    return tokenizer


def _normalizer() -> Normalizer:
    from tokenizers import normalizers

    return normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])


def train(
    texts: Callable[[], Iterable[str]], vocab_size: int, special_tokens: Sequence[str], *, unk: str, byte_fallback: bool, coverage: float
) -> Tokenizer:
    """A tokenizer trained on what `texts()` gives, each time the same, of at most `vocab_size` tokens.

    Ids: special tokens, bytes, then pieces from the most probable on.
    """
    normalizer = _normalizer()

    def normal() -> Iterator[str]:
        return (normalizer.normalize_str(text).replace(SPACE, " ") for text in texts())

    counts = CharacterCounts()
    for group in _groups(normal()):
        counts.add(group)
    first = [*special_tokens, *(BYTES if byte_fallback else ())]
    # With the characters of `first` as pieces, text that reads like one of these tokens has a better way to be cut.
    always = {SPACE, *normalizer.normalize_str("".join(first))} - {" "}
    alphabet = sorted(always.union(counts.alphabet(coverage, vocab_size - len(first) - len(always))))
    rare = blank(alphabet)
    words: Counter[str] = Counter()
    for text in normal():
        words.update(run for word in rare.sub(" ", text).split() for run in _RUN.findall(SPACE + word))
    cut: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(0, len(word), WORD_CHARS):
            cut[word[start : start + WORD_CHARS]] += count
    pieces = train_pieces(cut, alphabet, vocab_size - len(first))
    return new_tokenizer([*((token, _NEVER) for token in first), *(p for p in pieces if p[0] not in first)], unk, byte_fallback)


def _groups(texts: Iterator[str]) -> Iterator[list[str]]:
    while group := list(itertools.islice(texts, _GROUP)):
        yield group
