"""The model: models of yours that *score* documents: what they say is a signal, and rules judge by it like by any other."""

from __future__ import annotations

from typing import Literal

from schemas.recipe.section import Section


class Classifier(Section):
    """A fastText classifier of documents; the probability of its label is the signal `quality`."""

    path: str
    """File in fastText's format (.ftz, .bin), relative to the folder that the command runs in. Its content counts, not its place."""
    label: str
    """Of documents that are wanted, as the file has it, with or without `__label__`."""
    segmented: bool = False
    """Part words by spaces first, for a classifier that was trained on Chinese text so prepared."""


class NgramModel(Section):
    """An n-gram model; the perplexity of a document a word or character is the signal `perplexity`."""

    path: str
    """File in ARPA format (KenLM's lmplz writes it), .gz too, relative to the folder that the command runs in. Its content counts, not
    its place."""
    unit: Literal["word", "character"] = "word"
    """What the file's n-grams are made of."""
