"""The model: a *draw* is made for a sample, by the run's seed and the sample's number: the same one on any rank, in any micro-batch
and after any resume. Philox (Salmon et al. 2011) is keyed by both, so no draw depends on another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIDE, FOLLOW = 0, 1
"""What draws are for: each use has numbers of its own."""


def draw(seed: int, samples: NDArray[np.int64], use: int, count: int) -> NDArray[np.uint64]:
    """For each sample, ``count`` words of 64 bits: uint64 [samples, count]."""
    found = np.empty((len(samples), count), dtype=np.uint64)
    for row, sample in enumerate(samples.tolist()):
        key = np.array([seed % (1 << 64), sample], dtype=np.uint64)
        found[row] = np.random.Philox(counter=[0, 0, 0, use], key=key).random_raw(count)
    return found


def unit(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words as even numbers in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(seed: int, sample: int) -> np.random.Generator:
    """The draws of one sample, as many as it takes; samples below 0 are none of training."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % (1 << 64), sample % (1 << 64)], dtype=np.uint64)))
