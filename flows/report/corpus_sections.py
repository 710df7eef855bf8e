"""The model: the sections that describe the kept documents: where they come from, and what their texts look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from flows.report.blocks import Best, Block, Figure, Foreign, Grid, Note, Row, Section, Table, Words
from flows.report.charts import bar, dots, lengths
from flows.report.facts import Cell, Profile, ReportFacts
from flows.report.svg import TONES, tone
from flows.report.wording import CODE, count, decimals, label, language, percent, plural, size
from schemas.arrow import SUBSETS, UPOS

_FIXED_TONES = {"en": 0, "zh": 1, CODE: 2}
_HOW_COUNTED = (
    "Words that hold a letter, lower-cased (as written in source code), with their count and their rate per 1,000 words, "
    "where punctuation counts as words."
)


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
        f"The kept documents hold {size(everything.bytes)} of text in {plural(len(languages), 'language')}, from "
        f"{plural(len(sources), 'source')}: {plural(everything.words, 'word')} in {plural(everything.sentences, 'sentence')}."
    )
    subsets = [s for s in SUBSETS if any(cell.subset == s for cell in facts.cells)]
    blocks: list[Block] = [
        _sums("By language", facts.cells, languages, lambda cell: cell.lang, label, filtered=True),
        _sums("By source", facts.cells, sources, lambda cell: cell.source, Foreign),
        _by_subset(facts.cells, languages, subsets),
    ]
    mixed = {source: {cell.lang for cell in facts.cells if cell.source == source} for source in sources}
    if any(len(found) > 1 for found in mixed.values()):
        blocks.append(_by_source_and_language(facts.cells, languages, sources))
    return Section("corpus", "Languages, sources, subsets", lead, blocks)


def _sums(
    caption: str, cells: Sequence[Cell], keys: Sequence[str], of: Callable[[Cell], str], name: Callable[[str], str], filtered: bool = False
) -> Table:
    everything = add_up(cells)
    rows = []
    for key in keys:
        s = add_up(cell for cell in cells if of(cell) == key)
        share = s.bytes / max(everything.bytes, 1)
        cells_of = [count(s.documents), *_words(s), size(s.bytes), percent(share), bar(0, share, "all")]
        values = (s.documents, s.sentences, s.words, s.characters, s.bytes, share, share)
        rows.append(Row(name(key), cells_of, of=key if filtered else None, values=values))
    rows.append(Row("all", [count(everything.documents), *_words(everything), size(everything.bytes), "", ""], "total"))
    columns: list[str | Words] = ["Name", "Documents", "Sentences", "Words", "Characters", "Bytes", "Share", Words("Of the bytes")]
    counted: list[Best] = ["descending"] * (len(columns) - 1)
    return Table(caption, columns, rows, best=["ascending", *counted])


def _words(s: Sums) -> list[str]:
    return [count(s.sentences), count(s.words), count(s.characters)]


def _by_subset(cells: Sequence[Cell], languages: Sequence[str], subsets: Sequence[str]) -> Table:
    def row(name: str, of: Sequence[Cell], style: str = "", lang: str | None = None) -> Row:
        parts = [add_up(cell for cell in of if cell.subset == subset) for subset in subsets]
        return Row(name, [text for p in parts for text in (count(p.documents), size(p.bytes))], style, of=lang)

    rows = [row(label(lang), [cell for cell in cells if cell.lang == lang], lang=lang) for lang in languages]
    columns = ["", *(name for subset in subsets for name in (f"{subset}, documents", "bytes"))]
    note = "Validation and test are held out from training: drawn by origin group, after deduplication."
    return Table("By subset", columns, [*rows, row("all", cells, "total")], note)


def _by_source_and_language(cells: Sequence[Cell], languages: Sequence[str], sources: Sequence[str]) -> Table:
    def documents(source: str, lang: str) -> str:
        n = sum(cell.documents for cell in cells if (cell.source, cell.lang) == (source, lang))
        return count(n) if n else "–"

    rows = [Row(Foreign(source), [documents(source, lang) for lang in languages]) for source in sources]
    return Table("Documents by source and language", ["", *map(label, languages)], rows)


def texts(facts: ReportFacts) -> Section | None:
    if not facts.profiles:
        return None
    colours = tones(facts)
    drawn = facts.profiles[:TONES]
    middle = ", ".join(f"{count(p.lengths.median)} in {language(p.lang)}" for p in drawn)
    some = f", the {TONES} largest of {len(facts.profiles)} languages" if len(facts.profiles) > TONES else ""
    rows = [(label(p.lang), colours[p.lang], p.lengths) for p in drawn]
    note = "Each bar spans a doubling of the length; its height is a share of the language's documents."
    charts = [Figure(f"Document lengths by language{some}", lengths("lengths", "Document lengths by language", rows), note)]
    tagged = [p for p in drawn if sum(p.pos)]
    if tagged:
        charts.append(_pos(tagged, colours, facts.profiles))
    blocks: list[Block] = [Grid(charts)]
    if any(p.frequent for p in drawn):
        frequent = [_frequent(p, colours[p.lang], facts.cells) for p in drawn if p.frequent]
        blocks += [Grid(frequent, wide=False), Note(_HOW_COUNTED)]
    lead = f"Half of the documents have this many characters or fewer: {middle}."
    return Section("texts", "Lengths, parts of speech, words", lead, blocks)


def _pos(tagged: Sequence[Profile], colours: dict[str, int], profiles: Sequence[Profile]) -> Figure:
    shares = {p.lang: [n / sum(p.pos) for n in p.pos] for p in tagged}
    order = sorted(range(len(UPOS)), key=lambda code: (-sum(s[code] for s in shares.values()), UPOS[code]))
    series = [(label(p.lang), colours[p.lang], [shares[p.lang][code] for code in order]) for p in tagged]
    chart = dots("pos", "Parts of speech by language", [UPOS[code] for code in order], series, "share of the words, punctuation included")
    none = [language(p.lang) for p in profiles if not sum(p.pos)]
    part = [f"{count(p.untagged_documents)} in {language(p.lang)}" for p in profiles if sum(p.pos) and p.untagged_documents]
    said = [f"Not tagged (pos is null): {', '.join(none)}."] if none else []
    said += [f"Documents without tags are left out: {', '.join(part)}."] if part else []
    return Figure("Parts of speech by language", chart, " ".join(["The 17 tags of Universal Dependencies.", *said]))


def _frequent(profile: Profile, colour: int, cells: Sequence[Cell]) -> Table:
    words = add_up(cell for cell in cells if cell.lang == profile.lang).words
    most = profile.frequent[0].count
    lang = None if profile.lang == CODE else profile.lang
    rows = [
        Row(Foreign(w.word), [bar(0, w.count / most, tone(colour)), count(w.count), decimals(w.count / words * 1000, 1)], lang=lang)
        for w in profile.frequent
    ]
    return Table(f"Frequent words: {language(profile.lang)}", ["", Words(), "Count", "Per 1,000"], rows)
