"""The model: two classifiers that a fine-tuned model must beat. *Majority* always answers the most frequent label of the
training subset. *Bag of words* is a multinomial logistic regression on *features*: hashed runs of one to four characters.

Runs of characters serve unspaced and spaced scripts alike, and need no segmenter. A document is a unit vector of
log-scaled counts times inverse document frequency (Salton and Buckley 1988); weights minimise cross entropy with an L2
penalty by L-BFGS, the penalty chosen on the validation subset. All documents are one sparse matrix: nothing loops over text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

BUCKETS = 1 << 22
LONGEST_RUN = 4
PENALTIES = (3e-5, 1e-5, 3e-6)
"""Weights of the squared norm beside the mean cross entropy; each fit starts from the one before."""
ITERATIONS = 60
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio: multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4)."""


def majority(labels: Sequence[str]) -> str:
    """The most frequent label; of equally frequent ones the first in sorted order."""
    return max(sorted(set(labels)), key=labels.count)


@dataclass(frozen=True)
class Counted:
    """Features of documents in sparse rows: row i holds `features[starts[i]:starts[i + 1]]` with their `counts`."""

    starts: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64]
    counts: npt.NDArray[np.float64]


def count_features(texts: Sequence[str]) -> Counted:
    """Count the hashed runs of 1 to LONGEST_RUN characters in each text, lower-cased; no run leaves its text."""
    folded = [text.lower() for text in texts]
    points = np.frombuffer("".join(folded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in folded], dtype=np.int64)
    row = np.repeat(np.arange(len(texts)), lengths)
    pairs = []
    run = np.full(len(points), HASH_FACTOR)  # not 0: a NUL character must not hash to itself
    for length in range(1, min(LONGEST_RUN, len(points)) + 1):
        run = (run[: len(points) - length + 1] ^ points[length - 1 :]) * HASH_FACTOR
        run ^= run >> np.uint64(29)
        inside = row[: len(run)] == row[length - 1 :]
        pairs.append(row[: len(run)][inside] * BUCKETS + (run[inside] >> np.uint64(32)).astype(np.int64) % BUCKETS)
    keys, counts = np.unique(np.concatenate(pairs) if pairs else np.empty(0, np.int64), return_counts=True)
    starts = np.searchsorted(keys, np.arange(len(texts) + 1) * BUCKETS)
    return Counted(starts, keys % BUCKETS, counts.astype(np.float64))


class BagOfWords:
    """A fitted logistic regression. Deterministic for a fixed thread count."""

    def __init__(self, train: tuple[Sequence[str], Sequence[str]], validation: tuple[Sequence[str], Sequence[str]]) -> None:
        """Fit on (texts, labels) of the training subset; choose the penalty on those of the validation subset, if any."""
        texts, labels = train
        self.labels = sorted(set(labels))
        counted = count_features(texts)
        seen_in = np.bincount(counted.features, minlength=BUCKETS)
        self._column = np.where(seen_in > 1, np.cumsum(seen_in > 1) - 1, -1)  # a feature of one document teaches nothing
        self._idf = np.log((1 + len(texts)) / (1 + seen_in)) + 1
        rows, truth = self._rows(counted), torch.tensor([self.labels.index(label) for label in labels])
        self._weights = torch.zeros(int((seen_in > 1).sum()) + 1, len(self.labels))
        best = -1
        for penalty in PENALTIES if validation[0] else PENALTIES[1:2]:
            fitted = _fit(rows, truth, self._weights, penalty)
            right = sum(a == b for a, b in zip(self._answers(validation[0], fitted), validation[1], strict=True))
            if right > best:
                best, self._weights = right, fitted

    def classify(self, texts: Sequence[str]) -> list[str]:
        """The most probable label of each text."""
        return self._answers(texts, self._weights)

    def _answers(self, texts: Sequence[str], weights: Tensor) -> list[str]:
        return [self.labels[i] for i in self._rows(count_features(texts)).times(weights).argmax(-1).tolist()]

    def _rows(self, counted: Counted) -> Rows:
        """Unit rows over the columns that training knows, each with a 1 in the last column, for the bias."""
        row = np.repeat(np.arange(len(counted.starts) - 1), np.diff(counted.starts))
        known = self._column[counted.features] >= 0
        row, features = row[known], counted.features[known]
        value = (1 + np.log(counted.counts[known])) * self._idf[features]
        value /= np.sqrt(np.bincount(row, value**2, minlength=len(counted.starts) - 1))[row]
        starts = np.searchsorted(row, np.arange(len(counted.starts)))
        columns = np.insert(self._column[features], starts[1:], self._column.max() + 1)
        values = np.insert(value, starts[1:], 1.0)
        offsets = starts[:-1] + np.arange(len(starts) - 1)
        return Rows(torch.from_numpy(offsets), torch.from_numpy(columns), torch.from_numpy(values).float())


@dataclass(frozen=True)
class Rows:
    """A sparse matrix: row i holds `values` at `columns` from `offsets[i]` to the next offset."""

    offsets: Tensor
    columns: Tensor
    values: Tensor

    def times(self, dense: Tensor) -> Tensor:
        """The product with float32 [columns, k]: float32 [rows, k]."""
        return F.embedding_bag(self.columns, dense, self.offsets, mode="sum", per_sample_weights=self.values)

    def transposed(self, columns: int) -> Rows:
        """The same matrix by column, for gradients."""
        order = torch.argsort(self.columns, stable=True)
        lengths = torch.diff(self.offsets, append=torch.tensor([len(self.columns)]))
        row = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        return Rows(torch.searchsorted(self.columns[order], torch.arange(columns)), row[order], self.values[order])


@torch.no_grad()
def _fit(rows: Rows, truth: Tensor, start: Tensor, penalty: float) -> Tensor:
    """float32 [columns, classes] that minimise mean cross entropy + penalty * squared norm."""
    weights = start.clone().requires_grad_()
    columns, wanted = rows.transposed(len(start)), F.one_hot(truth, start.shape[1]).float()
    solver = torch.optim.LBFGS([weights], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> float:
        logits = rows.times(weights)
        weights.grad = columns.times((logits.softmax(-1) - wanted) / len(truth)) + 2 * penalty * weights
        return (F.cross_entropy(logits, truth) + penalty * weights.square().sum()).item()

    solver.step(loss)
    return weights.detach()
