"""The model: a *text* is a document as token shards know it: where it comes from, its bytes and its token ids. *Held-out*
texts are drawn (`model.evaluate.drawing`) from a subset that no model was trained on, whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def tokens_of(text: Text) -> int:
    """The size of a text that is drawn by tokens."""
    return text.predicted


def bytes_of(texts: Sequence[Text]) -> npt.NDArray[np.int64]:
    """[texts] bytes of UTF-8."""
    return np.array([text.n_bytes for text in texts], dtype=np.int64)
