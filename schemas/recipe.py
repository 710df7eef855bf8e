"""The model: a *recipe* is the YAML file of a whole run. Each step reads one *section* of it.

Every value in a step's section is a *literal*: it decides the output and counts in the step's fingerprint. What is in
``run`` (workers, ranks, store) and where sources lie never counts. Sections are frozen; an unknown key is an error.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.languages import is_language

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


def _is_placeholder(value: str) -> str:
    inner = value[1:-1]
    if value[:1] + value[-1:] not in _BRACKETS or not inner or not all(c.isalpha() or c in " _-" for c in inner):
        raise ValueError(f"a placeholder is letters, ' ', '_' and '-' between brackets of one kind ({' '.join(_BRACKETS)}), as '<EMAIL>'")
    return value


_BRACKETS = ("<>", "[]", "{}", "【】", "《》", "〈〉", "「」")
"""No value begins or ends with one of them, so a placeholder never grows together with what stands beside it."""


def _refuse_twins(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"two {what} have one name: {sorted(n for n in set(names) if names.count(n) > 1)}")


Name = Annotated[str, AfterValidator(_is_name)]
Placeholder = Annotated[str, AfterValidator(_is_placeholder)]


class Section(BaseModel):
    """A frozen, validated part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A named place that text comes from."""

    name: Name
    path: str
    """File, folder or glob, relative to the folder that the command runs in, or a URL that fsspec reads (s3://, https://, ...).
    Where it lies is not part of the identity."""
    format: Literal["txt", "jsonl", "csv", "tsv", "parquet", "arrow", "html", "warc", "mediawiki", "epub", "tree"]
    """txt: text files; jsonl: one JSON object a line; csv: RFC 4180, quotes and all; tsv: tabs and no quotes; parquet, arrow (IPC):
    a row; html: a page; warc: a record of a web archive, WET too; mediawiki: a page of an XML dump; epub: a book; tree: source code,
    one document a file. All may be compressed (.gz, .bz2, .xz, .zst) or lie in archives (.zip, .tar, .tar.gz, ...)."""
    unit: Literal["file", "line", "paragraph"] = "file"
    """What one document is in a txt file."""
    text_field: str = "text"
    """The JSON key or the column that holds the text; others go to `extra`."""
    extra_fields: tuple[str, ...] | None = None
    """The other keys or columns that `extra` takes; null: all of them."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the columns of csv and tsv files that don't begin with a line of names; null: they do."""
    delimiter: Annotated[str, Field(pattern=r"^[^\"\r\n]$")] = ","
    """What stands between the fields of a csv file."""
    main_text: Literal["resiliparse", "trafilatura", "all"] = "resiliparse"
    """Who tells the main text of a web page from what surrounds it; all: nobody does, all visible text is taken.
    trafilatura has to be installed: it is the extra of that name."""
    namespaces: tuple[int, ...] = (0,)
    """Namespaces of a wiki whose pages are documents; 0: articles."""
    generated: Literal["reject", "keep"] = "reject"
    """What happens to generated and to minified files of a tree."""
    members: tuple[str, ...] = ("*",)
    """Globs that names of members of archives must match."""
    lang: Annotated[str, AfterValidator(is_language)] | None = None
    """Declared language (`code` for source code); null: identified for each document."""
    encoding: Annotated[str, AfterValidator(_is_encoding)] | None = None
    """Declared encoding; null: byte order mark, then detection."""
    include: tuple[str, ...] = ("*",)
    """Globs that file names below a folder must match."""
    exclude: tuple[str, ...] = ()
    """Globs of relative paths to leave out."""
    origin: Annotated[str, Field(pattern=r"^(text|uri|extra\..+)$")] = "uri"
    """What is kept together when subsets are drawn: `text` (normalised), `uri`, or `extra.KEY`."""

    @model_validator(mode="after")
    def _keys_fit_the_format(self) -> Source:
        for key, formats in _FORMATS_OF.items():
            if self.format not in formats and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is for {' and '.join(formats)}, not for {self.format}")
        return self

    @model_serializer(mode="wrap")
    def _tell_what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came after the first version are told where they say something, so that older artifacts stay valid.

        `generated` is always told of a tree: its default rejects what was kept before there was such a key.
        """
        told = handler(self)
        for key in _LATER_KEYS:
            if getattr(self, key) == type(self).model_fields[key].default and (key, self.format) != ("generated", "tree"):
                del told[key]
        return dict(told)


_OF_FIELDS = ("jsonl", "csv", "tsv", "parquet", "arrow")
_FORMATS_OF = {
    "unit": ("txt",),
    "text_field": _OF_FIELDS,
    "extra_fields": _OF_FIELDS,
    "columns": ("csv", "tsv"),
    "delimiter": ("csv",),
    "main_text": ("html", "warc"),
    "namespaces": ("mediawiki",),
    "generated": ("tree",),
}
_LATER_KEYS = ("extra_fields", "columns", "delimiter", "main_text", "namespaces", "generated", "members")


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


class Redact(Section):
    """By what values are replaced that tell who somebody is or open what is theirs; null: values of this kind stay."""

    secret: Placeholder | None = "<SECRET>"
    """Keys and tokens of known issuers, private keys, passwords in URLs, random strings assigned to a name such as `api_key`."""
    email: Placeholder | None = "<EMAIL>"
    id_card: Placeholder | None = "<ID_CARD>"
    """Chinese resident identity numbers whose check digit is right."""
    card: Placeholder | None = "<CARD>"
    """Numbers of payment cards whose check digit is right."""
    ip: Placeholder | None = "<IP>"
    """Globally reachable addresses, versions 4 and 6."""
    phone: Placeholder | None = "<PHONE>"
    """International, Chinese and North American numbers; others behind or before a word that says so."""

    @property
    def placeholders(self) -> dict[str, str]:
        """By kind, without the kinds that stay."""
        return self.model_dump(exclude_none=True)


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


class Harmful(Section):
    """Word lists of harmful content, and what happens to documents that are full of it."""

    own_lists: bool = True
    """Use the small lists that ship, for English and Chinese."""
    lists: dict[str, tuple[str, ...]] = {}
    """Files by language, a term a line, in UTF-8; those of `default` serve every language. Their content counts, not their place."""
    max_score: Fraction = 0.02
    """Largest share of a document's characters, white space aside, that terms may make up."""
    action: Literal["drop", "flag", "weight"] = "flag"
    """What happens above it. drop: a reject; flag: `harmful` in the column `flags`; weight: `weight` in the column `weight`. The
    score is a signal of every document."""
    weight: Fraction | None = None
    """Of such a document, for action weight, which needs it."""

    @model_validator(mode="after")
    def _there_is_a_list(self) -> Harmful:
        if not self.own_lists and not self.lists:
            raise ValueError("there is no list: name some in lists, or leave own_lists on")
        if (self.weight is not None) != (self.action == "weight"):
            raise ValueError(f"action weight needs a weight, and no other action has one; this one is {self.action}")
        return self


class Near(Section):
    """When a document counts as a near duplicate of an earlier one, by MinHash over words (over characters where no spaces are written)."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of the two sets of n-grams; it is estimated, and an estimate passes down to two standard deviations below."""
    ngram: Positive = 5
    """Words, or characters, of an n-gram. A shorter document is never a near duplicate."""
    bands: Positive = 16
    """Documents that agree in all rows of a band are compared: with 16 x 7, 0.977 of the pairs at 0.8."""
    rows: Positive = 7
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 1

    @property
    def hashes(self) -> int:
        """Hash functions of a signature."""
        return self.bands * self.rows


class Dedup(Section):
    """Which repeated texts go; the first in canonical order stays."""

    exact: bool = True
    near: Near | None = None
    """Drop near duplicates, too (`near: {}` takes the defaults); null: only equal texts go."""
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

    engine: Literal["fast", "spacy", "rjieba", "plain"] = "fast"
    """fast: rules and taggers of our own (POS is null where there is none); rjieba: Chinese by a dictionary; plain: by script, POS null."""
    model: str | None = None
    """Installed spaCy pipeline, for the spacy engine."""
    standard: Literal["ud", "dictionary"] = "ud"
    """Where the fast engine cuts Chinese words: as Universal Dependencies does, or as jieba's dictionary does."""
    weights: str | None = None
    """File of weights for the fast engine, made by `gristmill tagger train`; null: those that ship. Its content counts, not its place."""

    @model_validator(mode="after")
    def _options_fit_the_engine(self) -> Annotator:
        if (self.engine == "spacy") != (self.model is not None):
            raise ValueError("the spacy engine needs a model, the name of an installed pipeline; the other engines take none")
        if self.standard != "ud" and self.engine != "fast":
            raise ValueError(f"a standard is chosen for the fast engine; {self.engine} has one of its own")
        if self.weights is not None and self.engine != "fast":
            raise ValueError(f"weights are for the fast engine; {self.engine} reads none")
        return self


class EvaluationSet(Section):
    """A file of evaluation items, which must not be trained on."""

    name: Name
    path: str
    """The file, .gz and .zst too, relative to the folder that the command runs in. Its content is the identity, not its place."""
    format: Literal["jsonl", "json", "csv", "txt"]
    """A row is a line with a JSON object; an element of a JSON list (or of the list under `data`, as in SQuAD); a line below a header;
    a line of text."""
    fields: tuple[str, ...] = ()
    """Keys that hold texts, each text an item of its own; dots lead into objects, and through lists, as in `paragraphs.context`."""
    id_field: str = "id"
    """Key by which hits name an item, looked for beside its text, then outward; without it the row's number does."""

    @model_validator(mode="after")
    def _fields_fit_the_format(self) -> EvaluationSet:
        if (self.format == "txt") == bool(self.fields):
            raise ValueError("fields say which keys hold the texts of jsonl, json and csv; a line of txt is a text as it is")
        return self


class Decontaminate(Section):
    """Which documents hold items of evaluation sets, by n-grams over words, and over characters where no spaces are written."""

    sets: Annotated[tuple[EvaluationSet, ...], Field(min_length=1)]
    words: Positive = 13
    """Words of an n-gram, as in GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C)."""
    characters: Positive = 20
    """Characters of an n-gram where no spaces are written. In mixed text a word is a 1/`words` of one, and a character a 1/`characters`."""
    shortest: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of an n-gram that an item must have to be looked for: one between this and a whole n-gram is matched whole."""
    min_share: Fraction = 0.0
    """Share of an item's n-grams that a document must hold; 0: any one of them is a hit, as in GPT-3."""
    action: Literal["drop", "cut", "flag"] = "drop"
    """drop: reject the document as `contaminated`; cut: remove the n-grams from it; flag: keep it, items named in `extra.contaminated`."""
    memory: Positive = 256 << 20
    """Bytes that building the index of n-grams may take."""

    @model_validator(mode="after")
    def _names_differ(self) -> Decontaminate:
        _refuse_twins("evaluation sets", [one.name for one in self.sets])
        return self


class Corpus(Section):
    """The documents step: raw text in, document shards out."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """In order of priority: of equal texts, the earlier source's stays."""
    clean: Clean = Clean()
    redact: Redact | None = None
    """Replace personal data and secrets by placeholders (`redact: {}` takes the defaults), in the text, in `extra` and in rejects; null:
    nothing is replaced."""
    rules: dict[str, Rules] = {}
    """By language; `default` serves the others."""
    harmful: Harmful | None = None
    """Score documents by lists of harmful terms (`harmful: {}` takes the defaults); null: they are not scored."""
    decontaminate: Decontaminate | None = None
    """Keep evaluation items out of the documents; null: nothing is looked for."""
    dedup: Dedup = Dedup()
    held_out: HeldOut = HeldOut()
    annotate: dict[str, Annotator] = {}
    """By language; `default` serves the others. Without it they get the fast engine, and source code (`code`) the plain one."""
    split_bytes: Positive = 32 << 20
    """Target size of a split, in bytes of input as stored."""
    keep_raw: bool = False
    """Keep the raw text of rejects in the reject shards, redacted or not. Else they hold their text only if it is redacted."""
    allow_failed_splits: bool = False
    """Commit even if a split failed three times and was counted `failed`."""

    @property
    def rejects_hold_text(self) -> bool:
        """Whether reject shards hold text at all."""
        return self.keep_raw or self.redact is not None

    @model_validator(mode="after")
    def _names_differ(self) -> Corpus:
        _refuse_twins("sources", [source.name for source in self.sources])
        return self

    @model_validator(mode="after")
    def _languages_are_known(self) -> Corpus:
        listed = self.harmful.lists if self.harmful else {}
        for section, languages in (("rules", self.rules), ("annotate", self.annotate), ("harmful.lists", listed)):
            for language in sorted({*languages} - {"default"}):
                try:
                    is_language(language)
                except ValueError as error:
                    raise ValueError(f"{section}.{language}: {error}") from None
        return self


class Tokenizer(Section):
    """The tokenizer step: a deterministic sample of the training subset in, tokenizer.json out."""

    kind: Literal["byte_bpe", "wordpiece", "unigram"] = "byte_bpe"
    """byte_bpe: lossless; wordpiece: BERT's; unigram: SentencePiece's. The last two rewrite text, and give back what they made of it."""
    family: Literal["decoder", "bert", "t5"] | None = None
    """Models whose special tokens and template it gets; null: decoder for byte_bpe, bert for wordpiece, t5 for unigram."""
    vocab_size: Annotated[int, Field(ge=512, le=1 << 20)] = 32_768
    """Ids at the most, special tokens and sentinels included."""
    pre_tokenizer: Literal["cl100k", "o200k", "indent", "han"] | None = None
    """Where a byte_bpe always cuts: as GPT-4 (cl100k, the default) or GPT-4o; indent: new line and indentation stay together;
    han: that, and no token joins Chinese with anything else."""
    digits: Literal["threes", "right", "single"] | None = None
    """How a byte_bpe cuts numbers: in threes from the left (the default) or from the right, or digit by digit."""
    lowercase: bool = False
    """For wordpiece: lower case and no accents, as BERT's uncased models have it."""
    character_coverage: Annotated[float, Field(gt=0, le=1)] = 0.9995
    """For wordpiece and unigram: the most frequent characters that make up this share of the sample get tokens."""
    byte_fallback: bool = True
    """For unigram: other characters become byte tokens; false: they are unknown."""
    sample_bytes: Positive = 64 << 20
    """Bytes of text to train on, drawn evenly over `weights` and `source_weights`."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Share of the sample by language; a language that isn't listed gets none; empty: as the corpus is."""
    source_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Share by source, within each language if `weights` are given too; a source that isn't listed gets none; empty: as the corpus is."""
    special_tokens: dict[str, str] | Annotated[tuple[str, ...], Field(min_length=3)] = {}
    """Token by role (bos, eos, pad, unk, cls, sep, mask) or by a name of your own; roles that aren't given are the family's. A list:
    the first three begin a document, end it, and fill a batch up. With `path`: which of the file's tokens have these roles."""
    sentinels: Count | None = None
    """How many <extra_id_0>, <extra_id_1>, ... there are for spans that are cut out; null: 100 for t5, none for others."""
    path: str | None = None
    """A `tokenizer.json` to use instead of training one, relative to the folder that the command runs in; its content is the identity."""
    pin: str | None = None
    """`name@version` of a tokenizer to use instead of training one."""

    @model_validator(mode="after")
    def _options_fit(self) -> Tokenizer:
        if self.path is not None and self.pin is not None:
            raise ValueError("path and pin both say which tokenizer to use; give one of them")
        trained = {
            **dict.fromkeys(("kind", "family", "vocab_size", "sentinels"), ("byte_bpe", "wordpiece", "unigram")),
            **dict.fromkeys(("pre_tokenizer", "digits"), ("byte_bpe",)),
            "lowercase": ("wordpiece",),
            "character_coverage": ("wordpiece", "unigram"),
            "byte_fallback": ("unigram",),
        }
        for key, kinds in trained.items():
            if getattr(self, key) == type(self).model_fields[key].default:
                continue
            if self.path is not None:
                raise ValueError(f"{key} is for training; the tokenizer at path is used as it is")
            if self.kind not in kinds:
                raise ValueError(f"{key} is for {' and '.join(kinds)}, not for {self.kind}")
        decoder = self.family == "decoder" or (self.family is None and self.kind == "byte_bpe")
        if isinstance(self.special_tokens, tuple) and not decoder:
            raise ValueError("this family has roles of its own: give special_tokens by role, as in {mask: '<mask>'}")
        return self


class Tokens(Section):
    """The tokens step: document shards in, row-aligned token shards out."""

    engine: Literal["auto", "tokenizers", "gigatoken"] = "auto"
    """Who computes the ids; they are the same whoever does. tokenizers: the reference; gigatoken: many times faster, and refused where
    it can't be proved equal (other tokenizers than byte-level BPE, unknown patterns); auto: gigatoken where it is, else tokenizers."""


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


class Phase(Section):
    """What changes from one step of pretraining on; a key that is left out stays as it was."""

    step: Positive
    """Steps that are taken before it."""
    mix: dict[str, float] | None = None
    context: Annotated[int, Field(ge=2)] | None = None
    """Tokens of a sequence, at most `model.context`. Another window cuts the text anew."""
    batch: Positive | None = None


class Pretrain(Section):
    """The pretrain step: token shards in, a model out."""

    model: Decoder = Decoder()
    steps: Positive | None = 1000
    """Null if `epochs` is given."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Instead of `steps`: as many steps as read no stream of text more often than this."""
    batch: Positive = 16
    """Sequences of `model.context` tokens a step, over all ranks."""
    mix: dict[str, float] = {}
    """Share of the samples by language (`zh`), source (`books/*`) or both (`books/zh`); empty: as the corpus is."""
    phases: tuple[Phase, ...] = ()
    """Changes of mix, context or batch at later steps."""
    packing: Literal["concat", "best_fit"] = "concat"
    """concat: documents end to end, cut into blocks; best_fit: whole documents packed into sequences, cut only if longer than one."""
    document_mask: bool = False
    """Attend within documents only, with positions counted from each document's start in its sequence."""
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

    @model_validator(mode="before")
    @classmethod
    def _epochs_take_the_place_of_steps(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("epochs") is not None:
            return {"steps": None, **value}
        return value

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Pretrain:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"give either steps or epochs, not {'both' if self.epochs else 'neither'}")
        starts = [phase.step for phase in self.phases]
        if starts != sorted(set(starts)) or (self.steps is not None and starts and starts[-1] >= self.steps):
            raise ValueError(f"phases start at steps {starts}: want them to grow, and to stay below steps ({self.steps})")
        for phase in self.phases:
            if phase.context is not None and phase.context > self.model.context:
                raise ValueError(f"the phase at step {phase.step}: context {phase.context} is more than model.context {self.model.context}")
        return self


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
        for batch in (self.pretrain.batch, *(phase.batch for phase in self.pretrain.phases)) if self.pretrain else ():
            if batch and batch % self.run.ranks:
                raise ValueError(f"pretrain.batch {batch} does not divide over run.ranks {self.run.ranks}")
        return self


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
