"""The model: a *finding* is the distance of one measure, over all documents or in one language, beside its threshold, and the test's p,
corrected over all findings (Holm 1979). It *drifts* if it is above the threshold and the corrected p is below alpha: large, and not chance.

    language          mix of languages, by documents          length            bytes of a document, in each language
    rare_tokens       share of rare and unknown tokens        bytes_per_token   in each language
    pos               parts of speech, in each language       bits_per_byte     of the champion, in each language
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from flows.drift import distances
from flows.drift.sample import Sample, learned, news, sample, vocabulary_counts
from flows.drift.unknown import unknown_token
from flows.ensure import Say
from flows.lineage import made_from
from flows.retraining.news import champions_tokens
from model.metrics.comparison import holm
from schemas.artifact import Artifact
from schemas.champion import Reign, champion
from schemas.errors import RequestError
from schemas.recipe import Drift, EncoderDecoder, Recipe
from schemas.store import Store

FEWEST = 20
"""Documents of a language on either side, below which nothing is said of it."""
_SEED = 0
OF_TOKENS = ("rare_tokens", "bytes_per_token")
"""Measures of tokens, which compare within one tokenizer."""
ALL = "all"


@dataclass(frozen=True)
class Finding:
    """See the module."""

    measure: str
    where: str
    """A language, or `all`."""
    distance: float
    threshold: float | None
    """None: it is told, and never a reason."""
    p: float
    old: int
    """Documents that were looked at."""
    new: int
    corrected: float = 1.0
    drifts: bool = False

    def verdict(self, alpha: float) -> str:
        if self.threshold is None:
            return "told only: no threshold"
        if self.distance <= self.threshold:
            return "within the threshold"
        return "drifts" if self.drifts else f"may be chance (p not below {alpha:g})"

    def reason(self) -> str:
        where = "" if self.where == ALL else f" of {self.where}"
        return (
            f"drift: {self.measure}{where} {self.distance:.3g}, above {self.threshold:g} "
            f"(p {self.corrected:.2g} after Holm's correction, {self.new:,} new documents beside {self.old:,})"
        )


@dataclass(frozen=True)
class Drifted:
    """All that was found."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What could not be told, and why."""
    learned: Artifact
    now: Artifact
    new_documents: int
    alpha: float

    def reasons(self) -> tuple[str, ...]:
        return tuple(one.reason() for one in self.findings if one.drifts)

    def as_json(self) -> dict[str, Any]:
        return {
            "learned": self.learned.reference,
            "now": self.now.reference,
            "new_documents": self.new_documents,
            "alpha": self.alpha,
            "findings": [{**asdict(one), "verdict": one.verdict(self.alpha)} for one in self.findings],
            "notes": list(self.notes),
            "reasons": list(self.reasons()),
        }


def drifted(recipe: Recipe, store: Store) -> tuple[str, ...]:
    """Reasons to retrain that are in what came since, as `retrain.drift` has them; none if that is null."""
    if recipe.retrain is None or recipe.retrain.drift is None:
        return ()
    return drift_of(recipe, store, recipe.retrain.drift, lambda line: print(line, file=sys.stderr, flush=True)).reasons()


def drift_of(recipe: Recipe, store: Store, limits: Drift, say: Say) -> Drifted:
    """Compare the new documents of the newest tokens with what the champion learned. Raises `RequestError` if there is none of either."""
    reign = champion(store.root, recipe.name)
    if reign is None:
        raise RequestError(f"{recipe.name} has no champion yet, whose text could be compared with: `gristmill promote {recipe.name}`")
    before, now = champions_tokens(store, reign), store.find(f"tokens/{recipe.name}")
    if before is None:
        raise RequestError(f"what the champion of {recipe.name} (reign {reign.number}) learned from is not in the store")
    counts, unknown = vocabulary_counts(learned(before)), unknown_token(store, before)
    old_documents, new_documents = made_from(store, before, "documents"), made_from(store, now, "documents")
    new = sample(news(now, before), counts, unknown, False, new_documents)
    if len(new) < FEWEST:
        few = f"{len(new):,} new documents are too few to tell: {FEWEST} are needed"
        return Drifted((), (few,), before, now, new.of, limits.alpha)
    old = sample(learned(before), counts, unknown, True, old_documents)
    asked, notes = _bits(recipe, store, reign, limits, old_documents, new_documents, new, say)
    found = [*compare(old, new), *asked]
    if before.manifest.identity.inputs.get("tokenizer") != now.manifest.identity.inputs.get("tokenizer"):
        found = [one for one in found if one[0] not in OF_TOKENS]
        notes = (f"{' and '.join(OF_TOKENS)} can't be told: the new tokens are another tokenizer's", *notes)
    if len(old) < old.of or len(new) < new.of:
        notes = (f"of {new.of:,} new and {old.of:,} learned documents, {len(new):,} and {len(old):,} were looked at", *notes)
    return Drifted(judged(found, limits), (*too_few(old, new), *notes), before, now, new.of, limits.alpha)


Compared = tuple[str, str, distances.Distance, "np.ndarray[Any, np.dtype[np.bool_]]"]
"""Measure, where, its distance, and which documents are new."""


def compare(old: Sample, new: Sample) -> Iterator[Compared]:
    """All measures that the documents alone give."""
    langs = np.concatenate([old.langs, new.langs])
    n_bytes, n_tokens, n_rare, pos = (
        np.concatenate([getattr(old, name), getattr(new, name)]) for name in ("n_bytes", "n_tokens", "n_rare", "pos")
    )
    is_new = np.arange(len(langs)) >= len(old)
    kinds, codes = np.unique(langs, return_inverse=True)
    yield "language", ALL, distances.mix(np.eye(len(kinds), dtype=np.int64)[codes]), is_new
    yield "rare_tokens", ALL, distances.rise(n_rare, n_tokens), is_new
    for lang in (str(kind) for kind in kinds):
        of = langs == lang
        if min((of & is_new).sum(), (of & ~is_new).sum()) < FEWEST:
            continue
        yield "length", lang, distances.kolmogorov_smirnov(n_bytes[of]), is_new[of]
        yield "bytes_per_token", lang, distances.relative_change(n_bytes[of], n_tokens[of]), is_new[of]
        tagged = of & (pos.sum(axis=1) > 0)
        if min((tagged & is_new).sum(), (tagged & ~is_new).sum()) >= FEWEST:
            yield "pos", lang, distances.mix(pos[tagged]), is_new[tagged]


def judged(compared: list[Compared], limits: Drift) -> tuple[Finding, ...]:
    """Findings, tested and corrected. So many draws that the smallest p survives the correction."""
    draws = max(999, math.ceil(2 * len(compared) / limits.alpha))
    found = []
    for measure, where, distance, is_new in compared:
        far, p = distances.shuffled(distance, is_new, draws, _SEED)
        found.append(Finding(measure, where, far, getattr(limits, measure), p, int((~is_new).sum()), int(is_new.sum())))
    corrected = holm([one.p for one in found])
    return tuple(
        replace(one, corrected=q, drifts=one.threshold is not None and one.distance > one.threshold and q < limits.alpha)
        for one, q in zip(found, corrected, strict=True)
    )


def too_few(old: Sample, new: Sample) -> list[str]:
    """New languages of which nothing more than their share is told, and why."""
    notes = []
    for lang in sorted(set(new.langs.tolist())):
        counts = [int((side.langs == lang).sum()) for side in (new, old)]
        if min(counts) < FEWEST:
            notes.append(f"{lang}: {counts[0]:,} new and {counts[1]:,} learned documents are too few to tell more than its share")
    return notes


def _bits(
    recipe: Recipe,
    store: Store,
    reign: Reign,
    limits: Drift,
    old: Artifact | None,
    now: Artifact | None,
    new: Sample,
    say: Say,
) -> tuple[list[Compared], tuple[str, ...]]:
    """Bits per byte, where they are wanted and can be had."""
    if limits.bits_per_byte is None:
        return [], ()
    if recipe.pretrain is not None and isinstance(recipe.pretrain.model, EncoderDecoder):
        return [], ("bits_per_byte: an encoder-decoder gives no likelihood to text alone",)
    if old is None or now is None:
        return [], ("bits_per_byte: the documents are not in the store any more",)
    from flows.drift.bits import bits_of

    found, notes = [], []
    asked = bits_of(store, store.find(reign.models["pretrain"]), recipe.name, recipe.run, old, now, new.ids, say)
    if not asked:
        notes.append("bits_per_byte: there is no held-out document to compare with (corpus.held_out)")
    for lang, (is_new, bits, n_bytes) in asked.items():
        if min(is_new.sum(), (~is_new).sum()) < FEWEST:
            notes.append(f"bits_per_byte of {lang}: {is_new.sum():,} new and {(~is_new).sum():,} held-out documents are too few")
        else:
            found.append(("bits_per_byte", lang, distances.relative_rise(bits, n_bytes), is_new))
    return found, tuple(notes)
