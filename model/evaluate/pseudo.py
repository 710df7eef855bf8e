"""The model: an encoder has no likelihood of a text, but a *pseudo-likelihood* (Salazar et al. 2019, arXiv:1910.14659): each token is
hidden alone, and told from all others. It sees both sides, so it compares with other encoders only, never with what goes on with a text.

A text longer than the context is read in pieces, side by side, each in a frame of its own. `follows` asks the head of BERT's kind whether a
text's second half follows its first: once of the text's own, once of the next text's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from model.evaluate.held_out import Text
from model.evaluate.likelihood import BATCH_POSITIONS
from model.fill import Filler
from model.metrics.metric import Floats


@torch.no_grad()
def pseudo_nats(filler: Filler, texts: Sequence[Text], advance: Callable[[int], None] = lambda tokens: None) -> Floats:
    """[texts] nats of all tokens; `advance` hears of tokens told."""
    nats = np.zeros(len(texts))
    for number, text in enumerate(texts):
        for before, piece, behind in _pieces(filler, text.tokens.astype(np.int64)):
            ids = torch.from_numpy(np.concatenate((before, piece, behind)))
            size = max(BATCH_POSITIONS // len(ids), 1)
            for places in torch.arange(len(before), len(before) + len(piece)).split(size):
                rows = torch.arange(len(places))
                hidden = ids.repeat(len(places), 1)
                hidden[rows, places] = filler.mask_id
                scores = filler.model.scores(filler.model.hidden(hidden)[rows, places]).log_softmax(-1)
                nats[number] -= float(scores[rows, ids[places]].double().sum())
                advance(len(places))
    return nats


def _pieces(filler: Filler, tokens: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What stands before, the tokens, and what stands behind, for each piece of a text."""
    before, behind = frame_of(filler)
    room = filler.model.config.context - len(before) - len(behind)
    for first in range(0, len(tokens), room):
        yield before, tokens[first : first + room], behind


def frame_of(filler: Filler) -> tuple[np.ndarray, np.ndarray]:
    """The special tokens around a text."""
    around = np.array(filler.ids(""), dtype=np.int64)
    return around[: (len(around) + 1) // 2], around[(len(around) + 1) // 2 :]


@torch.no_grad()
def follows(filler: Filler, texts: Sequence[Text]) -> list[tuple[int, bool, bool]]:
    """For each text of two tokens or more, twice: its number, whether the second half is its own, and whether the model says so. Nothing
    for less than two such texts."""
    before, behind = frame_of(filler)
    half = (filler.model.config.context - len(before) - 2 * len(behind)) // 2
    halves = []
    for number, text in enumerate(texts):
        middle = len(text.tokens) // 2
        if middle:
            halves.append((number, text.tokens[max(0, middle - half) : middle], text.tokens[middle : middle + half]))
    found = []
    for place, (number, first, own) in enumerate(halves if len(halves) > 1 else []):
        for true, second in ((True, own), (False, halves[(place + 1) % len(halves)][2])):
            ids = np.concatenate((before, first, behind, second, behind)).astype(np.int64)
            types = np.arange(len(ids)) >= len(before) + len(first) + len(behind)
            states = filler.model.hidden(torch.from_numpy(ids)[None], torch.from_numpy(types.astype(np.int64))[None])
            logits = filler.model.follows(states)[0]
            found.append((number, true, bool(logits[0] >= logits[1])))
    return found
