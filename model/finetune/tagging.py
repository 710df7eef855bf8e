"""The model: *tagging* gives each word of a sentence a tag. A word is told by the state of its first token; what a word's other tokens
say is neither learned nor asked.

Words are read as they would stand in a text: with a space before them, unless either neighbour is written without spaces. Words that
`max_tokens` leaves no room for are not learned, and answered with `O`, or the commonest tag if there is no `O`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from tokenizers import Encoding
from torch import Tensor
from torch.nn import functional as F

from model.examples import Tagged
from model.finetune.heads import Purpose
from model.finetune.kinds import Forward, Said, in_order, scored
from model.finetune.reading import Reading
from model.finetune.samples import NOTHING, Batch, Sample
from model.metrics.writing import CHARACTER

OUTSIDE = "O"
_CHARACTER = re.compile(CHARACTER)


class Tagging:
    """See the module and `model.finetune.kinds`."""

    purpose: Purpose = "tokens"

    def __init__(self, reading: Reading, labels: Sequence[str]) -> None:
        """`labels`: the commonest first, if `O` is none of them."""
        self.reading, self.labels = reading, tuple(labels)
        self._number = {label: number for number, label in enumerate(labels)}
        self._unread = OUTSIDE if OUTSIDE in labels else labels[0]

    def samples(self, examples: Sequence[Tagged]) -> list[Sample]:
        found = []
        for example, encoding in zip(examples, self._read(examples), strict=True):
            target = [NOTHING] * len(encoding.ids)
            for word, token in enumerate(first_tokens(encoding, len(example.words))):
                if token is not None:
                    target[token] = self._number[example.tags[word]]
            if any(number != NOTHING for number in target):  # a batch of which nothing is wanted has no mean loss
                found.append(Sample.of(encoding, target))
        return found

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        logits = model(batch.ids, batch.types, batch.lengths)[:, : batch.target.shape[1]].float()
        return F.cross_entropy(logits.flatten(0, 1), batch.target.flatten(), ignore_index=NOTHING)

    def answer(self, model: Forward, examples: Sequence[Tagged]) -> list[Said]:
        encodings = self._read(examples)
        rows = in_order(scored(model, [Sample.of(encoding) for encoding in encodings], self.reading), len(encodings))
        answers: list[Said] = []
        for example, encoding, row in zip(examples, encodings, rows, strict=True):
            best = row.argmax(-1).tolist()
            tokens = first_tokens(encoding, len(example.words))
            answers.append([self._unread if token is None else self.labels[best[token]] for token in tokens])
        return answers

    def _read(self, examples: Sequence[Tagged]) -> list[Encoding]:
        return self.reading.read_words([spaced(example.words) for example in examples])


def spaced(words: Sequence[str]) -> list[str]:
    """Words with the spaces that would stand before them.

    >>> spaced(["We", "love", "北", "京"])
    ['We', ' love', '北', '京']
    """
    found = list(words[:1])
    for before, word in pairwise(words):
        apart = before and word and not (_CHARACTER.match(before[-1]) or _CHARACTER.match(word[0]))
        found.append(f" {word}" if apart else word)
    return found


def first_tokens(encoding: Encoding, words: int) -> list[int | None]:
    """The first token of each word; None of a word that was cut, or has no token."""
    found: list[int | None] = [None] * words
    for token, word in enumerate(encoding.word_ids):
        if word is not None and found[word] is None:
            found[word] = token
    return found
