"""The model: a *recipe* is the YAML file of a whole run. Each step reads one *section* of it.

Every value in a step's section is a *literal*: it decides the output and counts in the step's fingerprint. What is in
``run`` (workers, ranks, store) and where sources lie never counts. Sections are frozen; an unknown key is an error.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


def _is_name(value: str) -> str:
    if not value or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in value) or value[0] in ".-":
        raise ValueError("a name is letters, digits, '-', '_' and '.', and starts with a letter, a digit or '_'")
    return value


def _is_encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError("Python knows no encoding of this name") from None
    return value


Name = Annotated[str, AfterValidator(_is_name)]


class Section(BaseModel):
    """A frozen, validated part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A named place that text comes from."""

    name: Name
    path: str
    """File, folder or glob, relative to the folder that the command runs in. Where it lies is not part of the identity."""
    format: Literal["txt", "jsonl", "tree"]
    """txt: text files; jsonl: one JSON object a line; tree: source code, one document a file. .gz and .zst are read too."""
    unit: Literal["file", "line", "paragraph"] = "file"
    """What one document is in a txt file."""
    text_field: str = "text"
    """The JSON key that holds the text; other keys go to `extra`."""
    lang: str | None = None
    """Declared language (`code` for source code); null: identified for each document."""
    encoding: Annotated[str, AfterValidator(_is_encoding)] | None = None
    """Declared encoding; null: byte order mark, then detection."""
    include: tuple[str, ...] = ("*",)
    """Globs that file names below a folder must match."""
    exclude: tuple[str, ...] = ()
    """Globs of relative paths to leave out."""
    origin: Annotated[str, Field(pattern=r"^(text|uri|extra\..+)$")] = "uri"
    """What is kept together when subsets are drawn: `text` (normalised), `uri`, or `extra.KEY`."""


class Clean(Section):
    """How text is repaired. CJK text keeps its full-width punctuation whatever is set here."""

    ftfy: bool = True
    """Repair mojibake with ftfy (width, quote and normalisation fixes off)."""
    nfc: bool = True
    """Unicode normalisation form C."""
    control_characters: bool = True
    """Remove control characters other than tab and new line; CR LF becomes LF."""
    max_document_bytes: Positive = 64 << 20
    """A longer record is rejected as `too_long`."""


class Rules(Section):
    """Thresholds for one language; null turns a rule off. The reason of a reject is the key's name."""

    min_chars: Count | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    min_mean_word_length: Annotated[float, Field(ge=0)] | None = None
    max_mean_word_length: Annotated[float, Field(ge=0)] | None = None
    min_alphabetic: Fraction | None = None
    max_digits: Fraction | None = None
    max_symbols: Fraction | None = None
    min_lines_end_punctuation: Fraction | None = None
    max_new_lines: Fraction | None = None
    max_duplicate_lines: Fraction | None = None
    max_top_2gram: Fraction | None = None
    min_lang_score: Fraction | None = None


class Dedup(Section):
    """Which repeated texts go; the first in canonical order stays."""

    exact: bool = True
    conflict_field: str | None = None
    """Key of `extra`; equal texts with different values there are all rejected as `label_conflict`."""
    memory: Positive = 256 << 20
    """Bytes that one merge of digests may take; decides the number of hash partitions."""


class HeldOut(Section):
    """What is kept from training, drawn by origin group, after dedup."""

    validation: Fraction = 0.05
    test: Fraction = 0.05
    cut_shared_lines_over: int | None = None
    """Lines of held-out documents with more characters than this that also stand in a training document are cut; null: none are."""

    @model_validator(mode="after")
    def _at_most_the_whole(self) -> HeldOut:
        if self.validation + self.test > 1:
            raise ValueError(f"validation {self.validation} and test {self.test} are more than the whole")
        return self


class Annotator(Section):
    """Who finds sentences, words and parts of speech in one language."""

    engine: Literal["spacy", "rjieba", "plain"]
    """plain: rules by script, POS left null."""
    model: str | None = None
    """Installed spaCy pipeline, for the spacy engine."""

    @model_validator(mode="after")
    def _spacy_has_a_model(self) -> Annotator:
        if (self.engine == "spacy") != (self.model is not None):
            raise ValueError("the spacy engine needs a model, the name of an installed pipeline; the other engines take none")
        return self


class Corpus(Section):
    """The documents step: raw text in, document shards out."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """In order of priority: of equal texts, the earlier source's stays."""
    clean: Clean = Clean()
    rules: dict[str, Rules] = {}
    """By language; `default` serves the others."""
    dedup: Dedup = Dedup()
    held_out: HeldOut = HeldOut()
    annotate: dict[str, Annotator] = {}
    """By language; `default` serves the others (plain if absent)."""
    split_bytes: Positive = 32 << 20
    """Target size of a split, in bytes of input as stored."""
    keep_raw: bool = False
    """Keep the raw text of rejects in the reject shards."""
    allow_failed_splits: bool = False
    """Commit even if a split failed three times and was counted `failed`."""

    @model_validator(mode="after")
    def _names_differ(self) -> Corpus:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two sources have one name: {sorted(n for n in set(names) if names.count(n) > 1)}")
        return self


class Tokenizer(Section):
    """The tokenizer step: a deterministic sample of the training subset in, tokenizer.json out."""

    kind: Literal["byte_bpe"] = "byte_bpe"
    vocab_size: Annotated[int, Field(ge=512, le=1 << 20)] = 32_768
    sample_bytes: Positive = 64 << 20
    """Bytes of text to train on, drawn evenly over `weights`."""
    weights: dict[str, float] = {}
    """Share of the sample by language; empty: as the corpus is."""
    special_tokens: Annotated[tuple[str, ...], Field(min_length=3)] = ("<|bos|>", "<|eos|>", "<|pad|>")
    """The first three begin a document, end it, and fill a batch up."""
    pin: str | None = None
    """`name@version` of a tokenizer to use instead of training one."""


class Tokens(Section):
    """The tokens step: document shards in, row-aligned token shards out."""

    engine: Literal["tokenizers"] = "tokenizers"


class Decoder(Section):
    """A Llama-shaped decoder: RMSNorm, half-split RoPE, SwiGLU, grouped-query attention."""

    layers: Positive = 4
    width: Positive = 256
    heads: Positive = 4
    kv_heads: Positive = 4
    ffn: Positive = 688
    context: Positive = 128
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _divides(self) -> Decoder:
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError("width must be a multiple of heads, and heads of kv_heads")
        return self


class Optimizer(Section):
    """AdamW for all weights, or Muon for 2-D hidden weights and AdamW for the rest."""

    name: Literal["adamw", "muon"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate of AdamW's weights (of all, if AdamW alone)."""
    muon_lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Limit of the global gradient norm."""


class Schedule(Section):
    """Warm up, hold, then decay linearly to `final` times the peak (warmup-stable-decay; decay 1: straight down)."""

    warmup: Fraction = 0.05
    decay: Fraction = 0.5
    """Shares of the steps."""
    final: Fraction = 0.0


class Pretrain(Section):
    """The pretrain step: token shards in, a model out."""

    model: Decoder = Decoder()
    steps: Positive = 1000
    batch: Positive = 16
    """Sequences of `model.context` tokens a step, over all ranks."""
    mix: dict[str, float] = {}
    """Share of the samples by language; empty: as the corpus is."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    precision: Literal["float32", "bf16"] = "bf16"
    compile: bool = True
    """torch.compile; without a C++ compiler the run goes on without it, and says so."""
    validate_every: Positive = 200
    """Steps between measures of validation bits per byte."""
    validate_tokens: Positive = 32_768
    checkpoint_every: Positive = 200
    keep_checkpoints: Positive = 2
    seed: int = 0


class Finetune(Section):
    """The finetune step: documents with labels and a pretrained model in, a classifier out."""

    source: Name
    """The source whose documents carry labels."""
    label_field: str = "label"
    """Key of `extra`."""
    epochs: Positive = 2
    batch: Positive = 32
    max_tokens: Positive = 128
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Fraction = 0.1
    precision: Literal["float32", "bf16"] = "bf16"
    compile: bool = False
    seed: int = 0


class Evaluate(Section):
    """The evaluate step: models and held-out text in, metrics beside their baselines out."""

    subset: Literal["validation", "test"] = "test"
    max_tokens: Positive = 120_000
    """Tokens of held-out text to measure language modelling on, over all languages."""
    ngram_orders: tuple[Positive, ...] = (2, 5)
    prompts: tuple[str, ...] = ()
    sample_tokens: Positive = 48
    temperature: Annotated[float, Field(ge=0)] = 0.8
    seed: int = 0


class Run(Section):
    """How and where it runs; never part of an identity."""

    store: str = ".gristmill/store"
    """Folder of the artifacts, relative to the working directory."""
    workers: Positive = 2
    """Processes of the data jobs."""
    runner: Literal["local"] = "local"
    """Beam runner of the data jobs; local is FnApiRunner, in process for one worker."""
    ranks: Positive = 2
    """Processes of a training."""
    threads_per_rank: Positive = 1


class Recipe(Section):
    """A whole run, from sources to an evaluated model."""

    name: Name
    """Name of the artifacts it makes."""
    corpus: Corpus
    tokenizer: Tokenizer = Tokenizer()
    tokens: Tokens = Tokens()
    pretrain: Pretrain | None = None
    finetune: Finetune | None = None
    evaluate: Evaluate | None = None
    run: Run = Run()

    @model_validator(mode="after")
    def _steps_have_what_they_need(self) -> Recipe:
        if self.finetune and not self.pretrain:
            raise ValueError("finetune starts from the model that pretrain makes: add a pretrain section")
        if self.evaluate and not self.pretrain:
            raise ValueError("evaluate measures the model that pretrain makes: add a pretrain section")
        if self.finetune and self.finetune.source not in {s.name for s in self.corpus.sources}:
            raise ValueError(f"finetune.source {self.finetune.source!r} is not a source of the corpus")
        if self.pretrain and self.finetune and self.finetune.max_tokens > self.pretrain.model.context:
            raise ValueError(
                f"finetune.max_tokens {self.finetune.max_tokens} is more than pretrain.model.context {self.pretrain.model.context}"
            )
        if self.pretrain and self.pretrain.batch % self.run.ranks:
            raise ValueError(f"pretrain.batch {self.pretrain.batch} does not divide over run.ranks {self.run.ranks}")
        return self


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
