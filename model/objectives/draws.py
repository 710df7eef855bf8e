"""The model: what an objective *draws* for a sample, it draws by the seed and the sample's global number alone: so ranks, micro-batches
and a resumed run see the same (Philox, Salmon et al. 2011, doi:10.1145/2063384.2063405).
"""

from __future__ import annotations

import numpy as np

_WORD = (1 << 64) - 1


def draws_of(seed: int, number: int) -> np.random.Generator:
    """The draws of one sample; numbers below 0 are not of training."""
    return np.random.Generator(np.random.Philox(key=np.array([seed & _WORD, number & _WORD], dtype=np.uint64)))


def cut(draws: np.random.Generator, items: int, parts: int) -> np.ndarray:
    """Lengths of ``parts`` pieces, none empty, that ``items`` fall into: all ways are equally likely. int64 [parts]."""
    ends = np.sort(draws.permutation(items - 1)[: parts - 1]) + 1
    return np.diff(ends, prepend=0, append=items)
