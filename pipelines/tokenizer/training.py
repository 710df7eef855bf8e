"""The model: *training* makes a tokenizer of the recipe's kind with its family's special tokens, the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipelines.encode import byte_bpe, unigram, wordpiece
from pipelines.encode.patterns import PATTERNS
from pipelines.tokenizer.families import add_special_tokens, family_of, sentinels, special_tokens
from schemas.errors import RequestError
from schemas.recipe import Tokenizer as Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LEAST = {"byte_bpe": 256, "wordpiece": 64, "unigram": 320}
"""Tokens that a kind needs besides special ones: bytes, and for unigram the characters that these are written with."""


def train(settings: Settings, texts: Callable[[], Iterable[str]]) -> Tokenizer:
    """A tokenizer of at most `vocab_size` ids. `texts()` gives the sample, once more at each call.

    Raises `RequestError` if the special tokens leave no room for others, or if text could be taken for one of them.
    """
    tokens, more = special_tokens(settings), sentinels(settings)
    first = list(tokens.values())
    size = settings.vocab_size - len(more)
    needed = len(first) + _LEAST[settings.kind]
    if size < needed:
        raise RequestError(f"tokenizer.vocab_size {settings.vocab_size} has no room: special tokens and bytes take {needed + len(more)}")
    if settings.kind == "byte_bpe":
        pattern = PATTERNS[settings.pre_tokenizer or "cl100k", settings.digits or "threes"].regex
        tokenizer = byte_bpe.train(texts(), size, first, pattern)
    elif settings.kind == "wordpiece":
        coverage, unk = settings.character_coverage, tokens["unk"]
        tokenizer = wordpiece.train(texts, size, first, unk=unk, lowercase=settings.lowercase, coverage=coverage)
    else:
        coverage, unk = settings.character_coverage, tokens["unk"]
        tokenizer = unigram.train(texts, size, first, unk=unk, byte_fallback=settings.byte_fallback, coverage=coverage)
    for role, token in tokens.items():
        if settings.kind != "unigram" and len(tokenizer.pre_tokenizer.pre_tokenize_str(token)) < 2:
            raise RequestError(
                f"tokenizer.special_tokens.{role}: {token!r} can stand in text as a word; write it like <|{token.strip('<|>')}|>"
            )
    add_special_tokens(tokenizer, family_of(settings), tokens, more)
    return tokenizer
