"""The model: a *rule* is a threshold on a signal, named by its key in the recipe (`min_words`, `max_digits`). The first
rule that a document fails, in the order of `schemas.recipe.Rules`, is the *reason* of its reject; the *detail* says by how
much: ``words 3 < 5``.

A document is judged by its language's rules, else by `default`'s, else it is kept. A signal that is null fails no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from schemas.recipe import Rules
from schemas.recipe.rules import THRESHOLDS


def judge(
    signals: pa.StructArray, langs: Sequence[str], lang_scores: Sequence[float], rules: Mapping[str, Rules]
) -> list[tuple[str, str] | None]:
    """Reason and detail of the first rule each document fails; None if it is kept.

    Compares in float32, the type of signals, so a value equal to a threshold as written passes.
    """
    verdicts: list[tuple[str, str] | None] = [None] * len(langs)
    rows_by_rules: dict[str, list[int]] = {}
    for row, lang in enumerate(langs):
        name = lang if lang in rules else "default"
        if name in rules:
            rows_by_rules.setdefault(name, []).append(row)
    scores = np.asarray(lang_scores, np.float32)
    for name, members in rows_by_rules.items():
        rows = np.array(members)
        for reason in THRESHOLDS:
            limit = getattr(rules[name], reason)
            if limit is None or not rows.size:
                continue
            bound, signal = reason.split("_", 1)
            column = scores if signal == "lang_score" else signals.field(signal).to_numpy(zero_copy_only=False)
            values = column[rows]
            failed = values < np.float32(limit) if bound == "min" else values > np.float32(limit)
            for row, value in zip(rows[failed], values[failed], strict=True):
                verdicts[row] = reason, f"{signal} {_figure(value)} {'<' if bound == 'min' else '>'} {limit:g}"
            rows = rows[~failed]
    return verdicts


def _figure(value: np.float32) -> str:
    """Six significant digits, whole counts in full."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
