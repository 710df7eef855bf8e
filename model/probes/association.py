"""The model: an *association test* (WEAT; Caliskan et al., Science 356, 2017, arXiv:1608.07187) asks whether words of one list, X, lie
nearer to words of A than of B, compared with those of another list, Y. The *association* of a word is its mean cosine with A minus that
with B; the *effect size* is the difference of the mean associations of X and Y over their standard deviation, between -2 and 2. *p* is the
share of all ways to deal the words of X and Y into two lists of their sizes whose difference is as large: by all of them if there are
`EXACT` or fewer, else by as many random ones, the one at hand among them.

A word's *vector* is, of an encoder, the mean of the states of its tokens, read alone; of a decoder, the mean of their embeddings, before it
has read anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import torch

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.probes.reading import Reader
from model.probes.templates import Association

EXACT = 20_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Associated:
    """What a test says."""

    name: str
    effect: float
    """Above 0: X goes with A, Y with B."""
    p: float
    """One-sided: of an effect as large."""
    exact: bool
    """Whether all ways to deal the words were tried."""
    words: tuple[int, int, int, int]
    """Lengths of the lists X, Y, A, B."""


def associated(vector: Callable[[str], Floats], test: Association, seed: int = 0) -> Associated:
    """Run a test on vectors, float [width], of words."""
    x, y, a, b = (np.stack([_unit(vector(word)) for word in part.words]) for part in (test.x, test.y, test.a, test.b))
    both = np.concatenate((x, y))
    scores = (both @ a.T).mean(1) - (both @ b.T).mean(1)
    n, deviation = len(x), float(scores.std(ddof=1))
    # The sum of a deal's first list decides its difference of means: the sum of both is the same for all.
    all_ways = comb(len(both), n)
    exact = all_ways <= EXACT
    if exact:
        sums = scores[np.array(list(combinations(range(len(both)), n)))].sum(1)
    else:
        draw = np.random.default_rng(seed)
        deals = draw.permuted(np.broadcast_to(np.arange(len(both)), (EXACT - 1, len(both))), axis=1)[:, :n]
        sums = np.append(scores[deals].sum(1), scores[:n].sum())
    p = float((sums >= scores[:n].sum() - 1e-12).mean())
    effect = float(scores[:n].mean() - scores[n:].mean()) / deviation if deviation else 0.0
    return Associated(test.name, effect, p, exact, (len(x), len(y), len(a), len(b)))


def _unit(vector: Floats) -> Floats:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


@torch.no_grad()
def word_vector(reader: Reader, word: str) -> Floats:
    """float64 [width] of a word. Raises ValueError for one without a token."""
    tokens = reader.tokens(word if isinstance(reader.model, EncoderModel) or not word.isascii() else f" {word}")
    if not tokens:
        raise ValueError(f"{word!r}: the tokenizer makes no token of it")
    if isinstance(reader.model, EncoderModel):
        ids = reader.ids(word)
        begin = next((k for k in range(len(ids)) if ids[k : k + len(tokens)] == tokens), None)
        states = reader.model.hidden(torch.tensor([ids]))[0]
        chosen = states if begin is None else states[begin : begin + len(tokens)]
    else:
        model = reader.model
        table = model.model.embed_tokens if isinstance(model, DecoderModel) else model.embed_tokens
        chosen = table.weight[torch.tensor(tokens)]
    vector: Floats = chosen.double().mean(0).numpy()
    return vector
