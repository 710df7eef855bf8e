"""The model: *all signals* of a text are those that are measured on it and those that the recipe's word lists and models give."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipelines.harmful import harmful_scores
from pipelines.rules.perplexity import perplexities
from pipelines.rules.quality import quality_scores
from pipelines.rules.signals import measure
from schemas.recipe import Corpus


def signals_of(texts: Sequence[str], langs: Sequence[str], settings: Corpus) -> pa.StructArray:
    """As `measure`, with the scores that a recipe's section asks for."""
    scored = {}
    if (harmful := harmful_scores(settings.harmful, texts, langs)) is not None:
        scored["harmful"] = harmful
    if settings.quality:
        scored["quality"] = quality_scores(settings.quality, texts, langs)
    if settings.perplexity:
        scored["perplexity"] = perplexities(settings.perplexity, texts, langs)
    return measure(texts, langs, scored)
