"""The model: a *rule* is a threshold on a signal, named by its key in the recipe (`min_words`, `max_digits`). To *check* it is to
compare it with the signals of all rows. The first rule that a document fails, in the order of `schemas.recipe.Rules`, is the *reason* of
its reject; the *detail* says by how much: ``words 3 < 5``.

A document is judged by its language's rules, else by `default`'s, else it is kept. A signal that is null fails no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.recipe import Rules
from schemas.recipe.rules import DEFAULT, THRESHOLDS

Floats = npt.NDArray[np.float32]


class Check(NamedTuple):
    """One rule against all rows of a batch."""

    reason: str
    """The rule's key in the recipe."""
    limit: float
    values: Floats
    """Of the signal, NaN where it is null."""
    failed: npt.NDArray[np.bool_]

    def detail(self, row: int) -> str:
        """How a row that failed did."""
        bound, signal = self.reason.split("_", 1)
        return f"{signal} {figure(self.values[row])} {'<' if bound == 'min' else '>'} {self.limit:g}"


def checks(signals: pa.StructArray, lang_scores: Floats, rules: Rules) -> Iterator[Check]:
    """Every rule that is on, in order.

    Compares in float32, the type of signals, so a value equal to a threshold as written passes.
    """
    for reason in THRESHOLDS:
        limit = getattr(rules, reason)
        if limit is None:
            continue
        bound, signal = reason.split("_", 1)
        values = lang_scores if signal == "lang_score" else signals.field(signal).to_numpy(zero_copy_only=False)
        yield Check(reason, limit, values, values < np.float32(limit) if bound == "min" else values > np.float32(limit))


def judge(
    signals: pa.StructArray, langs: Sequence[str], lang_scores: Sequence[float], rules: Mapping[str, Rules]
) -> list[tuple[str, str] | None]:
    """Reason and detail of the first rule each document fails; None if it is kept."""
    verdicts: list[tuple[str, str] | None] = [None] * len(langs)
    scores = np.asarray(lang_scores, np.float32)
    for name, rows in rows_by_rules(langs, rules).items():
        kept = np.ones(rows.size, np.bool_)
        for check in checks(signals.take(pa.array(rows)), scores[rows], rules[name]):
            for row in np.flatnonzero(check.failed & kept).tolist():
                verdicts[rows[row]] = check.reason, check.detail(row)
            kept &= ~check.failed
    return verdicts


def rows_by_rules(langs: Sequence[str], rules: Mapping[str, Rules]) -> dict[str, npt.NDArray[np.int64]]:
    """Which rows each language's rules judge; rows that none do are left out."""
    found: dict[str, list[int]] = {}
    for row, lang in enumerate(langs):
        name = lang if lang in rules else DEFAULT
        if name in rules:
            found.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def figure(value: float) -> str:
    """Six significant digits, whole counts in full."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
