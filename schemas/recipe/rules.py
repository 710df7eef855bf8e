"""The model: *rules* are thresholds on signals for one language; a *pack* is a published set of them, by name (`rule_packs`). What a
recipe says beside a pack overrides the pack's, and null turns a rule off. To *settle* the rules of a source is to write all of that out:
thresholds by language, and no pack left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from schemas.languages import is_language
from schemas.recipe.rule_packs import PACKS, PackName, languages_of, thresholds_of
from schemas.recipe.section import AtKey, Count, Fraction, Section

DEFAULT = "default"
"""Rules under this name serve the languages that have none of their own."""

Amount = Annotated[float, Field(ge=0)]


class Rules(Section):
    """Thresholds for one language; null turns a rule off. The reason of a reject is the key's name."""

    packs: tuple[PackName, ...] = ()
    """Published sets of thresholds that hold where nothing else is said here; of packs that disagree the later one's."""
    min_chars: Count | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    min_mean_word_length: Amount | None = None
    max_mean_word_length: Amount | None = None
    min_alphabetic: Fraction | None = None
    max_digits: Fraction | None = None
    max_symbols: Fraction | None = None
    min_lines_end_punctuation: Fraction | None = None
    max_new_lines: Fraction | None = None
    max_duplicate_lines: Fraction | None = None
    max_top_2gram: Fraction | None = None
    min_lang_score: Fraction | None = None
    max_duplicate_line_chars: Fraction | None = None
    max_duplicate_paragraphs: Fraction | None = None
    max_duplicate_paragraph_chars: Fraction | None = None
    max_top_3gram: Fraction | None = None
    max_top_4gram: Fraction | None = None
    max_duplicate_5gram: Fraction | None = None
    max_duplicate_6gram: Fraction | None = None
    max_duplicate_7gram: Fraction | None = None
    max_duplicate_8gram: Fraction | None = None
    max_duplicate_9gram: Fraction | None = None
    max_duplicate_10gram: Fraction | None = None
    max_short_lines: Fraction | None = None
    """Share of lines of at most 30 characters: too strict where a character is a word."""
    max_bullet_lines: Fraction | None = None
    max_ellipsis_lines: Fraction | None = None
    max_boilerplate_lines: Fraction | None = None
    max_ellipses: Amount | None = None
    """Ellipses over words."""
    max_hashes: Amount | None = None
    """'#' over words."""
    min_alphabetic_words: Fraction | None = None
    min_stop_words: Count | None = None
    """Different ones; no document of a language whose stop words aren't listed fails it."""
    max_longest_word: Count | None = None
    min_sentences: Count | None = None
    max_curly_brackets: Count | None = None
    max_lorem_ipsum: Count | None = None
    min_han: Fraction | None = None
    max_other_script: Fraction | None = None
    """Share of letters in lines of another script than the text's: mixed languages."""
    min_quality: Fraction | None = None
    """By `corpus.quality`; a document that no classifier has scored fails neither this nor the next."""
    max_perplexity: Amount | None = None
    """By `corpus.perplexity`."""

    @model_serializer(mode="wrap")
    def _tell_what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came after the first version are told where they are said, so that older artifacts stay valid."""
        told = handler(self)
        return {key: value for key, value in told.items() if key in _FIRST_KEYS or key in self.model_fields_set}


_FIRST_KEYS = frozenset(
    "min_chars min_words max_words min_mean_word_length max_mean_word_length min_alphabetic max_digits max_symbols "
    "min_lines_end_punctuation max_new_lines max_duplicate_lines max_top_2gram min_lang_score".split()
)

THRESHOLDS = tuple(key for key in Rules.model_fields if key != "packs")
"""Keys of rules, in the order in which they are tried."""


def check_rules(rules: Mapping[str, Rules], at: tuple[str | int, ...]) -> None:
    """`at` is the key of the rules. Raises `AtKey` for a language that isn't known, or a pack that has nothing for it."""
    for lang, of_lang in sorted(rules.items()):
        if lang == DEFAULT:
            continue
        try:
            is_language(lang)
        except ValueError as error:
            raise AtKey((*at, lang), str(error)) from None
        for pack in of_lang.packs:
            if not thresholds_of(pack, lang):
                raise AtKey((*at, lang, "packs"), f"{pack} has nothing for {lang!r}; it is for {', '.join(languages_of(pack))}")


def settled(rules: Mapping[str, Rules], of_source: Mapping[str, Rules]) -> dict[str, Rules]:
    """The thresholds of a source by language: of what both say the source's holds, key by key, and packs are written out.

    Settled rules settle to themselves.
    """
    packed = {lang for pack in PACKS for lang in languages_of(pack)}
    named = rules.keys() | of_source.keys()
    found = {}
    for lang in sorted(named | packed | {DEFAULT}):
        said = _said(rules, lang) | _said(of_source, lang)
        packs = said.pop("packs", ())
        full = {key: value for pack in packs for key, value in thresholds_of(pack, lang).items()} | said
        if lang in named or packs:
            found[lang] = Rules.model_validate({key: full.get(key) for key in THRESHOLDS} if of_source else full)
    return found


def _said(rules: Mapping[str, Rules], lang: str) -> dict[str, Any]:
    """What the rules that serve a language say."""
    of_lang = rules.get(lang, rules.get(DEFAULT))
    return {key: getattr(of_lang, key) for key in Rules.model_fields if key in of_lang.model_fields_set} if of_lang else {}
