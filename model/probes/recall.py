"""The model: to *recall* is to go on from the beginning of a document that a model was trained on, or from nothing. What it writes then is
looked for in the training text (`model.probes.memorised`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from model.generate import Drawing, continue_rows
from model.probes.reading import Reader
from schemas.arrow import read_shard
from schemas.errors import RequestError

ROWS = 16
"""Texts that are written at a time."""


@dataclass(frozen=True)
class Prompt:
    """Where a text begins: at the first tokens of a document, or at nothing."""

    doc_id: str | None
    tokens: tuple[int, ...]


def prompts(shards: Iterable[Path], count: int, length: int, seed: int) -> list[Prompt]:
    """The first ``length`` tokens of ``count`` documents of the train subset that are twice as long or longer, drawn alike from all of
    them.

    Raises `RequestError` if there are none.
    """
    draw = np.random.default_rng(seed)
    kept: list[tuple[float, Prompt]] = []
    for shard in shards:
        table = read_shard(shard).select(["doc_id", "subset", "tokens"])
        long = pc.and_(pc.equal(table["subset"], "train"), pc.greater_equal(pc.list_value_length(table["tokens"]), 2 * length))
        rows = np.flatnonzero(long.to_numpy(zero_copy_only=False))
        chances = draw.random(len(rows))
        for place in np.argsort(chances)[:count]:
            row = int(rows[place])
            tokens = table["tokens"][row].values[:length].to_pylist()
            kept.append((float(chances[place]), Prompt(table["doc_id"][row].as_py().hex(), tuple(tokens))))
        kept = sorted(kept, key=lambda one: one[0])[:count]
    if not kept:
        raise RequestError(f"no document of the train subset has {2 * length} tokens: ask for shorter prefixes")
    return [prompt for _, prompt in kept]


def write(
    reader: Reader,
    beginnings: Sequence[Prompt],
    max_tokens: int,
    drawing: Drawing,
    seed: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[list[int]]:
    """What the model writes behind each, as tokens without the eos. Raises `Mismatch` for an encoder, and ValueError if a text is to begin
    at nothing and the model knows no bos."""
    model = reader.causal
    found: list[list[int]] = [[] for _ in beginnings]
    stops = reader.ends
    for first in range(0, len(beginnings), ROWS):
        rows = range(first, min(first + ROWS, len(beginnings)))

        def hear(row: int, token: int, first: int = first) -> bool:
            if token in stops:
                return False
            found[first + row].append(token)
            return True

        read = [[*reader.begins, *beginnings[row].tokens] for row in rows]
        continue_rows(model, read, max_tokens, drawing, [seed + row for row in rows], hear)
        advance(rows.stop)
    return found
