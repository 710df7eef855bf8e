"""The model: `results.json` of an evaluation holds `language_modelling` (systems by language and by source, or null),
`classification` (systems on labelled documents, or null) and `samples`; it is read into the facts' words.

The file's layout is that of `model.evaluate`; it names our own system `model`, the others are baselines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.report.facts import Classification, Classifier, Evaluation, Group, Sample, System
from schemas.artifact import Artifact
from schemas.fingerprint import read_json

OURS = "model"


def read_evaluation(artifact: Artifact, labelled_source: str) -> Evaluation | None:
    """Read the results; `labelled_source` is where the classified documents come from. None if there are tasks and nothing else.

    Raises `ValueError` naming the file.
    """
    (path,) = artifact.paths("results")
    results = read_json(path)
    if "tasks" in results and "language_modelling" not in results:
        return None
    try:
        return Evaluation(
            results["subset"],
            tuple(_groups(results["language_modelling"])) if results["language_modelling"] is not None else (),
            _classification(results["classification"], labelled_source) if results["classification"] else None,
            tuple(Sample(sample["prompt"], sample["text"]) for sample in results["samples"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the results that model.evaluate writes: {type(error).__name__} {error}") from error


def _groups(task: Mapping[str, Any]) -> Iterator[Group]:
    for by, grouping in (("language", "languages"), ("source", "sources")):
        for name, group in task[grouping].items():
            systems = group["systems"]
            yield Group(
                by=by,
                name=name,
                documents=group["documents"],
                tokens=group["tokens"],
                bytes=group["bytes"],
                ours=_system(OURS, systems[OURS], group),
                baselines=tuple(_system(key, systems[key], group) for key in sorted(systems) if key != OURS),
            )


def _system(name: str, figures: Mapping[str, Any], group: Mapping[str, Any]) -> System:
    relative = f"relative_to_order_{name.rpartition('_')[2]}"
    low, high = figures["bits_per_byte_interval"]
    interval = group.get(f"{relative}_interval")
    return System(
        name, figures["bits_per_byte"], (low, high), figures["perplexity"], group.get(relative), tuple(interval) if interval else None
    )


def _classification(task: Mapping[str, Any], source: str) -> Classification:
    systems = task["systems"]
    order = sorted(systems, key=lambda name: (name != OURS, -systems[name]["accuracy"], name))
    found = (Classifier(n, systems[n]["accuracy"], systems[n]["accuracy_standard_error"], systems[n]["macro_f1"]) for n in order)
    return Classification(source, task["n"], tuple(found))
