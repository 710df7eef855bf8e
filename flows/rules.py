"""The model: the *dry run of a recipe's rules* reads its sources and says what each rule would drop, by source and language, with
documents on both sides of its threshold. Nothing goes to the store: what earlier runs noted about the inputs is read, and not added to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.progress import quantity
from flows.rejects import visible
from pipelines.rules.dry_run import Cell, Example, Outcome, dry_run, sampled, work_of
from pipelines.rules.judge import figure
from pipelines.splits import Listing, list_inputs
from schemas.recipe import Recipe
from schemas.store import Store

Json = dict[str, Any]


def rules_of(recipe: Recipe, store: Store, sample: int | None, seed: int) -> Outcome:
    """The outcome for all records of the recipe's sources, or for a sample of so many of each."""
    corpus = recipe.corpus
    roots = {source.name: source.path for source in corpus.sources}
    listing = _listed(recipe, store, roots)
    if sample is not None:
        return sampled(listing, corpus, roots, sample, seed)
    work = partial(dry_run, settings=corpus, roots=roots)
    outcome = Outcome()
    splits = work_of(listing, corpus)
    if min(recipe.run.workers, len(splits)) == 1:
        for pieces in splits:
            outcome.add(work(pieces))
    else:
        with ProcessPoolExecutor(recipe.run.workers, mp_context=get_context("spawn")) as pool:
            for found in pool.map(work, splits):
                outcome.add(found)
    return outcome


def _listed(recipe: Recipe, store: Store, roots: dict[str, str]) -> Listing:
    with TemporaryDirectory() as folder:
        known = Path(folder, "inputs.json")
        noted = store.root / ".cache" / "inputs.json"
        if noted.is_file():
            shutil.copyfile(noted, known)
        return list_inputs(recipe.corpus, roots, known)


def as_json(outcome: Outcome) -> Json:
    """The outcome as one JSON value; texts of examples as they are."""
    return {
        "cells": [
            {
                "source": source,
                "lang": lang,
                "documents": cell.documents,
                "bytes": cell.bytes,
                "dropped": cell.dropped,
                "dropped_bytes": cell.dropped_bytes,
                "rules": {
                    reason: {
                        "limit": tally.limit,
                        "dropped": tally.dropped,
                        "dropped_bytes": tally.dropped_bytes,
                        "failed": tally.failed,
                        "alone": tally.alone,
                        "below": [_example(example) for example in tally.below],
                        "above": [_example(example) for example in tally.above],
                    }
                    for reason, tally in cell.rules.items()
                },
            }
            for (source, lang), cell in sorted(outcome.cells.items())
        ],
        "earlier": [{"source": source, "reason": reason, "records": n} for (source, reason), n in sorted(outcome.earlier.items())],
    }


def _example(example: Example) -> Json:
    return {key: value for key, value in example._asdict().items() if key != "distance"}


def lines_of(outcome: Outcome, examples: int) -> Iterator[str]:
    """The outcome for people: rules that fail something, those that drop most first, with so many examples on either side."""
    for (source, lang), cell in sorted(outcome.cells.items()):
        kept = cell.documents - cell.dropped
        yield f"{source}, {lang}: {_counted(cell.documents, cell.bytes)}; {kept:,} kept, {_share(kept, cell.documents)} of them"
        yield from _rules(cell, examples)
        yield ""
    for (source, reason), records in sorted(outcome.earlier.items()):
        yield f"{source}: {records:,} records go before any rule is tried: {reason}"
    yield "Evaluation items and duplicates weren't looked for."


def _rules(cell: Cell, examples: int) -> Iterator[str]:
    failing = [(reason, tally) for reason, tally in cell.rules.items() if tally.failed]
    if not cell.rules:
        yield "  no rule is for them"
    elif not failing:
        yield f"  all pass all of {len(cell.rules)} rules"
    else:
        yield f"  {'rule':<34} {'drops':>9} {'share':>8} {'bytes':>10} {'fails':>9} {'alone':>9}"
    for reason, tally in sorted(failing, key=lambda item: -item[1].dropped):
        rule, size, share = f"{reason} {tally.limit:g}", quantity(tally.dropped_bytes, "bytes"), _share(tally.dropped, cell.documents)
        yield f"  {rule:<34} {tally.dropped:>9,} {share:>8} {size:>10} {tally.failed:>9,} {tally.alone:>9,}"
        dropped, passed = (tally.below, tally.above) if reason.startswith("min_") else (tally.above, tally.below)
        for verdict, side in (("fails", dropped), ("passes", passed)):
            for example in side[:examples]:
                yield f"    {verdict:<6} {figure(example.value):>9}  {visible(' '.join(example.text.split()))}"


def _counted(documents: int, size: int) -> str:
    return f"{documents:,} document{'' if documents == 1 else 's'}, {quantity(size, 'bytes')}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "0 %"
