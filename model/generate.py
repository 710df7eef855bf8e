"""The model: *generation* draws one token after another from a decoder's logits: the most likely (*temperature* 0), or at
random from the *top k* and the *nucleus* (top p) of the tempered distribution.

A cache keeps keys and values, so each token costs one position. When the context is full, generation goes on from its
later half.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.checkpoint import load_model
from model.decoder import DecoderModel


def keep_likely(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """float [vocab] -> the same with what is outside the top k, or outside the nucleus, at minus infinity.

    The nucleus is the smallest set of most likely tokens whose probabilities sum to ``top_p`` or more (Holtzman et al.,
    arXiv:1904.09751).
    """
    if top_k is not None and top_k < logits.numel():
        kept = logits.topk(top_k).indices
        logits = torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])
    if top_p is not None and top_p < 1:
        ranked, order = logits.sort(descending=True, stable=True)
        probability = ranked.softmax(-1)
        outside = probability.cumsum(-1) - probability >= top_p
        logits = logits.index_fill(0, order[outside], -torch.inf)
    return logits


@torch.no_grad()
def generate(
    model: DecoderModel,
    ids: Sequence[int],
    max_new: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    eos: int | None = None,
) -> list[int]:
    """The new token ids, at most ``max_new``, that follow the prompt ``ids`` (a bos token, at least).

    Equal arguments give equal ids. Stops before ``eos``, which is not returned. A prompt beyond the context loses its
    start. Raises ValueError for an empty prompt or a setting out of range.
    """
    if not ids:
        raise ValueError("the prompt is empty: start it with the tokenizer's bos token")
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"temperature {temperature}, top_k {top_k}, top_p {top_p}: want >= 0, >= 1 and in (0, 1]")
    device = model.lm_head.weight.device
    generator = torch.Generator().manual_seed(seed)
    context = model.config.context
    text = list(ids)
    caches, pending = model.caches(1), text[-context:]
    while len(text) - len(ids) < max_new:
        if caches[0].length + len(pending) > context:
            caches, pending = model.caches(1), text[-max(context // 2, 1) :]
        logits = model(torch.tensor([pending], device=device), caches)[0, -1].float().cpu()
        token = _draw(logits, temperature, top_k, top_p, generator)
        if token == eos:
            break
        text.append(token)
        pending = [token]
    return text[len(ids) :]


def continue_text(
    folder: Path,
    prompt: str,
    *,
    max_new: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> str:
    """What the model saved in a folder writes after a prompt, which may be empty; ``top_k`` 0 and ``top_p`` 1 cut nothing.

    Bytes that are not UTF-8 show as U+FFFD.
    """
    model, config = load_model(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [config["bos_token_id"], *tokenizer.encode(prompt, add_special_tokens=False).ids]
    new = generate(model, ids, max_new, temperature, top_k or None, top_p, seed, config["eos_token_id"])
    return tokenizer.decode(new, skip_special_tokens=True)


def _draw(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    probability = keep_likely(logits / temperature, top_k, top_p).softmax(-1)
    return int(torch.multinomial(probability, 1, generator=generator))
