"""The model: the *log-likelihood* of a *continuation* is what a model that writes gives to its tokens behind a *context*. A decoder reads
both as one text, an encoder-decoder reads the context and writes the continuation. A context too long for a decoder loses its start.

Rows are batched by length, and padded behind, where no token that counts looks: which rows share a batch changes nothing but float noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.encoder_decoder import EncoderDecoderModel
from model.families import Causal
from model.generate import Writer

BATCH_POSITIONS = 4096
"""Padded positions of a batch, unless rows are counted; bounds the memory of the logits."""


class Pair(NamedTuple):
    """Token ids of a context, and of what continues it: one at least, each."""

    context: list[int]
    continuation: list[int]


class Likely(NamedTuple):
    """What a model says to a continuation."""

    log_likelihood: float
    """In nats."""
    greedy: bool
    """Whether each of its tokens was the likeliest."""


def encode_pair(writer: Writer, context: str, continuation: str) -> Pair:
    """Token ids of a context and its continuation, as lm-evaluation-harness cuts them: white space at the context's end belongs to the
    continuation. Raises ValueError if either has no token."""
    kept = context.rstrip()
    continuation, context = context[len(kept) :] + continuation, kept
    apart = isinstance(writer.model, EncoderDecoderModel)
    before = writer.ids(context) if context or apart else [opening(writer)]
    if apart or not context:
        after = writer.tokenizer.encode(continuation, add_special_tokens=False).ids
    else:
        after = writer.ids(context + continuation)[len(before) :]
    if not after:
        raise ValueError(f"the continuation {continuation!r} has no token of its own")
    return Pair(before, after)


def opening(writer: Writer) -> int:
    """What stands before a text that begins with nothing: a bos, or where a model knows none, an eos. Raises ValueError without both."""
    if writer.bos is None and not writer.eos:
        raise ValueError("the model knows neither a bos nor an eos token to begin a text with")
    return min(writer.eos) if writer.bos is None else writer.bos


def log_likelihoods(
    writer: Writer, pairs: Sequence[Pair], rows: int | None = None, advance: Callable[[int], None] = lambda pairs: None
) -> list[Likely]:
    """Of each pair, in order; `rows` of a batch at the most. Raises ValueError for a continuation that is longer than the context."""
    limit = _limit(writer)
    if limit is not None and any(len(pair.continuation) > limit for pair in pairs):
        raise ValueError(f"a continuation has {max(len(pair.continuation) for pair in pairs)} tokens, and the model reads {limit}")
    found: dict[int, Likely] = {}
    sizes = [len(pair.context) + len(pair.continuation) for pair in pairs]
    queue = sorted(range(len(pairs)), key=lambda number: -sizes[number])
    score = _answers if isinstance(writer.model, EncoderDecoderModel) else _goes_on
    while queue:
        size = rows or max(BATCH_POSITIONS // min(sizes[queue[0]], limit or sizes[queue[0]]), 1)
        numbers, queue = queue[:size], queue[size:]
        found.update(zip(numbers, score(writer, [pairs[number] for number in numbers], limit), strict=True))
        advance(len(numbers))
    return [found[number] for number in range(len(pairs))]


def is_cut(writer: Writer, pair: Pair) -> bool:
    """Whether a context loses its start."""
    limit = _limit(writer)
    return limit is not None and len(pair.context) + len(pair.continuation) > limit + 1


def _limit(writer: Writer) -> int | None:
    return None if isinstance(writer.model, EncoderDecoderModel) else writer.model.limit


@torch.no_grad()
def _goes_on(writer: Writer, pairs: Sequence[Pair], limit: int | None) -> list[Likely]:
    model = writer.model
    assert isinstance(model, Causal)
    texts = [[*pair.context, *pair.continuation] for pair in pairs]
    texts = [text if limit is None else text[-(limit + 1) :] for text in texts]
    ids, _ = _padded([text[:-1] for text in texts])
    with sdpa_kernel(SDPBackend.MATH):
        states = model.hidden(ids)
    found = []
    for row, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        end = len(text) - 1
        logits = model.lm_head(states[row, end - len(pair.continuation) : end])[:, : model.vocab_size]
        found.append(_likely(logits, pair.continuation))
    return found


@torch.no_grad()
def _answers(writer: Writer, pairs: Sequence[Pair], limit: int | None) -> list[Likely]:
    model = writer.model
    assert isinstance(model, EncoderDecoderModel)
    ids, text = _padded([pair.context for pair in pairs])
    with sdpa_kernel(SDPBackend.MATH):
        read = model.read(ids, None if bool(text.all()) else text)
        written, _ = _padded([[writer.start, *pair.continuation[:-1]] for pair in pairs])
        states = model.hidden(written, read)
    logits = [model.lm_head(states[row, : len(pair.continuation)])[:, : model.vocab_size] for row, pair in enumerate(pairs)]
    return [_likely(of, pair.continuation) for of, pair in zip(logits, pairs, strict=True)]


def _padded(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """int64 [texts, longest], and bool of that shape: what is no padding."""
    longest = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts])
    return ids, torch.arange(longest) < torch.tensor([[len(text)] for text in texts])


def _likely(logits: Tensor, wanted: Sequence[int]) -> Likely:
    chances = logits.double().log_softmax(-1)
    places = torch.tensor(wanted)
    return Likely(float(chances.gather(-1, places[:, None]).sum()), bool((chances.argmax(-1) == places).all()))
