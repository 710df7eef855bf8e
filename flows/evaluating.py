"""The model: `gristmill evaluate` is one step without a recipe: a model of the store is asked tasks, held-out text, and tasks of
lm-evaluation-harness. What decides it are the contents of the model, of the files, and of what they are compared with.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.ensure import Outcome, Say
from flows.ready import Ready
from flows.rejects import visible
from flows.single import ensure_single
from flows.steps import Step
from flows.tables import aligned
from model.examples.opened import files_digest
from model.metrics.comparison import Comparison, compare, correct
from model.metrics.items import read_items
from model.metrics.verdicts import told, verdict
from model.versions import EVALUATE_TASKS_VERSION, engines
from pipelines.places import absolute
from schemas.arrow import SUBSETS
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Evaluation, Recipe, Run
from schemas.results import MODEL, Measure, Result
from schemas.store import Store

STEP = "evaluate-tasks"
MADE_BY = ("pretrain", "import", "finetune")
"""Steps whose models can be evaluated."""


@dataclass(frozen=True)
class Asked:
    """What a model is asked, and where that lies."""

    settings: Evaluation
    documents: Artifact | None = None
    """Held-out text of this artifact."""
    text: str | None = None
    """Or of these files."""
    baseline: Artifact | None = None
    harness: Path | None = None
    """Folder of the harness's task files."""


def model_named(store: Store, reference: str, option: str = "MODEL") -> Artifact:
    """A model that can be evaluated. Raises `RequestError`."""
    found = store.find(reference if "/" in reference else f"model/{reference}")
    if found.kind != "model" or found.manifest.identity.step not in MADE_BY:
        raise RequestError(f"{option}: {found.reference} was made by step {found.manifest.identity.step}: only models can be evaluated")
    return found


def evaluate_model(store: Store, model: Artifact, asked: Asked, name: str, run: Run, say: Say) -> Outcome:
    """Have evaluation/`name` of a model. Raises `RequestError` naming a file that can't be read, `ChildFailed`."""
    inputs = {"model": model}
    inputs |= {role: found for role, found in (("documents", asked.documents), ("baseline", asked.baseline)) if found is not None}

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        roots: dict[str, str] = {}
        for key, path, option in _files(asked):
            digests[key], roots[key] = files_digest(path, option), absolute(path)
        if asked.harness is not None:
            digests["lm-eval"] = files_digest(f"{glob.escape(str(asked.harness))}/**/*", "--lm-eval-path")
            roots["lm-eval"] = os.path.abspath(asked.harness)
        more = _harness_engines() if asked.settings.harness is not None else {}
        return Ready(Identity(STEP, EVALUATE_TASKS_VERSION, asked.settings.as_json(), digests, {**engines(), **more}), roots=roots)

    command = lambda draft, run: [sys.executable, "-m", "model.evaluate.tasks", str(draft)]  # noqa: E731
    step = Step(STEP, "evaluation", STEP, tuple(inputs), (STEP,), prepare, command)
    return ensure_single(step, name, run, store, inputs, say)


def _files(asked: Asked) -> list[tuple[str, str, str]]:
    """Root, path, and the option or key that named it."""
    found = [] if asked.text is None else [("text", asked.text, "--text")]
    for task in asked.settings.tasks:
        given = {subset: getattr(task.data, subset) for subset in SUBSETS}
        found += [(f"{task.name}/{subset}", path, f"task {task.name}: data.{subset}") for subset, path in given.items() if path]
    return found


def _harness_engines() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"lm_eval": version("lm_eval"), "datasets": version("datasets")}
    except PackageNotFoundError as error:
        raise RequestError(f"--lm-eval: lm-evaluation-harness is not installed ({error}): pip install 'gristmill[lm-eval]'") from error


@dataclass(frozen=True)
class Beside:
    """A model's result beside the baseline that does best."""

    result: Result
    baseline: str
    comparison: Comparison


def beside_baselines(evaluation: Artifact, results: Sequence[Result]) -> list[Beside]:
    """Of each result that has baselines with the metric that decides; corrected over all of them."""
    found: list[tuple[Result, str]] = []
    comparisons = []
    for result in results:
        own = result.systems[MODEL][result.headline]
        values = {
            name: measures[result.headline].value for name, measures in result.systems.items()
            if name != MODEL and result.headline in measures
        }  # fmt: skip
        if not values or result.items is None:
            continue
        best = max(values, key=lambda name: values[name] if own.better == "higher" else -values[name])
        one, other = (read_items(evaluation.path / result.items, system).statistics[result.headline] for system in (MODEL, best))
        comparisons.append(compare(result.task, result.headline, own.better, one, other, result.seed))
        found.append((result, best))
    return [Beside(result, best, one) for (result, best), one in zip(found, correct(comparisons), strict=True)]


def lines_of(model: str, results: Sequence[Result], beside: Sequence[Beside]) -> list[str]:
    """For a terminal: for each task a table of systems, notes, and whether the model beats the best baseline."""
    verdicts = {one.result.task: one for one in beside}
    lines = []
    for result in results:
        shots = f", {result.shots} shots" if result.shots else ""
        lines.append(f"{visible(result.task)}: {result.kind}, version {result.version}, {result.n:,} items{shots}, data {result.data[:8]}")
        systems = {MODEL: result.systems[MODEL], **result.systems}
        metrics = list(dict.fromkeys([result.headline, *(name for measures in systems.values() for name in measures)]))
        rows = [
            (f"  {visible(model if system == MODEL else system)}", *(_cell(name, measures) for name in metrics))
            for system, measures in systems.items()
        ]  # fmt: skip
        lines += aligned(("", *metrics), rows, left={0})
        lines += [f"  note: {visible(note)}" for note in result.notes]
        if result.task in verdicts:
            lines.append(f"  {visible(_verdict(model, verdicts[result.task]))}")
        lines.append("")
    return lines[:-1]


def _cell(metric: str, measures: Mapping[str, Measure]) -> str:
    if (measure := measures.get(metric)) is None:
        return "-"
    value = told(metric, measure.value)
    return value if measure.standard_error is None else f"{value} ± {told(metric, measure.standard_error)}"


def _verdict(model: str, found: Beside) -> str:
    said = verdict(found.comparison, model, found.baseline)
    if found.comparison.winner == "a":
        return said
    plainly = "is worse than" if found.comparison.winner == "b" else "does not beat"
    return f"{model} {plainly} the baseline {found.baseline}: {said}"
