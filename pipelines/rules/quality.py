"""The model: the *quality* of a document is the probability that a classifier of the recipe gives to a label of it: fastText's (Joulin et
al. 2016, arXiv:1607.01759), read from a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from schemas.errors import RequestError
from schemas.recipe import Classifier

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

_PREFIX = "__label__"
_LABEL = re.compile(rb"(__label__[^\0\s]{1,200})\0")
"""As an entry of the dictionary in fastText's format, which ends in a zero byte."""


def quality_scores(settings: Mapping[str, Classifier], texts: Sequence[str], langs: Sequence[str]) -> npt.NDArray[np.float32]:
    """The score of each text by its language's classifier; NaN where there is none.

    Raises `RequestError` naming a file that is no fastText model, or hasn't the label.
    """
    scores = np.full(len(texts), np.nan, np.float32)
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        if (classifier := settings.get(lang, settings.get("default"))) is not None:
            scores[row] = _score(text, classifier)
    return scores


def engines() -> dict[str, str]:
    """Versions of what decides the scores beside the files, for fingerprints."""
    return {"fasttext-predict": version("fasttext-predict")}


def _score(text: str, classifier: Classifier) -> float:
    if classifier.segmented:
        import rjieba

        text = " ".join(rjieba.cut(text))
    line = " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode() + "\n"
    model, label = _open(classifier.path, classifier.label)
    shares = {found: share for share, found in model.f.predict(line, -1, 0.0, "replace")}
    return float(min(shares.get(label, 0.0), 1.0))  # what it thinks impossible isn't among them


@cache
def _open(path: str, label: str) -> tuple[_FastText, str]:
    """The model, and the label as it has it."""
    import fasttext

    wanted = _PREFIX + label.removeprefix(_PREFIX)
    try:
        model = fasttext.load_model(path)
        with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            labels = {found.group(1).decode("utf-8", "replace") for found in _LABEL.finditer(content)}
    except (ValueError, RuntimeError) as error:
        raise RequestError(f"{path}: can't be read as a fastText model: {error}") from error
    if wanted not in labels:
        there_is = ", ".join(sorted(labels)[:5]) or "none"
        raise RequestError(f"{path}: has no label {label!r}; there is {there_is}. Correct corpus.quality")
    return model, wanted
