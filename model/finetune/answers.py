"""The model: to *answer* a question is to find the span of its context that answers it. A context that is too long is read in *windows*,
each behind the question; the answer is the span, of all windows, whose first and last token score highest together.

Where questions may have no answer (SQuAD 2.0, arXiv:1806.03822), the first token stands for none: the answer is empty if that scores
higher. A window without the answer teaches that it has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Encoding
from torch import Tensor
from torch.nn import functional as F

from model.examples import Asked
from model.finetune.heads import BEGINS, ENDS, Purpose
from model.finetune.kinds import Forward, Said, scored
from model.finetune.reading import Reading
from model.finetune.samples import Batch, Sample

OVERLAP = 64
"""Tokens that neighbouring windows share."""
LONGEST = 64
"""Tokens of an answer."""


class Answers:
    """See the module and `model.finetune.kinds`."""

    purpose: Purpose = "spans"
    labels: tuple[str, ...] = ()

    def __init__(self, reading: Reading, may_be_none: bool) -> None:
        self.reading, self.may_be_none = reading, may_be_none

    def samples(self, examples: Sequence[Asked]) -> list[Sample]:
        found = []
        for example, windows in zip(examples, self._windows(examples), strict=True):
            for window in windows:
                span = _tokens_of(window, *_first_answer(example)) if example.answers else None
                found.append(Sample.of(window, span or (0, 0)))
        return found

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        logits = model(batch.ids, batch.types, batch.lengths).float()
        first, last = (F.cross_entropy(logits[..., place], batch.target[:, place]) for place in (BEGINS, ENDS))
        return (first + last) / 2

    def answer(self, model: Forward, examples: Sequence[Asked]) -> list[Said]:
        windows = self._windows(examples)
        of = [number for number, found in enumerate(windows) for _ in found]
        flat = [window for found in windows for window in found]
        best: list[tuple[float, str]] = [(-torch.inf, "")] * len(examples)
        none = [torch.inf] * len(examples)
        for place, logits in scored(model, [Sample.of(window) for window in flat], self.reading):
            number = of[place]
            score, text = _best_span(logits, flat[place], examples[number].context)
            best[number] = max(best[number], (score, text))
            none[number] = min(none[number], float(logits[0].sum()))
        return ["" if self.may_be_none and empty > score else text for (score, text), empty in zip(best, none, strict=True)]

    def _windows(self, examples: Sequence[Asked]) -> list[list[Encoding]]:
        return self.reading.read_in_windows([(example.question, example.context) for example in examples], OVERLAP)


def _first_answer(example: Asked) -> tuple[int, int]:
    """First character and end of the first of its answers."""
    first = example.answers[0]
    return first.start, first.start + len(first.text)


def _in_context(window: Encoding) -> list[int]:
    return [token for token, text in enumerate(window.sequence_ids) if text == 1]


def _tokens_of(window: Encoding, start: int, end: int) -> tuple[int, int] | None:
    """First and last token of the characters from `start` to `end`; None if the window doesn't hold them all."""
    inside = [token for token in _in_context(window) if window.offsets[token][1] > start and window.offsets[token][0] < end]
    if not inside or window.offsets[inside[0]][0] > start or window.offsets[inside[-1]][1] < end:
        return None
    return inside[0], inside[-1]


def _best_span(logits: Tensor, window: Encoding, context: str) -> tuple[float, str]:
    """The best score of a span of the context, and its text; logits [time, 2]."""
    places = _in_context(window)
    if not places:
        return -torch.inf, ""
    begin, end = places[0], places[-1] + 1
    sums = logits[begin:end, BEGINS, None] + logits[None, begin:end, ENDS]
    allowed = torch.ones_like(sums, dtype=torch.bool).triu().tril(LONGEST - 1)
    score, place = sums.masked_fill(~allowed, -torch.inf).flatten().max(0)
    first, last = divmod(int(place), end - begin)
    return float(score), context[window.offsets[begin + first][0] : window.offsets[begin + last][1]]
