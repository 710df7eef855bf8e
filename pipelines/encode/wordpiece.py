"""The model: a WordPiece tokenizer (Schuster and Nakajima 2012; as in BERT, arXiv:1810.04805) rewrites a text by BERT's rules,
splits it into words at white space and punctuation, with every Chinese character a word of its own, and takes the longest
known piece from the left; pieces inside a word begin with `##`. A word with no such pieces is unknown, and white space is
lost: it does not give a text back.

The library's trainer numbers the pieces `##x` in the order of a hash table that each process seeds anew, and that order
breaks ties between merges: two runs differ. Here they are numbered before it starts, and the order of ids is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.encode.alphabet import CharacterCounts, blank

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PREFIX = "##"
_WORD_CHARS = 100
"""A longer word is unknown, as in BERT."""

_GROUP = 1_000


def new_tokenizer(unk: str, lowercase: bool, vocabulary: dict[str, int] | None = None) -> Tokenizer:
    """A WordPiece tokenizer with a vocabulary or without."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordPiece(vocabulary or {}, unk_token=unk, max_input_chars_per_word=_WORD_CHARS, continuing_subword_prefix=_PREFIX)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=lowercase, lowercase=lowercase
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
    return tokenizer


def train(
    texts: Callable[[], Iterable[str]], vocab_size: int, special_tokens: Sequence[str], *, unk: str, lowercase: bool, coverage: float
) -> Tokenizer:
    """A tokenizer trained on what `texts()` gives, each time the same, of at most `vocab_size` tokens.

    Ids: special tokens, characters, `##` characters, then longer pieces in order of their merges.
    """
    from tokenizers import trainers

    bare = new_tokenizer(unk, lowercase)
    counts = CharacterCounts()
    for group in _groups(_normal(bare, texts())):
        counts.add(group)
    alphabet = counts.alphabet(coverage, vocab_size - len(special_tokens))
    rare = blank(alphabet)

    def known() -> Iterator[str]:
        return (rare.sub(" ", text) for text in _normal(bare, texts()))

    # Without room for merges the trainer collects the characters alone, those inside words with their prefix.
    probe = new_tokenizer(unk, lowercase)
    probe.train_from_iterator(known(), trainers.WordPieceTrainer(vocab_size=1, show_progress=False))
    inner = sorted(token for token in probe.get_vocab() if token.startswith(_PREFIX) and len(token) > len(_PREFIX))
    first = [*special_tokens, *alphabet, *inner]

    trained = new_tokenizer(unk, lowercase)
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=first, show_progress=False)
    trained.train_from_iterator(known(), trainer)
    vocabulary = sorted(trained.get_vocab().items(), key=lambda item: item[1])[:vocab_size]
    return new_tokenizer(unk, lowercase, {token: number for number, (token, _) in enumerate(vocabulary)})


def _normal(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[str]:
    return (tokenizer.normalizer.normalize_str(text) for text in texts)


def _groups(texts: Iterator[str]) -> Iterator[list[str]]:
    while group := list(itertools.islice(texts, _GROUP)):
        yield group
