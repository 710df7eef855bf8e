"""The model: any installed spaCy *pipeline* tags words; only the *components* that give tags and sentences are loaded: what predicts
tags (a morphologizer, or a tagger and the attribute ruler that maps its tags), one thing that finds sentences (`senter`, else
`sentencizer`, else the parser, else rules), and what these listen to. A text longer than a *chunk* is annotated chunk by
chunk, cut at a new line, else at a space: memory is bounded, and one huge document does not break the pipeline.

Texts are tagged together in batches for speed; each is computed as if alone (a test holds this).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.annotate import GivenWord
from pipelines.annotate.columns import Annotations, Ints, columns_of, join
from schemas.arrow import UPOS_CODE
from schemas.errors import RequestError

CHUNK_CHARS = 50_000
"""Longest text that spaCy sees at once; its own limit (`nlp.max_length`) is 1,000,000."""

_BATCH = 128
_SPACE = 255
_LISTENED_TO = frozenset({"tok2vec", "transformer", "curated_transformer"})
_TAGGERS = frozenset({"tagger", "morphologizer", "attribute_ruler"})
_SENTENCES = ("senter", "sentencizer", "parser")
"""In the order in which they are wanted; the parser costs most."""


def version_of(model: str) -> str:
    """Versions of spaCy, of the libraries that compute, and of the pipeline. Raises `RequestError` if it is not installed."""
    installed = {entry.name: entry.dist for entry in entry_points(group="spacy_models")}
    try:
        spacy, thinc, blis = version("spacy"), version("thinc"), version("blis")
    except PackageNotFoundError as error:
        raise RequestError(f"annotator engine 'spacy': {error.name} is not installed; install spacy") from error
    distribution = installed.get(model)
    if distribution is None:
        known = ", ".join(sorted(installed)) or "none"
        raise RequestError(f"spaCy pipeline {model!r} is not installed (installed: {known}); install it or name another model")
    return f"spacy {spacy} (thinc {thinc}, blis {blis}) {model} {distribution.version}"


def installed_for(lang: str) -> list[str]:
    """Names of the installed pipelines for a language, by spaCy's convention that a name begins with it."""
    return sorted(entry.name for entry in entry_points(group="spacy_models") if entry.name.startswith(f"{lang}_"))


class SpacyEngine:
    """Words, sentences and parts of speech by a spaCy pipeline; see the module."""

    def __init__(self, model: str) -> None:
        self.version = version_of(model)
        import spacy

        factories = _factories(model)
        needed = needed_components(factories)
        self._nlp = spacy.load(model, exclude=[name for name in factories if name not in needed])
        for name in set(needed) - set(self._nlp.pipe_names):  # the pipeline turns it off, as most do with the senter
            self._nlp.enable_pipe(name)
        if not any(factories[name] in _SENTENCES for name in needed):
            self._nlp.add_pipe("sentencizer")
        self._code_by_pos = _code_by_pos()

    def annotate(self, texts: pa.StringArray) -> Annotations:
        joined = join(texts)
        tokens, chunk_starts = self._tokens(texts.to_pylist(), joined.bounds)
        starts, lengths, pos, begins, chunk = tokens.T
        starts = starts + chunk_starts[chunk]
        kept = self._code_by_pos[pos] != _SPACE
        sentence = np.cumsum(begins == 1)[kept]  # also counts one that begins at white space
        starts = starts[kept]
        text = np.searchsorted(joined.bounds, starts, side="right")
        first = np.flatnonzero((sentence[1:] != sentence[:-1]) & (text[1:] == text[:-1])) + 1
        return columns_of(joined, starts, starts + lengths[kept], starts[first], self._code_by_pos[pos[kept]])

    def tag_words(self, sentences: Sequence[Sequence[GivenWord]]) -> npt.NDArray[np.uint8]:
        from spacy.attrs import POS
        from spacy.tokens import Doc

        docs = (Doc(self._nlp.vocab, [word.form for word in words], [word.space_after for word in words]) for words in sentences)
        tags = [doc.to_array([POS]).ravel() for doc in self._nlp.pipe(docs, batch_size=_BATCH)]
        codes = self._code_by_pos[np.concatenate([np.zeros(0, np.uint64), *tags]).astype(np.int64)]
        return np.where(codes == _SPACE, np.uint8(UPOS_CODE["X"]), codes)

    def _tokens(self, texts: Sequence[str], bounds: Ints) -> tuple[Ints, Ints]:
        """Start in its chunk, length, spaCy's POS, whether it begins a sentence (1) and chunk of each token; starts of the chunks."""
        from spacy.attrs import IDX, LENGTH, POS, SENT_START

        chunks = [(start, chunk) for base, text in zip(bounds[:-1].tolist(), texts, strict=True) for start, chunk in _chunks(text, base)]
        rows = [
            np.column_stack([doc.to_array([IDX, LENGTH, POS, SENT_START]).view(np.int64), np.full(len(doc), number)])
            for number, doc in enumerate(self._nlp.pipe((chunk for _, chunk in chunks), batch_size=_BATCH))
        ]
        return np.concatenate([np.zeros((0, 5), np.int64), *rows]), np.array([start for start, _ in chunks], np.int64)


def needed_components(factories: Mapping[str, str]) -> list[str]:
    """Of a pipeline's components (name to factory), those that give tags and sentences, with what they listen to."""
    tags = [name for name, factory in factories.items() if factory in _TAGGERS]
    sentences = [name for wanted in _SENTENCES for name, factory in factories.items() if factory == wanted][:1]
    listened_to = [name for name, factory in factories.items() if factory in _LISTENED_TO]
    return [name for name in factories if name in {*listened_to, *tags, *sentences}]


def _factories(model: str) -> dict[str, str]:
    """The factory of each component of an installed pipeline, in order, without loading any of them."""
    from spacy import util

    package = util.get_package_path(model)
    meta: dict[str, Any] = util.get_model_meta(package)
    config = util.load_config(package / f"{meta['lang']}_{meta['name']}-{meta['version']}" / "config.cfg")
    return {name: config["components"][name]["factory"] for name in config["nlp"]["pipeline"]}


def _chunks(text: str, base: int) -> Iterator[tuple[int, str]]:
    """Pieces of `text` of at most `CHUNK_CHARS`, each with its start, counted from `base`."""
    start = 0
    while start < len(text):
        end = start + CHUNK_CHARS
        if end < len(text):
            cut = text.rfind("\n", start, end) + 1 or text.rfind(" ", start, end) + 1
            end = cut or end
        yield base + start, text[start:end]
        start = end


def _code_by_pos() -> npt.NDArray[np.uint8]:
    """Our code by spaCy's number of a tag; `X` for what spaCy left untagged."""
    from spacy import symbols

    codes = np.full(256, UPOS_CODE["X"], np.uint8)
    for tag, code in UPOS_CODE.items():
        codes[symbols.IDS[tag]] = code
    codes[symbols.IDS["SPACE"]] = _SPACE
    return codes
