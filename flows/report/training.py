"""The model: `metrics.jsonl` of a model has one JSON object a line: training rows (`step`, `loss`, `lr`, `grad_norm`)
and, where it was validated, `bits_per_byte` or `validation_loss` by language (pretrain) or `validation_accuracy` (finetune).

A long run is drawn from at most `POINTS` equal ranges of steps: mean, lowest and highest value in each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flows.report.facts import Curve, Training

POINTS = 120

VALIDATED = {"bits_per_byte": "bits per byte", "validation_loss": "nats a token"}
"""What models are validated by, by language, and its unit: decoders by the first, others by the second."""

_MEASURES = ("loss", "lr", "grad_norm", "validation_accuracy")
_Points = list[tuple[float, float]]


def read_training(metrics: Path, summary: Mapping[str, Any]) -> Training:
    """Read the curves of one training; `summary` is the facts of its step.

    Raises `ValueError` naming file and line if a line is not a JSON object with `step`. Values that are not finite
    are left out: a chart can't place them.
    """
    measures: dict[str, _Points] = {}
    validation: dict[str, _Points] = {}
    last, unit = 0, VALIDATED["bits_per_byte"]
    for row in _rows(metrics):
        step = row["step"]
        last = max(last, int(step))
        for name in _MEASURES:
            _append(measures, name, step, row.get(name))
        for measure, its_unit in VALIDATED.items():
            if isinstance(by_language := row.get(measure), Mapping):
                unit = its_unit
                for name, value in by_language.items():
                    _append(validation, name, step, value)
    loss, rate, norm, accuracy = (curve(measures.get(name, [])) for name in _MEASURES)
    curves = {lang: curve(points) for lang, points in sorted(validation.items())}
    return Training(last, dict(summary), loss, rate, norm, curves, accuracy, unit)


def _rows(metrics: Path) -> Iterator[Mapping[str, Any]]:
    with open(metrics, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{metrics}, line {number}: not JSON: {error}") from error
            if not isinstance(row, dict) or not isinstance(row.get("step"), (int, float)):
                raise ValueError(f"{metrics}, line {number}: a row of metrics is an object with a `step`")
            yield row


def _append(curves: dict[str, _Points], name: str, step: float, value: Any) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        curves.setdefault(name, []).append((float(step), float(value)))


def curve(points: _Points) -> Curve:
    """Average points over at most `POINTS` equal ranges of steps; fewer points stay as they are."""
    if not points:
        return Curve()
    steps, values = np.array(sorted(points), np.float64).T
    if len(steps) <= POINTS:
        same = tuple(values.tolist())
        return Curve(tuple(steps.tolist()), same, same, same)
    bucket = np.minimum(((steps - steps[0]) / (steps[-1] - steps[0]) * POINTS).astype(np.int64), POINTS - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    counts = np.diff(starts, append=len(steps))
    means = np.add.reduceat(values, starts) / counts
    middle = np.add.reduceat(steps, starts) / counts
    lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return Curve(tuple(middle.tolist()), tuple(means.tolist()), tuple(lows.tolist()), tuple(highs.tolist()))
