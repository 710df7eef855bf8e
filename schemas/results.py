"""The model: a *result* is what an evaluation found about a *task*: its systems (the `model` and its *baselines*), and for each system the
*measures* it was judged by. Of each *item* of the task, and each metric, *statistics* are kept: numbers of which the sum over any items
decides the metric. So what comes later (intervals, a comparison with another model) needs the items, and no model.

    results.json    {"tasks": [Result.as_json(), ...], ...}
    items/*.arrow   ITEMS of a task, one row an item and a system
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

MODEL = "model"
"""The system that is judged; the others are its baselines."""
PROBE, PROBE_OF_LABELS = "probe", "probe-of-labels"
"""Kinds of results that tell what people worry about: about a model, and where two models are judged together, about the fine-tuned one."""

ITEMS = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("system", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("group", pa.string()),
        pa.field("prediction", pa.string()),
        pa.field("reference", pa.string()),
        pa.field("statistics", pa.map_(pa.string(), pa.list_(pa.float64())), nullable=False),
    ]
)
"""`item` names it within its task's data, `group` is its language or source; what was said and what was wanted are text, to be read;
`statistics` by metric."""


@dataclass(frozen=True)
class Measure:
    """A figure of a system."""

    value: float
    better: Literal["higher", "lower"]
    signature: str
    """How it was computed, so that equal signatures compare: `macro_f1|v1`, or sacrebleu's own."""
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    """Of 95 %, by a bootstrap over items."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measure:
        return cls(**{**value, "interval": tuple(value["interval"]) if value.get("interval") else None})


@dataclass(frozen=True)
class Result:
    """What was found about one task."""

    task: str
    kind: str
    """Of `schemas.recipe.Task`, `language_modelling`, or `lm-eval` for a task of lm-evaluation-harness."""
    version: int
    """Of the task: results of different versions don't compare."""
    headline: str
    """The metric that decides."""
    n: int
    """Items."""
    seed: int
    data: str
    """Digest of the items' inputs and references."""
    systems: Mapping[str, Mapping[str, Measure]]
    items: str | None = None
    """File of the artifact."""
    shots: int = 0
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences: a leak that was found, an answer that could not be read."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Result:
        systems = {name: {key: Measure.from_json(one) for key, one in found.items()} for name, found in value["systems"].items()}
        return cls(**{**value, "systems": systems, "notes": tuple(value["notes"])})
