"""The model: a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2) first splits a text by
`PATTERN` into *pieces* that no token crosses, then merges the bytes of a piece by rank. It is lossless: the bytes of the
tokens are the bytes of the text.

The pattern is Llama 3's (GPT-4's cl100k, digits in groups of at most three) with one change: a run of letters is cut
after `RUN` of them, so that text without spaces costs the same a byte as other text, however long it is. Han characters
are letters: Chinese words are learned from data, without a segmenter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RUN = 256

PATTERN = (
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}{{1,{RUN}}}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_ROLES = ("bos", "eos", "pad")
_TRAINING_CHARS = 2_048
"""Longest string that training sees: the trainer's time grows with merges times the length of one piece."""


def new_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer without a vocabulary."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str]) -> Tokenizer:
    """A tokenizer trained on `texts`, of at most `vocab_size` tokens; special tokens have the first ids.

    Counts decide, so neither the order of the texts nor the number of threads matters. Every byte has a token.
    """
    from tokenizers import pre_tokenizers, trainers

    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_strings(texts), trainer)
    return tokenizer


def special_roles(special_tokens: Sequence[str]) -> dict[str, str]:
    """Special token by role: the first three serve as `bos`, `eos` and `pad`, others by their own names."""
    return {(_ROLES[i] if i < len(_ROLES) else token): token for i, token in enumerate(special_tokens)}


def _strings(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.splitlines(keepends=True):
            for start in range(0, len(line), _TRAINING_CHARS):
                yield line[start : start + _TRAINING_CHARS]
