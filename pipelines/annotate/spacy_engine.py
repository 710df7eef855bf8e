"""The model: any installed spaCy *pipeline* tags words; only what gives UPOS and sentences runs. Sentences come from the
pipeline's `senter` if it has one, else from rules (`sentencizer`). A text longer than a *chunk* is annotated chunk by
chunk, cut at a new line, else at a space: memory is bounded, and one huge document does not break the pipeline.

Texts are tagged together in batches for speed; each is computed as if alone (a test holds this).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TYPE_CHECKING

import numpy as np

from pipelines.annotate.columns import Annotations, columns_of
from schemas.arrow import UPOS_CODE

if TYPE_CHECKING:
    from spacy.language import Language

CHUNK_CHARS = 50_000
"""Longest text that spaCy sees at once; its own limit is 1,000,000, at about 1 GB a 100,000 for the parser."""

_BATCH = 128
_NEEDED = ("tok2vec", "transformer", "tagger", "morphologizer", "attribute_ruler", "senter")


def version_of(model: str) -> str:
    """Versions of spaCy, of the libraries that compute, and of the pipeline. Raises `ValueError` if it is not installed."""
    installed = {entry.name: entry.dist for entry in entry_points(group="spacy_models")}
    try:
        spacy, thinc, blis = version("spacy"), version("thinc"), version("blis")
    except PackageNotFoundError as error:
        raise ValueError(f"annotator engine 'spacy': {error.name} is not installed; install spacy") from error
    distribution = installed.get(model)
    if distribution is None:
        known = ", ".join(sorted(installed)) or "none"
        raise ValueError(f"spaCy pipeline {model!r} is not installed (installed: {known}); install it or name another model")
    return f"spacy {spacy} (thinc {thinc}, blis {blis}) {model} {distribution.version}"


class SpacyEngine:
    """Words, sentences and parts of speech by a spaCy pipeline; see the module."""

    def __init__(self, model: str) -> None:
        self.version = version_of(model)
        import spacy
        from spacy.attrs import IDX, LENGTH, POS, SENT_START, SPACY

        available = spacy.util.get_lang_class
        del available, SPACY
        nlp = spacy.load(model)
        for name in nlp.component_names:
            if name in _NEEDED:
                nlp.enable_pipe(name)
            else:
                nlp.remove_pipe(name)
        if "senter" not in nlp.pipe_names:
            nlp.add_pipe("sentencizer")
        self._nlp = nlp
