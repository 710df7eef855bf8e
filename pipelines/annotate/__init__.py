"""The model: an *annotator* finds sentences, words and parts of speech in texts of one language; an *engine* is one way
to do it. All engines give the same columns.

Offsets are bytes of the UTF-8 text. Words are slices `text.encode()[start:end]`, in order, never overlapping, never white
space alone. Sentences tile the text: sentence i runs from the end of sentence i - 1 (0 for the first) to its own end, so
white space behind a sentence belongs to it, and the last end is the length of the text. An empty text has no sentence.

What an engine says of a text never depends on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate.columns import Annotations
from schemas.recipe import Annotator

__all__ = ["Annotations", "AnnotatorEngine", "GivenWord", "annotator_for", "annotator_versions", "engine_version", "open_annotator"]

CODE = "code"
"""The language of source code."""

DEFAULT = "default"
"""Stands for all languages that a recipe doesn't name."""


class GivenWord(NamedTuple):
    """A word that is given, not found."""

    form: str
    space_after: bool


class AnnotatorEngine(Protocol):
    """What annotates texts of one language."""

    @property
    def version(self) -> str:
        """Name of the engine, versions of its libraries and weights."""
        ...

    def annotate(self, texts: pa.StringArray) -> Annotations:
        """Annotations of each text, row i for text i; no text is null."""
        ...

    def tag_words(self, sentences: Sequence[Sequence[GivenWord]]) -> npt.NDArray[np.uint8] | None:
        """Codes of `schemas.arrow.UPOS` for the words of all sentences, end to end; null from an engine that can't tag given words."""
        ...


def annotator_for(settings: dict[str, Annotator], lang: str) -> Annotator:
    """What a recipe's section says for a language, for the others (`default`), or the fast engine; plain rules for source code."""
    return settings.get(lang) or settings.get(DEFAULT) or Annotator(engine="plain" if lang == CODE else "fast")


def annotator_versions(settings: dict[str, Annotator]) -> dict[str, str]:
    """Version of the engine of each language that a recipe's section names, of source code, and of all others (`default`)."""
    return {lang: engine_version(annotator_for(settings, lang), lang) for lang in sorted({*settings, CODE, DEFAULT})}


def open_annotator(settings: Annotator, lang: str) -> AnnotatorEngine:
    """The engine that the settings name, loaded for a language. Raises `RequestError` naming what is not installed."""
    if settings.model is not None:  # the recipe gives one to spacy and to no other
        from pipelines.annotate.spacy_engine import SpacyEngine

        return SpacyEngine(settings.model)
    if settings.engine == "rjieba":
        from pipelines.annotate.rjieba_engine import RjiebaEngine

        return RjiebaEngine()
    if settings.engine == "fast":
        from pipelines.annotate.fast.engine import FastEngine

        return FastEngine(lang, settings.standard, _file(settings.weights), pos=settings.pos)
    from pipelines.annotate.plain_engine import PlainEngine

    return PlainEngine()


def engine_version(settings: Annotator, lang: str) -> str:
    """The `version` that the opened engine would have, without loading it; the same `RequestError`. For `DEFAULT` it names all weights."""
    if settings.model is not None:  # the recipe gives one to spacy and to no other
        from pipelines.annotate import spacy_engine

        return spacy_engine.version_of(settings.model)
    if settings.engine == "rjieba":
        from pipelines.annotate import rjieba_engine

        return rjieba_engine.VERSION
    if settings.engine == "fast":
        from pipelines.annotate.fast import engine

        return engine.version_of(lang, settings.standard, _file(settings.weights), pos=settings.pos)
    from pipelines.annotate import plain_engine

    return plain_engine.VERSION


def _file(name: str | None) -> Path | None:
    return Path(name) if name is not None else None
