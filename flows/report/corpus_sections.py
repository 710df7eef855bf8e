"""The model: the sections that describe the kept documents: where they come from, and what their texts look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from flows.report.blocks import Block, Figure, Grid, Row, Section, Table
from flows.report.charts import bar, dots, lengths
from flows.report.facts import Cell, Profile, ReportFacts
from flows.report.svg import TONES
from flows.report.wording import count, decimals, language, percent, size
from schemas.arrow import SUBSETS, UPOS

_FIXED_TONES = {"en": 0, "zh": 1, "code": 2}
_BY_CASE = "code"


def tones(facts: ReportFacts) -> dict[str, int]:
    """A colour for each language, the same on the whole page."""
    others = [p.lang for p in facts.profiles if p.lang not in _FIXED_TONES]
    return {**_FIXED_TONES, **{lang: len(_FIXED_TONES) + i for i, lang in enumerate(others)}}


class Sums(NamedTuple):
    documents: int
    bytes: int
    characters: int
    words: int
    sentences: int


def add_up(cells: Iterable[Cell]) -> Sums:
    found = list(cells)
    return Sums(*(sum(getattr(cell, name) for cell in found) for name in Sums._fields))


def corpus(facts: ReportFacts) -> Section:
    everything = add_up(facts.cells)
    languages = [p.lang for p in facts.profiles]
    sources = sorted({cell.source for cell in facts.cells})
    lead = (
        f"The kept documents hold {size(everything.bytes)} of text in {len(languages)} language{'' if len(languages) == 1 else 's'}, "
        f"from {len(sources)} source{'' if len(sources) == 1 else 's'}: {count(everything.words)} words in {count(everything.sentences)} sentences."
    )
    subsets = [s for s in SUBSETS if any(cell.subset == s for cell in facts.cells)]
    blocks: list[Block] = [
        _sums("By language", facts.cells, languages, lambda cell: cell.lang, language),
        _sums("By source", facts.cells, sources, lambda cell: cell.source, str),
        Grid([_cross("Documents by subset", facts.cells, languages, subsets), _origins(facts.cells, languages, sources)]),
    ]
    return Section("corpus", "Languages, sources, subsets", lead, blocks)


def _sums(caption: str, cells: Sequence[Cell], keys: Sequence[str], of: Callable[[Cell], str], name: Callable[[str], str]) -> Table:
    everything = add_up(cells)
    rows = []
    for key in keys:
        s = add_up(cell for cell in cells if of(cell) == key)
        share = s.bytes / max(everything.bytes, 1)
        rows.append(Row(name(key), [count(s.documents), size(s.bytes), percent(share), bar(0, share, "all"), *_words(s)]))
    rows.append(Row("all", [count(everything.documents), size(everything.bytes), "", "", *_words(everything)], "total"))
    return Table(caption, ["", "Documents", "Bytes", "Share", "|Of the bytes", "Characters", "Words", "Sentences"], rows)


def _words(s: Sums) -> list[str]:
    return [count(s.characters), count(s.words), count(s.sentences)]


def _cross(caption: str, cells: Sequence[Cell], languages: Sequence[str], subsets: Sequence[str]) -> Table:
    def row(name: str, of: Sequence[Cell], style: str = "") -> Row:
        parts = [add_up(cell for cell in of if cell.subset == subset) for subset in subsets]
        return Row(name, [f"{count(p.documents)} · {size(p.bytes)}" for p in parts], style)

    rows = [row(language(lang), [cell for cell in cells if cell.lang == lang]) for lang in languages]
    note = "Validation and test are held out: drawn by origin group, after deduplication."
    return Table(caption, ["", *subsets], [*rows, row("all", cells, "total")], note)


def _origins(cells: Sequence[Cell], languages: Sequence[str], sources: Sequence[str]) -> Table:
    def documents(source: str, lang: str) -> str:
        n = sum(cell.documents for cell in cells if (cell.source, cell.lang) == (source, lang))
        return count(n) if n else "–"

    rows = [Row(source, [documents(source, lang) for lang in languages]) for source in sources]
    return Table("Documents by source and language", ["", *map(language, languages)], rows)


def texts(facts: ReportFacts) -> Section | None:
    if not facts.profiles:
        return None
    colours = tones(facts)
    drawn = facts.profiles[:TONES]
    middle = ", ".join(f"{count(p.lengths.median)} in {language(p.lang)}" for p in drawn)
    rows = [(language(p.lang), colours[p.lang], p.lengths) for p in drawn]
    charts: list[Figure | Table] = [Figure(_of_many("Document lengths by language", facts), lengths("lengths", "Document lengths", rows))]
    tagged = [p for p in drawn if sum(p.pos)]
    if tagged:
        charts.append(_pos(tagged, colours, _untagged(facts.profiles)))
    blocks: list[Block] = [Grid(charts), Grid([_frequent(p, facts.cells) for p in drawn if p.frequent], wide=False)]
    return Section("texts", "Lengths, parts of speech, words", f"Half of the documents are longer than this many characters: {middle}.", blocks)


def _of_many(caption: str, facts: ReportFacts) -> str:
    left = len(facts.profiles) - TONES
    return caption + (f"; the {TONES} largest of {len(facts.profiles)} languages" if left > 0 else "")


def _pos(tagged: Sequence[Profile], colours: dict[str, int], untagged: str) -> Figure:
    shares = {p.lang: [n / sum(p.pos) for n in p.pos] for p in tagged}
    order = sorted(range(len(UPOS)), key=lambda code: (-sum(s[code] for s in shares.values()), UPOS[code]))
    series = [(language(p.lang), colours[p.lang], [shares[p.lang][code] for code in order]) for p in tagged]
    chart = dots("pos", "Parts of speech by language", [UPOS[code] for code in order], series, "share of the words, punctuation included")
    return Figure(f"Universal parts of speech by language.{untagged}", chart)


def _untagged(profiles: Sequence[Profile]) -> str:
    """Which languages have null `pos`, in words."""
    none = [language(p.lang) for p in profiles if not sum(p.pos)]
    some = [f"{count(p.untagged_documents)} in {language(p.lang)}" for p in profiles if sum(p.pos) and p.untagged_documents]
    said = f" No tags (`pos` is null): {', '.join(none)}." if none else ""
    return said + (f" Documents without tags are left out: {', '.join(some)}." if some else "")


def _frequent(profile: Profile, cells: Sequence[Cell]) -> Table:
    words = add_up(cell for cell in cells if cell.lang == profile.lang).words
    most = profile.frequent[0].count
    rows = [
        Row(w.word, [bar(0, w.count / most, f"tone-{_FIXED_TONES.get(profile.lang, 3)}"), count(w.count), decimals(w.count / words * 1000, 1)], lang=_html_lang(profile.lang))
        for w in profile.frequent
    ]
    how = "as written" if profile.lang == _BY_CASE else "lower-cased"
    caption = f"Most frequent words in {language(profile.lang)}"
    return Table(caption, ["", "|", "Count", "Per 1,000"], rows, f"Words with a letter in them, {how}; per 1,000 of all words, punctuation included.")


def _html_lang(lang: str) -> str | None:
    return None if lang == _BY_CASE else lang
