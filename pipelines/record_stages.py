"""The model: the *record stages* take one record at a time, batch by batch, from raw bytes to a document that is ready to
be compared with others:

    read           what the format found wrong goes
    decode         bytes to characters, strictly
    clean          repair; what is empty then goes
    decontaminate  what holds items of evaluation sets goes, or they are cut out of it
    redact         placeholders for personal data and secrets
    language       the source's, or identified
    rules          measure signals, judge by them
    harmful        drop, flag or weigh down what is full of listed terms
    sampling       weigh by source and language
    subset         origin group, train or held out

Evaluation items are looked for as soon as text is clean: redaction would change those that hold an address, and a document that goes
drops none of its duplicates along. Redaction stands behind cleaning, which undoes what would hide a value from it (control characters,
mojibake), and before all else that looks at the text: languages, signals, digests of duplicates and origin groups are of the text that
is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.clean.decode import Undecodable, decode
from pipelines.clean.text import clean_text
from pipelines.contamination.index import Index
from pipelines.contamination.stage import STAGE, decontaminate
from pipelines.dedup.runs import text_digests
from pipelines.harmful import harmful_scores
from pipelines.language import identify
from pipelines.origin import origin_groups, subset_of
from pipelines.redact import redact, redact_json, redact_rejects
from pipelines.rules.judge import judge
from pipelines.rules.signals import measure
from pipelines.stages import PREPARED, Sifted, Stage, Verdict, guarded, no_rejects, sift, with_columns
from schemas.recipe import Corpus, Source


def run_stages(batch: pa.RecordBatch, source: Source, settings: Corpus, index: Index | None) -> Iterator[Sifted]:
    """All stages over one batch. What is kept comes out in order, of schema PREPARED (an empty batch may be of another).

    `index` is that of the evaluation sets, if the recipe has any.
    """
    searched: tuple[tuple[str, Stage], ...] = ()
    if index is not None and settings.decontaminate is not None:
        stage = partial(decontaminate, index=index, settings=settings.decontaminate, keep_text=settings.rejects_hold_text)
        searched = ((STAGE, stage),)
    stages: tuple[tuple[str, Stage], ...] = (
        ("read", partial(_read, settings=settings)),
        ("decode", partial(_decode, settings=settings)),
        ("clean", partial(_clean, settings=settings)),
        *searched,
        ("redact", partial(_redact, settings=settings)),
        ("language", partial(_language, source=source)),
        ("rules", partial(_rules, settings=settings)),
        ("harmful", partial(_harmful, settings=settings)),
        ("sampling", partial(_sampling, source=source, settings=settings)),
        ("subset", partial(_subset, source=source, settings=settings)),
    )
    for kept, rejects in _run(batch, stages, settings.rejects_hold_text):
        yield Sifted(kept, rejects if settings.redact is None else redact_rejects(rejects, settings.redact, keep_raw=settings.keep_raw))


def _run(batch: pa.RecordBatch, stages: tuple[tuple[str, Stage], ...], keep_text: bool) -> Iterator[Sifted]:
    (name, stage), rest = stages[0], stages[1:]
    for kept, rejects in guarded(name, stage, batch, keep_text=keep_text):
        if not rest:
            yield Sifted(kept, rejects)
            continue
        yield Sifted(kept.slice(0, 0), rejects)
        if kept.num_rows:
            yield from _run(kept, rest, keep_text)


def _read(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    faults = zip(batch.column("reason").to_pylist(), batch.column("detail").to_pylist(), strict=True)
    return sift(batch, "read", [(reason, detail) if reason else None for reason, detail in faults], keep_text=settings.rejects_hold_text)


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
    return sift(decoded, "decode", verdicts, keep_text=settings.rejects_hold_text)


def _clean(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    pairs = [clean_text(text, settings.clean) for text in batch.column("text").to_pylist()]
    verdicts: list[Verdict] = [None if text.strip() else ("empty", "nothing but white space is left") for text, _ in pairs]
    cleaned = with_columns(
        batch,
        text=pa.array([text for text, _ in pairs], pa.string()),
        cleaned=pa.array([orjson.dumps(kinds, option=orjson.OPT_SORT_KEYS).decode() if kinds else None for _, kinds in pairs], pa.string()),
    )
    return sift(cleaned, "clean", verdicts, keep_text=settings.rejects_hold_text)


def _redact(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    """Redact text and extra, count the values by kind, and add their bytes to what cleaning changed."""
    rows = batch.num_rows
    kind_of_counts = PREPARED.field("redacted").type
    if settings.redact is None:
        return Sifted(with_columns(batch, redacted=pa.nulls(rows, kind_of_counts)), no_rejects())
    placeholders = settings.redact.placeholders
    texts, counts, sizes = redact(batch.column("text"), placeholders)
    cleaned = batch.column("cleaned").to_pylist()
    for row in np.flatnonzero(sum(sizes.values(), np.zeros(rows, np.int64))).tolist():
        kinds = {kind: int(of_rows[row]) for kind, of_rows in sizes.items() if of_rows[row]}
        cleaned[row] = orjson.dumps(orjson.loads(cleaned[row] or "{}") | kinds, option=orjson.OPT_SORT_KEYS).decode()
    by_kind = [pa.array(counts.get(field.name, np.zeros(rows, np.int64)).astype(np.int32)) for field in kind_of_counts]
    redacted = with_columns(
        batch,
        text=texts,
        extra=redact_json(batch.column("extra"), placeholders),
        cleaned=pa.array(cleaned, pa.string()),
        redacted=pa.StructArray.from_arrays(by_kind, fields=list(kind_of_counts)),
    )
    if not settings.keep_raw:
        redacted = redacted.drop_columns(["raw"])  # rejects from here on hold the clean text, from which nothing is hidden
    return Sifted(redacted, no_rejects())


def _language(batch: pa.RecordBatch, source: Source) -> Sifted:
    rows = batch.num_rows
    langs, scores = ([source.lang] * rows, [1.0] * rows) if source.lang else identify(batch.column("text").to_pylist())
    named = with_columns(batch, lang=pa.array(langs, pa.string()), lang_score=pa.array(scores, pa.float32()))
    return sift(named, "language", [None] * rows, keep_text=False)


def _rules(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    langs = batch.column("lang").to_pylist()
    texts = batch.column("text").to_pylist()
    signals = measure(texts, langs, harmful_scores(settings.harmful, texts, langs))
    verdicts = judge(signals, langs, batch.column("lang_score").to_pylist(), settings.rules)
    return sift(with_columns(batch, signals=signals), "rules", verdicts, keep_text=settings.rejects_hold_text)


def _harmful(batch: pa.RecordBatch, settings: Corpus) -> Sifted:
    """Do what the recipe says with documents above its score."""
    rows, harmful = batch.num_rows, settings.harmful
    scores = batch.column("signals").field("harmful").to_numpy(zero_copy_only=False)
    above = scores > np.float32(harmful.max_score) if harmful is not None else np.zeros(rows, np.bool_)
    flag, weigh, drop = (above & (harmful is not None and harmful.action == action) for action in ("flag", "weight", "drop"))
    before = batch.column("flags").to_pylist() if "flags" in batch.schema.names else [[]] * rows
    flags = [[*others, "harmful"] if flagged else others for others, flagged in zip(before, flag.tolist(), strict=True)]
    marked = with_columns(
        batch,
        flags=pa.array(flags, PREPARED.field("flags").type),
        weight=pa.array(np.where(weigh, np.float32(harmful.weight if harmful and harmful.weight is not None else 1), np.float32(1))),
    )
    limit = harmful.max_score if harmful else 1
    verdicts: list[Verdict] = [
        ("harmful", f"harmful {score:.4g} > {limit:g}") if dropped else None for score, dropped in zip(scores, drop.tolist(), strict=True)
    ]
    return sift(marked, "harmful", verdicts, keep_text=settings.rejects_hold_text)


def _sampling(batch: pa.RecordBatch, source: Source, settings: Corpus) -> Sifted:
    """Multiply weights by those of source and language; nothing goes, whatever its weight."""
    if settings.sampling is None:
        return Sifted(batch, no_rejects())
    by_lang = {lang: settings.sampling.weight(source.name, lang) for lang in batch.column("lang").unique().to_pylist()}
    weights = np.array([by_lang[lang] for lang in batch.column("lang").to_pylist()], np.float32)
    return Sifted(with_columns(batch, weight=pc.multiply(batch.column("weight"), pa.array(weights))), no_rejects())


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
    return sift(pa.RecordBatch.from_arrays(columns, schema=PREPARED), "subset", [None] * len(texts), keep_text=False)
