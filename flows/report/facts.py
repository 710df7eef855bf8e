"""The model: *report facts* are all figures that a report page shows, as frozen, JSON-able values.

A *cell* counts the documents of one source, language and subset: every table of the corpus is a sum of cells. A
*profile* is what one language's texts look like: lengths, parts of speech, frequent words. A *curve* is a measure over
training steps. A *node* is an artifact in the lineage. Optional facts are None where a run has not come that far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.ledger import Ledger
from schemas.results import Result


@dataclass(frozen=True)
class Cell:
    """Kept documents of one source, language and subset. Bytes and characters are of the clean UTF-8 text."""

    source: str
    lang: str
    subset: str
    documents: int
    bytes: int
    characters: int
    words: int
    sentences: int


@dataclass(frozen=True)
class Lengths:
    """How long documents are, in characters."""

    bins: tuple[int, ...]
    """Documents by length: bin i counts lengths in [2**i, 2**(i + 1)), bin 0 also the empty ones."""
    tenth: int
    median: int
    ninetieth: int
    longest: int


@dataclass(frozen=True)
class WordCount:
    word: str
    count: int


@dataclass(frozen=True)
class Profile:
    """What the texts of one language look like."""

    lang: str
    lengths: Lengths
    pos: tuple[int, ...]
    """Words by UPOS code, in the order of `schemas.arrow.UPOS`; all zero if no document has tags."""
    untagged_documents: int
    """Documents whose `pos` is null."""
    frequent: tuple[WordCount, ...]
    """The most frequent words that have a letter; lower-cased except in source code."""


@dataclass(frozen=True)
class Example:
    """A reject to look at."""

    reason: str
    stage: str
    source: str
    uri: str
    record: int
    record_bytes: int
    detail: str
    text: str | None
    """The beginning of it; None if the reject shard holds no text."""
    truncated: bool


@dataclass(frozen=True)
class Node:
    """An artifact, its identity and its content."""

    role: str
    """What it is in this run: documents, tokenizer, tokens, pretrain, finetune or evaluation."""
    kind: str
    name: str
    version: str
    step: str
    step_version: int
    fingerprint: str
    content_digest: str
    inputs: Mapping[str, str]
    """Content digest by role."""
    settings: Mapping[str, Any]
    engines: Mapping[str, str]
    files: int
    bytes: int
    forgotten: str = ""
    """What it had of documents that were forgotten since, in words."""


@dataclass(frozen=True)
class TokenizerFacts:
    vocab_size: int
    special_tokens: Mapping[str, int]
    bytes_per_token: Mapping[str, float]
    """By language, on the sample it was trained on."""


@dataclass(frozen=True)
class TokenCount:
    """Tokens of one language and subset, and the bytes of text that they stand for."""

    lang: str
    subset: str
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Sampled:
    """Training tokens of one source and language, and how many of them an epoch reads."""

    source: str
    lang: str
    tokens: int
    epoch: int


@dataclass(frozen=True)
class Curve:
    """A measure over steps, averaged over equal ranges of steps so that long runs stay small. Equal lengths."""

    steps: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()


@dataclass(frozen=True)
class Training:
    """The course of a pretrain or finetune step."""

    last_step: int
    summary: Mapping[str, Any]
    """What the step recorded about itself: parameters, tokens seen, environment, ..."""
    loss: Curve
    """Nats a token (pretrain) or a document (finetune)."""
    learning_rate: Curve
    gradient_norm: Curve
    validation: Mapping[str, Curve]
    """On the validation subset, by language (pretrain)."""
    validation_accuracy: Curve
    """On the validation subset, after each epoch (finetune)."""
    validation_unit: str = "bits per byte"
    """Of `validation`."""


@dataclass(frozen=True)
class System:
    """A language model on one group of held-out texts: ours, or an n-gram baseline on the same tokens."""

    name: str
    bits_per_byte: float
    interval: tuple[float, float]
    """95 % interval of the bits per byte."""
    perplexity: float
    """Per token."""
    relative: float | None = None
    """Of a baseline: our bits per byte over its, less 1; below 0 ours is better."""
    relative_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Group:
    """Held-out texts of one language or of one source, as every system models them."""

    by: str
    """`language` or `source`."""
    name: str
    documents: int
    tokens: int
    bytes: int
    ours: System
    baselines: tuple[System, ...]


@dataclass(frozen=True)
class Classifier:
    """A classifier on held-out documents: ours, or a baseline."""

    name: str
    accuracy: float
    standard_error: float
    macro_f1: float


@dataclass(frozen=True)
class Classification:
    source: str
    documents: int
    classifiers: tuple[Classifier, ...]
    """The fine-tuned model first, then its baselines."""


@dataclass(frozen=True)
class Sample:
    prompt: str
    text: str


@dataclass(frozen=True)
class Evaluation:
    subset: str
    groups: tuple[Group, ...]
    classification: Classification | None
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Found:
    """A result about a model, and where it stands."""

    result: Result
    where: str
    """The evaluation, when it was made, and the contents of the model; or what a probe printed."""
    model: str
    """Reference of its artifact."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What a probe told beside it."""


@dataclass(frozen=True)
class ReportFacts:
    """All that a report page shows."""

    name: str
    lineage: tuple[Node, ...]
    """In order of making."""
    ledgers: Mapping[str, Ledger]
    """By source."""
    cells: tuple[Cell, ...] = ()
    profiles: tuple[Profile, ...] = ()
    examples: tuple[Example, ...] = ()
    tokenizer: TokenizerFacts | None = None
    tokens: tuple[TokenCount, ...] = ()
    sampled: tuple[Sampled, ...] = ()
    """Empty if an epoch reads each document once."""
    pretrain: Training | None = None
    finetune: Training | None = None
    evaluation: Evaluation | None = None
    results: tuple[Result, ...] = ()
    """Of the evaluation, by task."""
    probes: tuple[Found, ...] = ()
    """Of the run's models, the newest of each question."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
