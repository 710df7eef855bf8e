"""The model: the sections of the documents step, in the order in which text meets them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.languages import is_language
from schemas.recipe.clean import Clean
from schemas.recipe.dedup import Dedup
from schemas.recipe.rules import Rules, check_rules
from schemas.recipe.scores import Classifier, NgramModel
from schemas.recipe.section import AtKey, Fraction, Name, Positive, Section, refuse_twins
from schemas.recipe.source import Source


def _is_placeholder(value: str) -> str:
    inner = value[1:-1]
    if value[:1] + value[-1:] not in _BRACKETS or not inner or not all(c.isalpha() or c in " _-" for c in inner):
        raise ValueError(f"a placeholder is letters, ' ', '_' and '-' between brackets of one kind ({' '.join(_BRACKETS)}), as '<EMAIL>'")
    return value


_BRACKETS = ("<>", "[]", "{}", "【】", "《》", "〈〉", "「」")
"""No value begins or ends with one of them, so a placeholder never grows together with what stands beside it."""

Placeholder = Annotated[str, AfterValidator(_is_placeholder)]


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


Weight = Annotated[float, Field(ge=0, le=100)]


class Sampling(Section):
    """How often an epoch of training reads a document: 2 is twice, 0.5 every other one, drawn by its id; 0 is never. A document's weight is
    that of its source times that of its language, times what `harmful` weighs it down by; held-out documents are not weighed."""

    sources: dict[str, Weight] = {}
    """By source; one that isn't listed has 1."""
    languages: dict[str, Weight] = {}
    """By language; `default` serves the others, which have 1 without it."""

    def weight(self, source: str, lang: str) -> float:
        """Of the documents of a source in a language."""
        return self.sources.get(source, 1.0) * self.languages.get(lang, self.languages.get("default", 1.0))


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
    pos: bool = True
    """Whether the fast engine tells parts of speech; false: they are null, which is quicker."""
    weights: str | None = None
    """File of weights for the fast engine, made by `gristmill tagger train`; null: those that ship. Its content counts, not its place."""

    @model_validator(mode="after")
    def _options_fit_the_engine(self) -> Annotator:
        if (self.engine == "spacy") != (self.model is not None):
            raise ValueError("the spacy engine needs a model, the name of an installed pipeline; the other engines take none")
        if self.standard != "ud" and self.engine != "fast":
            raise ValueError(f"a standard is chosen for the fast engine; {self.engine} has one of its own")
        if not self.pos and self.engine != "fast":
            raise ValueError(f"pos: false is for the fast engine; {self.engine} tells what it tells")
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
    """drop: reject the document as `contaminated`; cut: remove the n-grams from it; flag: keep it, with `contaminated`
    in the column `flags` and the items in `extra.contaminated`."""
    memory: Positive = 256 << 20
    """Bytes that building the index of n-grams may take."""

    @model_validator(mode="after")
    def _names_differ(self) -> Decontaminate:
        refuse_twins("sets", "evaluation sets", [one.name for one in self.sets])
        return self


class Corpus(Section):
    """The documents step: raw text in, document shards out."""

    LATER: ClassVar[frozenset[str]] = frozenset({"decontaminate", "sampling", "quality", "perplexity"})

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """In order of priority: of equal texts, the earlier source's stays."""
    clean: Clean = Clean()
    redact: Redact | None = None
    """Replace personal data and secrets by placeholders (`redact: {}` takes the defaults), in the text, in `extra` and in rejects; null:
    nothing is replaced."""
    rules: dict[str, Rules] = {}
    """By language; `default` serves the others. A source's own `rules` go over these, key by key."""
    quality: dict[str, Classifier] = {}
    """Score documents by classifiers of yours, by language; `default` serves the others."""
    perplexity: dict[str, NgramModel] = {}
    """Score documents by n-gram models of yours, by language; `default` serves the others."""
    harmful: Harmful | None = None
    """Score documents by lists of harmful terms (`harmful: {}` takes the defaults); null: they are not scored."""
    sampling: Sampling | None = None
    """Weigh documents by source and language; null: all alike. No document goes: weights are a column, and training heeds it."""
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
    max_errors: Fraction = 0.05
    """Share of a source's records that may make a stage raise (rejects `error_...`); with more than that, and more than five, nothing is
    committed. It decides no output, so it isn't part of the identity."""
    incremental: bool = False
    """Extend the newest version by the files that came since, and keep its tokenizer; false: read all files for each version.
    `gristmill ingest` always extends."""
    changed: Literal["add", "replace", "refuse"] = "add"
    """What an incremental version does about a file that it has read with other content. add: reads it again, and what is in it already
    goes as duplicates, which suits files that grow; replace: drops what was read from it before, and reads it again; refuse: reads
    nothing, and names it."""
    gone: Literal["keep", "drop"] = "keep"
    """What an incremental version does about what it has read from files, and sources, that are gone. keep: keeps it, which suits an inbox
    that is emptied; drop: rejects it as `source_gone`."""

    @property
    def rejects_hold_text(self) -> bool:
        """Whether reject shards hold text at all."""
        return self.keep_raw or self.redact is not None

    @model_validator(mode="after")
    def _names_differ(self) -> Corpus:
        refuse_twins("sources", "sources", [source.name for source in self.sources])
        return self

    @model_validator(mode="after")
    def _weighted_sources_are_there(self) -> Corpus:
        names = [source.name for source in self.sources]
        for name in self.sampling.sources if self.sampling else ():
            if name not in names:
                raise AtKey(("sampling", "sources", name), f"is not a source of the corpus; they are {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _languages_are_known(self) -> Corpus:
        listed = self.harmful.lists if self.harmful else {}
        weighed = self.sampling.languages if self.sampling else {}
        check_rules(self.rules, ("rules",))
        for number, source in enumerate(self.sources):
            check_rules(source.rules, ("sources", number, "rules"))
        scored = (("quality", self.quality), ("perplexity", self.perplexity))
        sections = (("annotate", self.annotate), ("harmful.lists", listed), ("sampling.languages", weighed), *scored)
        for section, languages in sections:
            for language in sorted({*languages} - {"default"}):
                try:
                    is_language(language)
                except ValueError as error:
                    raise AtKey((*section.split("."), language), str(error)) from None
        return self

    @property
    def word_lists(self) -> tuple[str, ...]:
        """Paths of all files of terms that the section names."""
        harmful = [path for paths in self.harmful.lists.values() for path in paths] if self.harmful else []
        boilerplate = self.clean.boilerplate_lines.lists if self.clean.boilerplate_lines else ()
        return (*harmful, *boilerplate)
