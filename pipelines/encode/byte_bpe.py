"""The model: a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2) first splits a text by
a pattern into *pieces* that no token crosses, then merges the bytes of a piece by rank. It is lossless: the bytes of the
tokens are the bytes of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.encode.patterns import PATTERNS, RUN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["PATTERN", "RUN", "new_tokenizer", "train"]

PATTERN = PATTERNS["cl100k", "threes"].regex
"""The one that recipes use unless they say otherwise."""

_TRAINING_CHARS = 2_048
"""Texts are cut for training after about so many characters: the trainer's time grows with merges times the length of one piece."""

_CUT = re.compile(r"\n(?=\w)|(?<=\w)(?=[^\w'])")


def new_tokenizer(pattern: str = PATTERN) -> Tokenizer:
    """A byte-level BPE tokenizer without a vocabulary, that cuts by the regular expression `pattern`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str], pattern: str = PATTERN) -> Tokenizer:
    """A tokenizer trained on `texts`, of at most `vocab_size` tokens; special tokens have the first ids.

    Counts decide, so neither the order of the texts nor the number of threads matters. Every byte has a token.
    """
    from tokenizers import pre_tokenizers, trainers

    tokenizer = new_tokenizer(pattern)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_strings(texts), trainer)
    return tokenizer


def _strings(texts: Iterable[str]) -> Iterator[str]:
    """The texts in strings of bounded length, cut where most patterns end a piece if there is such a place."""
    for text in texts:
        start = 0
        while len(text) - start > 2 * _TRAINING_CHARS:
            found = _CUT.search(text, start + _TRAINING_CHARS, start + 2 * _TRAINING_CHARS)
            end = found.end() if found else start + _TRAINING_CHARS
            yield text[start:end]
            start = end
        yield text[start:]
