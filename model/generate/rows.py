"""The model: a *row* is a prompt and what was made after it. Rows are continued together, a token each at a time; shorter ones
are *padded* on the left, so that all end at one place, and what is made of one does not depend on the others.

A cache keeps keys and values (or a state), so each token costs one position. When a row's context is full, it goes on from its later
half; a recurrent model's never is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from model.families import Causal
from model.generate.answering import Continues
from model.generate.drawing import Drawing

Hear = Callable[[int, int], bool]
"""Hears the number of a row and its new token; whether the row goes on."""


@torch.no_grad()
def continue_rows(
    model: Continues, prompts: Sequence[Sequence[int]], max_new: int, drawing: Drawing, seeds: Sequence[int], hear: Hear
) -> None:
    """Make at most ``max_new`` tokens after each prompt (a bos token, at least), telling each to ``hear``.

    Each row has a seed of its own: equal arguments give equal tokens, whatever rows are beside it (but for float noise). A prompt
    beyond the context loses its start. Raises ValueError for an empty prompt.
    """
    if not all(prompts):
        raise ValueError("the prompt is empty: start it with the tokenizer's bos token")
    device, context = model.lm_head.weight.device, model.limit or sys.maxsize
    texts = [list(prompt) for prompt in prompts]
    starts = [max(0, len(text) - context) for text in texts]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    going = list(range(len(texts)))
    caches, padding, logits = _read(model, [text[start:] for text, start in zip(texts, starts, strict=True)], max_new)
    for made in range(max_new):
        kept = []
        for place, row in enumerate(going):
            token = drawing.draw(logits[place].float().cpu(), texts[row], generators[row])
            if hear(row, token):
                texts[row].append(token)
                kept.append(place)
        if not kept or made + 1 == max_new:
            return
        if len(kept) < len(going):
            chosen = torch.tensor(kept, device=device)
            for cache in caches:
                cache.select(chosen)
            padding, going = None if padding is None else padding[chosen], [going[place] for place in kept]
        if caches[0].length == context:
            for row in going:
                if len(texts[row]) - starts[row] > context:
                    starts[row] = len(texts[row]) - max(context // 2, 1)
            caches, padding, logits = _read(model, [texts[row][starts[row] :] for row in going], max_new - made)
        else:
            logits = next_logits(model, torch.tensor([texts[row][-1:] for row in going], device=device), caches, padding)


def _read(model: Continues, texts: Sequence[Sequence[int]], room: int) -> tuple[list[Any], Tensor | None, Tensor]:
    """Read texts from their start: filled caches with room for so many tokens more, or to the context's end; how much padding each text
    has (None: all are of one length); and logits of the next tokens, float [texts, vocab]."""
    device, longest = model.lm_head.weight.device, max(map(len, texts))
    missing = [longest - len(text) for text in texts]
    ids = torch.tensor([[0] * lack + list(text) for text, lack in zip(texts, missing, strict=True)], device=device)
    caches, padding = model.caches(len(texts), longest + room), torch.tensor(missing, device=device) if any(missing) else None
    return caches, padding, next_logits(model, ids, caches, padding)


def next_logits(model: Continues, ids: Tensor, caches: list[Any], padding: Tensor | None = None) -> Tensor:
    """Logits of the token after ids, int64 [texts, time], that follow what the caches hold: float [texts, vocab]."""
    states = model.hidden(ids, caches, padding=padding)[:, -1]
    return model.lm_head(states)[:, : model.vocab_size]


def generate(
    model: Causal,
    ids: Sequence[int],
    max_new: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    eos: int | None = None,
) -> list[int]:
    """The new token ids, at most ``max_new``, that follow one prompt. Stops before ``eos``, which is not returned.

    Raises ValueError for an empty prompt or a setting out of range.
    """
    new: list[int] = []

    def hear(row: int, token: int) -> bool:
        if token == eos:
            return False
        new.append(token)
        return True

    continue_rows(model, [ids], max_new, Drawing(temperature, top_k, top_p), [seed], hear)
    return new
