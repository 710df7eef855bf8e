"""The model: a *text* is a document as token shards know it: where it comes from, its bytes and its token ids. *Held-out*
texts are drawn from a subset that no model was trained on, whole, by a rule that knows nothing of models: in the order
of their ids (which are hashes), each language up to an equal share of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from schemas.arrow import read_shard
from schemas.sampling import times_read

_READ = ("doc_id", "source", "lang", "subset", "weight", "n_bytes", "tokens")


@dataclass(frozen=True)
class Text:
    """A document's row of a token shard."""

    doc_id: bytes
    source: str
    lang: str
    n_bytes: int
    tokens: npt.NDArray[Any]
    """[t] ids without special tokens, a view of the mapped shard."""

    @property
    def predicted(self) -> int:
        """Tokens that a language model predicts: all, and the eos."""
        return len(self.tokens) + 1


def read_texts(shards: Iterable[Path], subset: str) -> list[Text]:
    """The texts of a subset, in the order of the shards; of the training subset those that training reads, each once."""
    texts: list[Text] = []
    for path in shards:
        table = read_shard(path)
        for batch in table.select([name for name in _READ if name in table.column_names]).to_batches():
            tokens = batch.column("tokens")
            offsets, ids = tokens.offsets.to_numpy(), tokens.values.to_numpy()
            names = ("doc_id", "source", "lang", "n_bytes", "subset")
            columns = (batch.column(name).to_pylist() for name in names)
            read = times_read(batch).astype(bool).tolist()
            for row, (doc_id, source, lang, n_bytes, found) in enumerate(zip(*columns, strict=True)):
                if found == subset and read[row]:
                    texts.append(Text(doc_id, source, lang, n_bytes, ids[offsets[row] : offsets[row + 1]]))
    return texts


class Drawable(Protocol):
    """What is drawn: a text, or a passage whose tokens are not known yet."""

    @property
    def doc_id(self) -> bytes: ...
    @property
    def lang(self) -> str: ...
    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=Drawable)


def draw(texts: Sequence[T], most: int, size: Callable[[T], int]) -> list[T]:
    """Texts whose sizes (predicted tokens, or bytes) come to at most `most`, languages in sorted order and each with an equal share.

    A language takes its texts in the order of their ids, passing over those that no longer fit. What a language leaves of
    its share goes to the languages with more text. Texts of no bytes are left out: they have no bits per byte.
    """
    by_language: dict[str, list[T]] = {}
    for text in sorted(texts, key=lambda text: text.doc_id):
        if text.n_bytes:
            by_language.setdefault(text.lang, []).append(text)
    sizes = {lang: sum(map(size, found)) for lang, found in by_language.items()}
    chosen: dict[str, list[T]] = {}
    left = most
    for done, lang in enumerate(sorted(sizes, key=lambda lang: (sizes[lang], lang))):
        room = left // (len(sizes) - done)
        chosen[lang] = []
        for text in by_language[lang]:
            if size(text) <= room:
                chosen[lang].append(text)
                room -= size(text)
                left -= size(text)
    return [text for lang in sorted(chosen) for text in chosen[lang]]


def tokens_of(text: Text) -> int:
    """The size of a text that is drawn by tokens."""
    return text.predicted


def bytes_of(texts: Sequence[Text]) -> npt.NDArray[np.int64]:
    """[texts] bytes of UTF-8."""
    return np.array([text.n_bytes for text in texts], dtype=np.int64)
