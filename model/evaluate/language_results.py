"""The model: what systems need to predict held-out *texts*, in nats, becomes results: one for each language, and one for each source if
there are several. An item is a text.

Perplexity is a token's, so its signature names the tokenizer; bits per byte always compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from model.evaluate.drawing import Drawable
from model.evaluate.results import Asked, System, result_of
from model.metrics import Metric, metric_named
from model.metrics.metric import Floats
from schemas.fingerprint import digest_json
from schemas.results import Result

KIND, VERSION = "language_modelling", 1


class Told(Drawable, Protocol):
    """A text, and where it is from."""

    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class Nats:
    """What one system needs."""

    values: Floats
    """[texts]"""
    tokens: Sequence[int] | None = None
    """That it predicted in each text; None: it has none, or others than the model's, and no perplexity that compares."""


def language_results(
    name: str,
    texts: Sequence[Told],
    systems: Mapping[str, Nats],
    tokenizer: str,
    seed: int,
    folder: Path,
    pseudo: bool = False,
    notes: tuple[str, ...] = (),
) -> list[Result]:
    """`NAME.LANG` for each language, `NAME.from.SOURCE` for each source of several; items are written below `folder`. `tokenizer` is the
    digest of the model's."""
    results = []
    langs, sources = sorted({text.lang for text in texts}), sorted({text.source for text in texts})
    groups = {f"{name}.{lang}": [place for place, text in enumerate(texts) if text.lang == lang] for lang in langs}
    if len(sources) > 1:
        groups |= {f"{name}.from.{source}": [place for place, text in enumerate(texts) if text.source == source] for source in sources}
    metrics = _metrics(tokenizer, pseudo)
    for task, places in groups.items():
        chosen = [texts[place] for place in places]
        judged = {system: _system(metrics, nats, places, chosen) for system, nats in systems.items()}
        ids = [text.doc_id.hex() for text in chosen]
        data = digest_json([[item, text.n_bytes] for item, text in zip(ids, chosen, strict=True)])
        nothing: list[None] = [None] * len(chosen)
        asked = Asked(task, KIND, VERSION, seed, data, ids, nothing, [text.lang for text in chosen], notes=notes)
        results.append(result_of(asked, metrics, judged, folder))
    return results


def _metrics(tokenizer: str, pseudo: bool) -> list[Metric]:
    of = "|pseudo" if pseudo else ""
    bits, perplexity = (metric_named(name, KIND) for name in ("bits_per_byte", "perplexity"))
    return [
        replace(bits, signature=f"bits_per_byte{of}|v1"),
        replace(perplexity, signature=f"perplexity{of}|tokenizer:{tokenizer[:8]}|v1"),
    ]


def _system(metrics: Sequence[Metric], nats: Nats, places: Sequence[int], texts: Sequence[Told]) -> System:
    sizes = np.array([text.n_bytes for text in texts], dtype=np.float64)
    tokens = np.zeros(len(places)) if nats.tokens is None else np.array([nats.tokens[place] for place in places], dtype=np.float64)
    statistics = np.column_stack([nats.values[list(places)], tokens, sizes])
    named = [metric.name for metric in metrics if nats.tokens is not None or metric.name == "bits_per_byte"]
    return System([None] * len(places), dict.fromkeys(named, statistics))
