"""The model: tasks of lm-evaluation-harness become *results* as others do: its metrics, versions, standard errors and numbers of shots.
What it says of single items is kept where a metric is their mean, so that models can be compared on the same ones.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.evaluate.results import ITEMS_FOLDER
from model.generate import Writer
from model.metrics.items import Item, write_items
from schemas.errors import RequestError
from schemas.fingerprint import digest_json
from schemas.recipe import Evaluation
from schemas.results import MODEL, Measure, Result

KIND = "lm-eval"


def harness_results(folder: Path, settings: Evaluation, tasks: str | None, scratch: Path) -> list[Result]:
    """Results of the model in `folder`; `tasks` is a folder of task files, or None for the harness's own; items are written below
    `scratch`. Raises `RequestError` without the harness, or naming a task that it doesn't know."""
    assert settings.harness is not None
    if tasks is not None:
        os.environ["HF_DATASETS_CACHE"] = str(scratch / "datasets")  # what is made of local files goes with the scratch
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager

        from model.evaluate.lm_eval_adapter import Adapter
    except ImportError as error:
        raise RequestError(f"--lm-eval: lm-evaluation-harness is not installed ({error}): pip install 'gristmill[lm-eval]'") from error
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = TaskManager(include_path=tasks, include_defaults=tasks is None)
    for name in settings.harness.tasks:
        if name not in manager.all_tasks:
            of = f"the harness has {len(manager.all_tasks):,}" if tasks is None else f"{tasks} has {', '.join(manager.all_tasks) or 'none'}"
            raise RequestError(f"--lm-eval {name}: there is no such task: {of}")
    try:
        found = lm_eval.simple_evaluate(
            Adapter(Writer(folder), seed=settings.seed),
            tasks=list(settings.harness.tasks),
            num_fewshot=settings.shots or None,
            limit=settings.limit,
            task_manager=manager,
            random_seed=settings.seed,
            numpy_random_seed=settings.seed,
            torch_random_seed=settings.seed,
            fewshot_random_seed=settings.seed,
        )
    except (ValueError, KeyError, TypeError, AssertionError, ImportError) as error:
        raise RequestError(f"--lm-eval: {type(error).__name__}: {error}") from error
    return [_result(name, found, lm_eval.__version__, settings.seed, scratch) for name in sorted(found["samples"])]


def _result(name: str, found: Mapping[str, Any], version: str, seed: int, scratch: Path) -> Result:
    samples, config = found["samples"][name], found["configs"][name]
    measures = _measures(found["results"][name], found["higher_is_better"][name], f"lm-eval:{version}|task:{found['versions'].get(name)}")
    ids = sorted({sample["doc_id"] for sample in samples})
    data = digest_json(sorted({(sample["doc_hash"], sample["target_hash"]) for sample in samples}))
    path = f"{ITEMS_FOLDER}/{name}.arrow"
    (scratch / ITEMS_FOLDER).mkdir(exist_ok=True)
    kept = write_items(scratch / path, _items(samples, measures))
    return Result(
        name, KIND, _number(found["versions"].get(name)), next(iter(measures)), len(ids), seed, data, {MODEL: measures},
        path if kept else None, int(found["n-shot"].get(name) or 0), (f"output_type {config.get('output_type')}",),
    )  # fmt: skip


def _measures(values: Mapping[str, Any], higher: Mapping[str, bool], signature: str) -> dict[str, Measure]:
    """By metric; of a filter that is not the harness's first, `METRIC.FILTER`."""
    measures: dict[str, Measure] = {}
    for key, value in values.items():
        metric, _, of = key.partition(",")
        if not of or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}_stderr,{of}")
        told = float(error) if isinstance(error, int | float) and math.isfinite(error) else None
        better = "higher" if higher.get(metric, True) else "lower"
        measures[metric if metric not in measures else f"{metric}.{of}"] = Measure(
            float(value), better, f"{metric}|filter:{of}|{signature}", told  # type: ignore[arg-type]
        )  # fmt: skip
    return measures


def _items(samples: Sequence[Mapping[str, Any]], measures: Mapping[str, Measure]) -> list[Item]:
    """Items by the samples of the first filter, with the metrics that are a mean of what they have."""
    first = samples[0]["filter"]
    rows = sorted((sample for sample in samples if sample["filter"] == first), key=lambda sample: sample["doc_id"])
    means = [
        name for name, measure in measures.items()
        if all(isinstance(row.get(name), int | float) for row in rows)
        and math.isclose(sum(row[name] for row in rows) / len(rows), measure.value, rel_tol=1e-9, abs_tol=1e-12)
    ]  # fmt: skip
    if not means:
        return []
    return [
        Item(
            f"{row['doc_id']:06}", MODEL, _text(row["filtered_resps"]), _text(row["target"]),
            {name: (float(row[name]), 1.0) for name in means},
        )
        for row in rows
    ]  # fmt: skip


def _text(value: Any) -> str:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else str(value)


def _number(version: Any) -> int:
    """Its versions are numbers, or the like: 1.0, "2"; the signature has them as they are."""
    try:
        return int(float(version))
    except (TypeError, ValueError):
        return 0
