"""The model: an *annotator* finds sentences, words and parts of speech; an *engine* is one way to do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.recipe import Annotator


class Annotations(NamedTuple):
    """Columns of a document shard, row i for text i; offsets are bytes of the UTF-8 text."""

    sentence_ends: pa.ListArray
    word_starts: pa.ListArray
    word_ends: pa.ListArray
    pos: pa.ListArray


class AnnotatorEngine(Protocol):
    """What annotates texts of one language."""

    @property
    def version(self) -> str: ...

    def annotate(self, texts: Sequence[str]) -> Annotations: ...


def open_annotator(settings: Annotator) -> AnnotatorEngine:
    """The engine that the settings name, loaded. Raises `ValueError` naming what is not installed."""
    raise NotImplementedError


def engine_version(settings: Annotator) -> str:
    """The `version` that the opened engine would have, without loading it."""
    raise NotImplementedError
