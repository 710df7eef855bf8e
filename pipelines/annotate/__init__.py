"""The model: an *annotator* finds sentences, words and parts of speech in texts of one language; an *engine* is one way
to do it. All engines give the same columns.

Offsets are bytes of the UTF-8 text. Words are slices `text.encode()[start:end]`, in order, never overlapping, never white
space alone. Sentences tile the text: sentence i runs from the end of sentence i - 1 (0 for the first) to its own end, so
white space behind a sentence belongs to it, and the last end is the length of the text. An empty text has no sentence.

What an engine says of a text never depends on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipelines.annotate.columns import Annotations
from schemas.recipe import Annotator

__all__ = ["Annotations", "AnnotatorEngine", "engine_version", "open_annotator"]


class AnnotatorEngine(Protocol):
    """What annotates texts of one language."""

    @property
    def version(self) -> str:
        """Name of the engine, versions of its libraries and weights."""
        ...

    def annotate(self, texts: Sequence[str]) -> Annotations:
        """Annotations of each text, row i for text i; texts hold no lone surrogates."""
        ...


def open_annotator(settings: Annotator) -> AnnotatorEngine:
    """The engine that the settings name, loaded. Raises `RequestError` naming what is not installed."""
    if settings.model is not None:  # the recipe gives one to spacy and to no other
        from pipelines.annotate.spacy_engine import SpacyEngine

        return SpacyEngine(settings.model)
    if settings.engine == "rjieba":
        from pipelines.annotate.rjieba_engine import RjiebaEngine

        return RjiebaEngine()
    from pipelines.annotate.plain_engine import PlainEngine

    return PlainEngine()


def engine_version(settings: Annotator) -> str:
    """The `version` that the opened engine would have, without loading it; the same `RequestError`."""
    if settings.model is not None:  # the recipe gives one to spacy and to no other
        from pipelines.annotate import spacy_engine

        return spacy_engine.version_of(settings.model)
    if settings.engine == "rjieba":
        from pipelines.annotate import rjieba_engine

        return rjieba_engine.VERSION
    from pipelines.annotate import plain_engine

    return plain_engine.VERSION
