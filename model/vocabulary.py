"""The model: a *vocabulary* is what a pretraining knows of its tokenizer: how many ids there are, which of them are special by role, and
which are *sentinels*, `<extra_id_0>` and on, which stand for spans that are cut out of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer

from schemas.artifact import Artifact


@dataclass(frozen=True)
class Vocabulary:
    """See the module."""

    size: int
    special: Mapping[str, int]
    """Id by role: bos, eos and pad at the least."""
    sentinels: tuple[int, ...] = ()
    """In the order in which they are used."""


def vocabulary_of(tokenizer: Artifact) -> Vocabulary:
    """That of a tokenizer artifact."""
    facts = tokenizer.facts("tokenizer")
    ids = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0])).get_vocab()
    sentinels: list[int] = []
    while (number := ids.get(f"<extra_id_{len(sentinels)}>")) is not None:
        sentinels.append(number)
    return Vocabulary(facts["vocab_size"], facts["special_tokens"], tuple(sentinels))
