"""The model: a *sample* is text that a model wrote after a prompt, under a seed. It is for reading; it measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from model.families import Causal
from model.generate import generate


def samples(
    model: Causal, tokenizer: Tokenizer, prompts: Sequence[str], max_new: int, temperature: float, seed: int, bos: int, eos: int
) -> list[dict[str, str]]:
    """For each prompt, in order: the prompt, and the text that follows it. Bytes that are not UTF-8 show as U+FFFD."""
    written = []
    for number, prompt in enumerate(prompts):
        ids = [bos, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        new = generate(model, ids, max_new, temperature=temperature, seed=seed + number, eos=eos)
        written.append({"prompt": prompt, "text": tokenizer.decode(new, skip_special_tokens=True)})
    return written
