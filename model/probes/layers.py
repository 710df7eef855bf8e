"""The model: while a model reads a text, each layer *attends*: a head gives each token a share of each other's content, its *weights*. And
each layer leaves a state for each token, through which the model's own head can be looked: the *lens* shows what it would say if the
later layers were not there (nostalgebraist 2020, "interpreting GPT: the logit lens").

Weights are computed again from what attention is given, by a softmax that is written out: the kernels that models run keep none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.finetune.heads import HeadedModel, Stacks
from model.layers import Attention, precise, rotate


def weights_of(attention: Attention, x: Tensor, turn: Any = None, cache: Any = None, mask: Tensor | None = None) -> Tensor:
    """What `Attention.forward` weighs values by, given its own arguments without a cache: float [batch, heads, time, time]."""
    if cache is not None:
        raise ValueError("weights are those of a text that is read whole, without a cache")
    batch, time, _ = x.shape
    q = attention.q_proj(x).view(batch, time, -1, attention.head_width).transpose(1, 2)
    k = attention.k_proj(x).view(batch, time, -1, attention.head_width).transpose(1, 2)
    if attention.normed:
        q, k = attention.q_norm(q), attention.k_norm(k)
    if turn is not None:
        q, k = rotate(q, *turn), rotate(k, *turn)
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = precise(q) @ precise(k).transpose(-1, -2) * attention.head_width**-0.5
    if mask is None and attention.causal:
        mask = torch.ones(time, time, dtype=torch.bool, device=x.device).tril()
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)


@contextmanager
def watched(model: DecoderModel | EncoderModel | HeadedModel) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Inside, whatever the model reads leaves its weights, one [batch, heads, time, time] a layer, and its states, [batch, time, width]:
    those below the first layer, and those above each."""
    weights: list[Tensor] = []
    states: list[Tensor] = []

    def attend(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        assert isinstance(module, Attention)
        weights.append(weights_of(module, *arguments, **named))

    with ExitStack() as stack:
        assert not isinstance(model.model, Stacks), "two stacks have no one row of layers"
        layers = list(model.model.layers)
        stack.callback(layers[0].register_forward_pre_hook(lambda module, arguments: states.append(arguments[0])).remove)
        for layer in layers:
            attention = layer.self_attn
            assert isinstance(attention, Attention)
            stack.callback(attention.register_forward_pre_hook(attend, with_kwargs=True).remove)
            stack.callback(layer.register_forward_hook(lambda module, arguments, output: states.append(output)).remove)
        yield weights, states


def lens(model: DecoderModel | EncoderModel, states: Tensor) -> Tensor:
    """States between layers, float [..., width] -> log-probabilities of tokens by the model's own last norm and head, [..., vocab]. Raises
    ValueError for an encoder without a head."""
    ready = model.model.norm(states)
    logits = model.scores(ready) if isinstance(model, EncoderModel) else model.lm_head(ready)[..., : model.vocab_size]
    return logits.float().log_softmax(-1)
