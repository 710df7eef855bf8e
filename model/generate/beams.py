"""The model: *beam search* keeps the likeliest *beams*, beginnings of texts of one length, and goes on from each of them. A text
is *finished* at an eos or at the most tokens allowed, and scored by its log probability a token. As in `transformers`, with its defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from model.generate.answering import Continues
from model.generate.drawing import penalise
from model.generate.rows import next_logits


@torch.no_grad()
def beam_search(
    model: Continues, ids: Sequence[int], max_new: int, beams: int, eos: Collection[int] = (), repetition_penalty: float = 1.0
) -> list[list[int]]:
    """The new token ids of the ``beams`` best texts after a prompt, the best one first; an eos that ends one stands at its end.

    Raises ValueError for an empty prompt, or one that leaves no room for ``max_new`` tokens: beams can't slide over the context.
    """
    if not ids:
        raise ValueError("the prompt is empty: start it with the tokenizer's bos token")
    if model.limit is not None and len(ids) + max_new - 1 > model.limit:
        raise ValueError(f"{len(ids)} tokens of the prompt and {max_new} new ones don't fit the model's context of {model.limit}")
    device, vocab = model.lm_head.weight.device, model.vocab_size
    caches, scores = model.caches(1, len(ids) + max_new), torch.zeros(1, 1)
    logits = next_logits(model, torch.tensor([list(ids)], device=device), caches)
    running: list[list[int]] = [[]]
    finished: list[tuple[float, list[int]]] = []
    candidates = beams * (1 + max(len(eos), 1))  # so that enough of them go on, if as many end as can
    for length in range(1, max_new + 1):
        likely = logits.float().cpu().log_softmax(-1)
        likely = torch.stack([penalise(row, [*ids, *text], repetition_penalty) for row, text in zip(likely, running, strict=True)])
        total = (scores + likely).flatten()
        found = total.topk(min(candidates, len(total)))
        going: list[tuple[float, int, list[int]]] = []
        for rank, (score, place) in enumerate(zip(found.values.tolist(), found.indices.tolist(), strict=True)):
            parent, token = divmod(place, vocab)
            text = [*running[parent], token]
            if token in eos or length == max_new:
                if rank < beams:
                    finished.append((score / length, text))
            elif len(going) < beams:
                going.append((score, parent, text))
        finished = sorted(finished, key=lambda one: -one[0])[:beams]
        if not going or (len(finished) == beams and going[0][0] / length <= finished[-1][0]):
            break
        parents = torch.tensor([parent for _, parent, _ in going], device=device)
        for cache in caches:
            cache.select(parents)
        running, scores = [text for _, _, text in going], torch.tensor([[score] for score, _, _ in going])
        logits = next_logits(model, torch.tensor([text[-1:] for text in running], device=device), caches)
    return [text for _, text in finished]
