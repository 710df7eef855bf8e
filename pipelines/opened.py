"""The model: an *opened* draft is what one process needs to work on it: its job, and the engines that all pieces of work
share. A process opens a draft once, whatever asks for it.

To make ready is to load and build beforehand what the first pieces of work would: so a nursery does it once for all.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pipelines.annotate import annotator_for
from pipelines.clean.forms import form
from pipelines.clean.lines import cut_lines
from pipelines.clean.text import clean_text
from pipelines.contamination.search import find_matches
from pipelines.dedup.minhash import signatures
from pipelines.finish import Annotators
from pipelines.job import Job
from pipelines.language import identify
from pipelines.redact import redact
from pipelines.rules.scored import signals_of

_SAMPLES = {"en": "It's ready: all of it.", "zh": "都准备好了！"}
"""Texts of the languages that have more to load than others, with a character beyond ASCII each where that takes another path."""


class Opened(NamedTuple):
    """A draft as one process works on it."""

    job: Job
    annotators: Annotators

    def make_ready(self) -> None:
        """Take a text of each language that the recipe's sources may hold through what costs most to load, and nothing that has threads."""
        settings = self.job.settings
        undeclared = any(source.lang is None for source in settings.sources)
        langs = [lang for lang in _SAMPLES if undeclared or any(source.lang == lang for source in settings.sources)]
        texts = [_SAMPLES[lang] for lang in langs]
        for text in texts:
            cut_lines(clean_text(text, settings.clean)[0], settings.clean)
            form(text, settings.clean)
        if undeclared:
            identify(texts)
        if settings.redact is not None:
            redact(pa.array(texts), settings.redact.placeholders)
        signals_of(texts, langs, settings)
        if (index := self.job.evaluation_index) is not None:
            find_matches(texts, index)
        if (near := settings.dedup.near) is not None:
            signatures(texts, ngram=near.ngram, hashes=near.hashes, seed=near.seed)
        for lang, text in zip(langs, texts, strict=True):
            if annotator_for(settings.annotate, lang).engine == "fast":
                self.annotators.engine(lang).annotate(pa.array([text]))


@cache
def opened(draft: str) -> Opened:
    """The draft at a path, opened for this process."""
    job = Job.open(Path(draft))
    return Opened(job, Annotators(job.settings))
