"""The model: a *gram* is a run of k token ids inside one document; its *context* is its first k - 1 ids, its *suffix*
its last k - 1. A gram's *adjusted count* is how often it occurs at the highest order; below that, how many different ids
stand before it (its continuations), except that a gram at a document's start keeps its plain count, as nothing can
stand before it.

Interpolated Kneser-Ney with modified discounts (Chen and Goodman 1999, "An empirical study of smoothing techniques for
language modeling", section 3; counts at document starts as in Heafield et al. 2013, "Scalable modified Kneser-Ney
language model estimation"):

    p(w | context) = max(count(context w) - D, 0) / total(context) + gamma(context) * p(w | shorter context)

ending at the uniform distribution over the vocabulary, so that no id has probability 0. Grams are never looked up in a
dictionary: a gram of order k is the number `rank of its context among grams of order k - 1` * vocabulary + `last id`,
so one sorted array of 64-bit keys holds an order, whatever k is, and a context's grams lie side by side. Fitting costs
one sort an order, scoring one binary search a token and order: 2.9 M tokens at order 5 take 2 s on one core. Modified
discounts gave 0.5 to 1 % fewer bits than one discount an order on English and code, and 0.1 % on Chinese.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Used where counts of counts leave the estimate undefined or out of range (tiny or artificial texts)."""


@dataclass(frozen=True)
class Framed:
    """Documents laid end to end, each as bos + tokens + eos."""

    ids: Ints
    """[n] token ids."""
    place: Ints
    """[n] index of each id in its document; 0 is the bos."""

    @property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """[n] which ids a model predicts: all but the bos."""
        return self.place > 0


def frame(documents: Iterable[npt.ArrayLike], bos: int, eos: int) -> Framed:
    """Lay documents (each [t] ids without special tokens) end to end, with the frame that training gives them."""
    framed = [np.concatenate(([bos], np.asarray(tokens, dtype=np.int64), [eos])) for tokens in documents]
    if not framed:
        return Framed(np.empty(0, np.int64), np.empty(0, np.int64))
    return Framed(np.concatenate(framed), np.concatenate([np.arange(len(ids)) for ids in framed]))


@dataclass(frozen=True)
class _Order:
    """The grams of one order: sorted keys, and what each adds to a probability; and what each context passes down."""

    keys: Ints
    share: Floats
    """[grams] max(count - D, 0) / total(context)."""
    passed: Floats
    """[contexts] gamma: the probability passed down to the shorter context; 1 for a context that nothing follows."""


@dataclass(frozen=True)
class _Level:
    """The grams of one order as counted."""

    keys: Ints
    """[grams] sorted."""
    counts: Ints
    """[grams] how often each occurs."""
    contexts: int
    """How many contexts there are: the grams of the order below."""
    ending: Ints
    """[n] rank of the gram that ends at each place of the text; -1 where the document is too short for one."""
    somewhere: Ints
    """[grams] one place where each gram ends."""


class KneserNey:
    """A fitted model of some order. Immutable; equal text gives equal probabilities, bit for bit, on one machine."""

    def __init__(self, text: Framed, order: int, vocab_size: int) -> None:
        """Count `text` and estimate. Raises ValueError for an order below 1, no text, or an id outside the vocabulary."""
        if order < 1:
            raise ValueError(f"n-gram order must be at least 1, not {order}")
        if not text.predicted.any():
            raise ValueError("no text to fit an n-gram model on: the training documents hold no tokens")
        if text.ids.min() < 0 or text.ids.max() >= vocab_size:
            raise ValueError(f"token id {text.ids.max()} is outside the vocabulary of {vocab_size} ids: the tokens are another tokenizer's")
        self.order = order
        self.vocab_size = vocab_size
        self._orders = self._estimate(text)

    def _estimate(self, text: Framed) -> list[_Order]:
        """Number the grams of one order after the other; each order's grams tell the continuations of the order below."""
        levels = [self._number(text, 1, np.zeros(len(text.ids), np.int64), 1)]
        levels[0].counts[np.isin(levels[0].keys, text.ids[text.place == 0])] = 0  # a bos is context only, never predicted
        while len(levels) < self.order and (text.place >= len(levels)).any():  # no text may be as long as the order
            levels.append(self._number(text, len(levels) + 1, _one_before(levels[-1].ending), len(levels[-1].keys)))
        orders = []
        for level, above in zip_longest(levels, levels[1:]):
            counts = level.counts
            if above is not None:
                continuations = np.bincount(level.ending[above.somewhere], minlength=len(level.keys))
                counts = np.where(continuations > 0, continuations, counts)
            orders.append(self._discounted(level.keys, counts, level.contexts))
        return orders

    def _number(self, text: Framed, k: int, context: Ints, contexts: int) -> _Level:
        """The grams of order `k`, given the rank of the context of each place."""
        if contexts > np.iinfo(np.int64).max // self.vocab_size:
            raise ValueError(f"{contexts} contexts of order {k} times {self.vocab_size} ids do not fit into 64 bits")
        where = np.flatnonzero(text.place >= k - 1)
        keys, first, ranks, counts = np.unique(
            context[where] * self.vocab_size + text.ids[where], return_index=True, return_inverse=True, return_counts=True
        )
        ending = np.full(len(text.ids), -1, np.int64)
        ending[where] = ranks
        return _Level(keys, counts, contexts, ending, where[first])

    def _discounted(self, keys: Ints, counts: Ints, contexts: int) -> _Order:
        """Take the discounts off the adjusted counts, and hand what was taken to the shorter context."""
        context = keys // self.vocab_size
        discount = np.array((0.0, *_discounts(counts)))[np.minimum(counts, 3)]
        totals = np.bincount(context, counts, minlength=contexts)
        taken = np.bincount(context, discount, minlength=contexts)
        followed = totals > 0
        passed = np.divide(taken, totals, out=np.ones(contexts), where=followed)
        share = np.divide(counts - discount, totals[context], out=np.zeros(len(keys)), where=followed[context])
        return _Order(keys, share, passed)

    def log_probs(self, text: Framed) -> Floats:
        """[n] natural log of each id's probability after those before it in its document; 0 where a bos stands.

        An id whose longest context was never seen is judged by the longest suffix of the context that was.
        Raises ValueError for an id outside the vocabulary.
        """
        if len(text.ids) and (text.ids.min() < 0 or text.ids.max() >= self.vocab_size):
            raise ValueError(f"token id {text.ids.max()} is outside the vocabulary of {self.vocab_size} ids")
        probability = np.full(len(text.ids), 1.0 / self.vocab_size)
        context = np.zeros(len(text.ids), np.int64)
        for k, order in enumerate(self._orders, start=1):
            where = np.flatnonzero((context >= 0) & (text.place >= k - 1))
            keys = context[where] * self.vocab_size + text.ids[where]
            at = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
            seen = order.keys[at] == keys
            probability[where] = np.where(seen, order.share[at], 0.0) + order.passed[context[where]] * probability[where]
            ending = np.full(len(text.ids), -1, np.int64)
            ending[where[seen]] = at[seen]
            context = _one_before(ending)
        return np.where(text.predicted, np.log(probability), 0.0)


def _one_before(ending: Ints) -> Ints:
    """[n] the gram that ends one place earlier: the context of the next order. What it says of a bos is never asked."""
    return np.roll(ending, 1)


def _discounts(counts: Ints) -> tuple[float, float, float]:
    """D1, D2 and D3+ from how many grams have adjusted count 1, 2, 3 and 4 (Chen and Goodman 1999, equation 26)."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == c)) for c in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    estimate = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return estimate if all(0 < d <= c for c, d in enumerate(estimate, start=1)) else FALLBACK_DISCOUNTS
