"""The model: two parts of the fast engine for those who work in spaCy. The *component* `gristmill_fast` sets where sentences start and
`token.pos_`, over whatever words the Doc has; the *tokenizer* `gristmill.FastTokenizer.v1` makes the Doc's words those of the engine.
Both are registered by the package's entry points, so that `nlp.add_pipe("gristmill_fast")` and a saved pipeline find them.

    nlp = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "gristmill.FastTokenizer.v1"}}})
    nlp.add_pipe("gristmill_fast")

Neither has weights of its own to save: what they give follows from the language, the standard and the version of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from spacy import util
from spacy.attrs import IDX, IS_SPACE, LENGTH, POS, SENT_START
from spacy.language import Language
from spacy.symbols import IDS
from spacy.tokens import Doc
from spacy.vocab import Vocab

from pipelines.annotate.columns import join
from pipelines.annotate.fast.engine import FastEngine
from schemas.arrow import UPOS

_POS = np.array([IDS[tag] for tag in UPOS], np.uint64)
_NO_START = np.int64(-1).astype(np.uint64)


class _NothingToSave:
    """What spaCy calls when a pipeline is saved or loaded."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        return b""

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> _NothingToSave:
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Nothing: the configuration says all."""

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> _NothingToSave:
        return self


class FastComponent(_NothingToSave):
    """Sets sentence starts, and tags if the language has a tagger."""

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine

    def __call__(self, doc: Doc) -> Doc:
        self._annotate([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int) -> Iterator[Doc]:
        for docs in util.minibatch(stream, batch_size):
            self._annotate(docs)
            yield from docs

    def _annotate(self, docs: Sequence[Doc]) -> None:
        joined = join(pa.array([doc.text for doc in docs], pa.string()))
        rows = [doc.to_array([IDX, LENGTH, IS_SPACE]).view(np.int64).reshape(-1, 3) for doc in docs]
        numbers = np.repeat(np.arange(len(docs)), [len(doc) for doc in docs])
        offsets, lengths, spaces = np.concatenate(rows).T
        words = spaces == 0
        starts = (offsets + joined.bounds[numbers])[words]
        firsts, pos = self._engine.sentences_and_tags(joined, starts, starts + lengths[words])
        begins = np.full(words.size, _NO_START)
        begins[np.flatnonzero(words)[firsts]] = 1
        tags = np.full(words.size, IDS["SPACE"], np.uint64)
        tags[words] = 0 if pos is None else _POS[pos]
        first = 0
        for doc in docs:
            if len(doc):
                begins[first] = 1
                own = slice(first, first + len(doc))
                table: Any = np.column_stack([begins[own], tags[own]][: 1 if pos is None else 2])
                doc.from_array([SENT_START, POS][: table.shape[1]], table)
            first += len(doc)


class FastTokenizer(_NothingToSave):
    """Makes Docs of the engine's words; white space beyond single spaces becomes tokens, as in all Docs."""

    def __init__(self, vocab: Vocab, engine: FastEngine) -> None:
        self.vocab = vocab
        self._engine = engine

    def __call__(self, text: str) -> Doc:
        data = text.encode()
        found = self._engine.annotate(pa.array([text], pa.string()))
        spans = zip(found.word_starts[0].as_py(), found.word_ends[0].as_py(), strict=True)
        words, spaces = util.get_words_and_spaces([data[a:b].decode() for a, b in spans], text)
        return Doc(self.vocab, words=words, spaces=spaces)

    def pipe(self, texts: Iterable[str]) -> Iterator[Doc]:
        return map(self, texts)


@Language.factory("gristmill_fast", assigns=["token.is_sent_start", "token.pos"], default_config={"standard": "ud"})
def create_component(nlp: Language, name: str, standard: str) -> FastComponent:
    """The component for a pipeline's language; `standard` as in a recipe."""
    return FastComponent(FastEngine(nlp.lang or "xx", standard))


@util.registry.tokenizers("gristmill.FastTokenizer.v1")
def create_tokenizer(standard: str = "ud") -> Callable[[Language], FastTokenizer]:
    """What makes the tokenizer for a pipeline's language; `standard` as in a recipe."""
    return lambda nlp: FastTokenizer(nlp.vocab, FastEngine(nlp.lang or "xx", standard))
