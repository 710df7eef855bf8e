"""The model: the sections of the tokenizer and tokens steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.recipe.section import Count, Positive, Section


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

    @property
    def lacks_mask(self) -> bool:
        """Whether it is known to have no token that hides others; of one that is trained elsewhere nothing is known yet."""
        of_bert = self.family == "bert" or (self.family is None and self.kind == "wordpiece")
        return not (self.path or self.pin or of_bert or "mask" in self.special_tokens)

    @property
    def lacks_sentinels(self) -> bool:
        """Whether it is known to have no sentinels."""
        t5 = self.family == "t5" or (self.family is None and self.kind == "unigram")
        return self.path is None and self.pin is None and not (t5 if self.sentinels is None else self.sentinels)

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
