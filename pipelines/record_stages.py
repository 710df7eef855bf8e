"""The model: the *record stages* take one record at a time, batch by batch, from raw bytes to a document that is ready to
be compared with others:

    read           what the format found wrong goes
    decode         bytes to characters, strictly
    clean          repair; what is empty then goes
    language       the source's, or identified
    decontaminate  what holds items of evaluation sets goes, or they are cut out of it
    rules          measure signals, judge by them
    subset         origin group, train or held out

Evaluation items are looked for in clean text, since that is what would be trained on, and before all that compares and judges:
rules and deduplication then see the text that stays, and a document that goes drops none of its duplicates along.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import orjson
import pyarrow as pa

from pipelines.clean.decode import Undecodable, decode
from pipelines.clean.text import clean_text
from pipelines.contamination.index import Index
from pipelines.contamination.stage import STAGE, decontaminate
from pipelines.dedup.runs import text_digests
from pipelines.language import identify
from pipelines.origin import origin_groups, subset_of
from pipelines.rules.judge import judge
from pipelines.rules.signals import measure
from pipelines.stages import PREPARED, Sifted, Stage, Verdict, guarded, sift, with_columns
from schemas.recipe import Corpus, Source


def run_stages(batch: pa.RecordBatch, source: Source, settings: Corpus, index: Index | None) -> Iterator[Sifted]:
    """All stages over one batch. What is kept comes out in order, of schema PREPARED (an empty batch may be of another).

    `index` is that of the evaluation sets, if the recipe has any.
    """
    searched: tuple[tuple[str, Stage], ...] = ()
    if index is not None and settings.decontaminate is not None:
        stage = partial(decontaminate, index=index, settings=settings.decontaminate, keep_raw=settings.keep_raw)
        searched = ((STAGE, stage),)
    stages: tuple[tuple[str, Stage], ...] = (
        ("read", partial(_read, settings=settings)),
        ("decode", partial(_decode, settings=settings)),
        ("clean", partial(_clean, settings=settings)),
        ("language", partial(_language, source=source)),
        *searched,
        ("rules", partial(_rules, settings=settings)),
        ("subset", partial(_subset, source=source, settings=settings)),
    )
    yield from _run(batch, stages, settings.keep_raw)


def _run(batch: pa.RecordBatch, stages: tuple[tuple[str, Stage], ...], keep_raw: bool) -> Iterator[Sifted]:
    (name, stage), rest = stages[0], stages[1:]
    for kept, rejects in guarded(name, stage, batch, keep_raw=keep_raw):
        if not rest:
            yield Sifted(kept, rejects)
            continue
        yield Sifted(kept.slice(0, 0), rejects)
        if kept.num_rows:
            yield from _run(kept, rest, keep_raw)


def _read(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    faults = zip(batch.column("reason").to_pylist(), batch.column("detail").to_pylist(), strict=True)
    return sift(batch, "read", [(reason, detail) if reason else None for reason, detail in faults], keep_raw=settings.keep_raw)


def _decode(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    texts: list[str] = []
    verdicts: list[Verdict] = []
    for raw, encoding in zip(batch.column("raw").to_pylist(), batch.column("encoding").to_pylist(), strict=True):
        try:
            texts.append(decode(raw, encoding))
            verdicts.append(None)
        except Undecodable as error:
            texts.append("")
            verdicts.append(("undecodable", error.detail))
    decoded = with_columns(batch, text=pa.array(texts, pa.string()))
    return sift(decoded, "decode", verdicts, keep_raw=settings.keep_raw)


def _clean(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    pairs = [clean_text(text, settings.clean) for text in batch.column("text").to_pylist()]
    verdicts: list[Verdict] = [None if text.strip() else ("empty", "nothing but white space is left") for text, _ in pairs]
    cleaned = with_columns(
        batch,
        text=pa.array([text for text, _ in pairs], pa.string()),
        cleaned=pa.array([orjson.dumps(kinds, option=orjson.OPT_SORT_KEYS).decode() if kinds else None for _, kinds in pairs], pa.string()),
    )
    return sift(cleaned, "clean", verdicts, keep_raw=settings.keep_raw)


def _language(batch: pa.RecordBatch, source: Source) -> Sifted:
    rows = batch.num_rows
    langs, scores = ([source.lang] * rows, [1.0] * rows) if source.lang else identify(batch.column("text").to_pylist())
    named = with_columns(batch, lang=pa.array(langs, pa.string()), lang_score=pa.array(scores, pa.float32()))
    return sift(named, "language", [None] * rows, keep_raw=False)


def _rules(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    langs = batch.column("lang").to_pylist()
    signals = measure(batch.column("text").to_pylist(), langs)
    verdicts = judge(signals, langs, batch.column("lang_score").to_pylist(), settings.rules)
    return sift(with_columns(batch, signals=signals), "rules", verdicts, keep_raw=settings.keep_raw)


def _subset(batch: pa.RecordBatch, source: Source, settings: Corpus) -> Sifted:
    """Draw the subset by origin group, and say whether the text is byte for byte what the record owns."""
    texts = batch.column("text").to_pylist()
    groups = origin_groups(source.origin, texts, batch.column("uri").to_pylist(), batch.column("extra").to_pylist())
    identity = [own == digest for own, digest in zip(text_digests(batch), batch.column("digest").to_pylist(), strict=True)]
    marked = with_columns(
        batch,
        origin_group=pa.array(groups, pa.uint64()),
        subset=pa.array([subset_of(group, settings.held_out) for group in groups], pa.string()),
        clean_is_identity=pa.array(identity, pa.bool_()),
    )
    columns = [marked.column(field.name) for field in PREPARED]
    return sift(pa.RecordBatch.from_arrays(columns, schema=PREPARED), "subset", [None] * len(texts), keep_raw=False)
