"""The model: an *evaluated* result is what one evaluation artifact found about one task, and the model it is about. A model's result for a
task is that of its newest evaluation with this task: evaluations need not ask all tasks.

Evaluations that were made before tasks had results are passed by, as those of other formats are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flows.lineage import meant
from model.metrics.items import Judged, read_items
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError
from schemas.fingerprint import read_json
from schemas.results import MODEL, PROBE, Result
from schemas.store import Store

ROLES = ("model", "finetune", "pretrain")
"""Inputs of an evaluation that are the model it is about."""


@dataclass(frozen=True)
class Evaluated:
    """One task's result."""

    result: Result
    evaluation: Artifact
    model: str
    """The name of its artifact, or where that is no longer in the store, what is known: `model 1a2b3c4d`."""
    version: str | None
    """Of that artifact."""

    def items(self) -> Judged:
        """What the model's items came to. Raises `Damaged` naming the file if it is missing or not what it should be."""
        if self.result.items is None:
            raise Damaged(f"{self.evaluation.reference}: has no items of {self.result.task}: evaluate again")
        path = self.evaluation.path / self.result.items
        try:
            return read_items(path, MODEL)
        except (ValueError, OSError) as error:
            raise Damaged(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def results_of(evaluation: Artifact) -> list[Result]:
    """The tasks of an evaluation artifact; none if it is of before there were any. Raises `Damaged` naming the file."""
    paths = evaluation.paths("results")
    if not paths:
        return []
    try:
        results = [Result.from_json(one) for one in read_json(paths[0]).get("tasks", ())]
        for result in results:
            result.systems[MODEL][result.headline]
        return results
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise Damaged(f"{paths[0]}: not the results of an evaluation: {type(error).__name__}: {error}") from error


def details_of(evaluation: Artifact) -> dict[str, Any]:
    """What a probe told beside its results, by task; none of other evaluations. Raises `Damaged` naming the file."""
    paths = evaluation.paths("results")
    try:
        return dict(read_json(paths[0]).get("details", {})) if paths else {}
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise Damaged(f"{paths[0]}: not the results of an evaluation: {type(error).__name__}: {error}") from error


def about(evaluation: Artifact, result: Result) -> str:
    """Content digest of the model that a result is about, or nothing. Where an evaluation has two, how likely text is and what probes find
    is of the pretrained one, all else is of the fine-tuned one."""
    inputs = evaluation.manifest.identity.inputs
    pretrained = result.kind in ("language_modelling", PROBE) or result.task.endswith(".next_sentence")
    roles = ("model", "pretrain", "finetune") if pretrained else ROLES
    return next((inputs[role] for role in roles if role in inputs), "")


def evaluated(store: Store) -> list[Evaluated]:
    """The newest result of each model and task, by model and task."""
    models: dict[str, list[Artifact]] = {}
    for artifact in store.artifacts("model"):
        models.setdefault(artifact.manifest.content_digest, []).append(artifact)
    newest: dict[tuple[str, str], Evaluated] = {}
    for evaluation in sorted(store.artifacts("evaluation"), key=lambda artifact: artifact.version):
        for result in results_of(evaluation):
            digest = about(evaluation, result)
            found = meant(models.get(digest, ()), evaluation.name)
            name = found.name if found else f"model {digest[:8]}" if digest else evaluation.name
            version = found.version if found else None
            newest[digest or evaluation.reference, result.task] = Evaluated(result, evaluation, name, version)
    return sorted(newest.values(), key=lambda one: (one.model, one.result.task, one.version or ""))


def evaluated_as(store: Store, reference: str) -> list[Evaluated]:
    """Results by task of what a reference names: a model, or an evaluation. Raises `RequestError` if there is none."""
    artifact = store.find(reference if "/" in reference else f"model/{reference}")
    if artifact.kind not in ("model", "evaluation"):
        raise RequestError(f"{artifact.reference}: is neither a model nor an evaluation")
    if artifact.kind == "evaluation":
        own = [Evaluated(result, artifact, artifact.name, None) for result in results_of(artifact)]
        return _some(own, f"{artifact.reference}: has no results of tasks: evaluate a model on some")
    digest = artifact.manifest.content_digest
    newest: dict[str, Evaluated] = {}
    for evaluation in sorted(store.artifacts("evaluation"), key=lambda one: one.version):
        if digest in (evaluation.manifest.identity.inputs.get(role) for role in ROLES):
            found = [result for result in results_of(evaluation) if about(evaluation, result) == digest]
            newest |= {result.task: Evaluated(result, evaluation, artifact.name, artifact.version) for result in found}
    return _some(newest.values(), f"{artifact.reference}: has not been evaluated on any task")


def _some(found: Iterable[Evaluated], else_say: str) -> list[Evaluated]:
    listed = list(found)
    if not listed:
        raise RequestError(else_say)
    return listed
