"""The model: a gate's *probes* ask several systems the same sentences and prompts, and keep what each item came to, so that a rise can be
told from chance:

    bias.LANG.DIMENSION      of a classifier: how far its scores of the good label lie apart by who a sentence names; an item is a sentence
    bias.LANG.occupations    of what goes on with a text: nats a token between "he" and "she", without sign; an item is an occupation
    memorisation             whether a training document's first tokens are gone on with as the training text does; an item is a document

What can't be asked is told, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.probing.findings import answers_of
from flows.retraining.judging import BIAS, MEMORISATION
from model.checkpoint import Mismatch
from model.evaluate.results import Asked, System, result_of
from model.finetune.saved import has_head
from model.generate import Drawing
from model.metrics.gaps import widest_gap
from model.metrics.metric import Metric, mean, scored
from model.probes.bias import leanings
from model.probes.memorised import memorised
from model.probes.reading import Reader
from model.probes.recall import prompts, write
from model.probes.templates import LANGUAGES, templates
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import digest_json
from schemas.results import Result

KIND, KIND_OF_LABELS = "probe", "probe-of-labels"
"""Of results about the pretrained model, and about the fine-tuned one."""
GOOD = ("positive", "pos", "正面", "好评")
"""Labels that are known as the good one."""
PROMPTS, LENGTH = 256, 32
"""Documents that are gone on from; tokens of each that are given, and as many that are wanted."""

_MEAN_GAP = Metric("mean_gap", "lower", "mean_gap|nats a token, male and female pronoun, without sign|v1", lambda gap, _: scored(gap), mean)
_VERBATIM = Metric(
    "verbatim_texts", "lower", f"documents gone on with verbatim|{PROMPTS} documents|greedy|v1", lambda hit, _: scored(float(hit)), mean
)


@dataclass(frozen=True)
class Found:
    """Results, and why others are missing, by guard."""

    results: tuple[Result, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


def labels_bias(folders: Mapping[str, Path], scratch: Path) -> Found:
    """Of classifiers, by system."""
    if headless := next((name for name, folder in folders.items() if not has_head(folder)), None):
        return Found(missing=((BIAS, f"the fine-tuned model of {headless} has no labels"),))
    try:
        asked = {name: answers_of(folder) for name, folder in folders.items()}
    except Mismatch as error:
        return Found(missing=((BIAS, str(error).partition(": ")[2]),))
    labels = {labels for _, labels in asked.values()}
    good = next((label for label in sorted(set().union(*labels)) if label.lower() in GOOD), None)
    if good is None or any(good not in known for known in labels):
        return Found(missing=((BIAS, f"none of the labels {', '.join(sorted(set().union(*labels)))} is known as the good one"),))
    results = []
    for lang in LANGUAGES:
        sentences = templates(lang).counterfactual
        for dimension in sentences.groups:
            rows = sentences.sentences(dimension)
            texts, metric, systems = [text for row in rows for text in row], widest_gap(), {}
            for name, (answer, known) in asked.items():
                scores = np.asarray(answer(texts), np.float64)[:, known.index(good)].reshape(len(rows), -1)
                systems[name] = System([None] * len(rows), {metric.name: metric.of(list(scores), [None] * len(rows))})
            task = f"{BIAS}.{lang}.{dimension}"
            results.append(_result(task, KIND_OF_LABELS, metric, list(sentences.templates), lang, systems, rows, scratch))
    return Found(tuple(results))


def pronoun_bias(readers: Mapping[str, Reader], scratch: Path) -> Found:
    """Of models that go on with a text, by system."""
    if not all(reader.goes_on for reader in readers.values()):
        return Found(missing=((BIAS, "an encoder goes on with no text, and there is no classifier to ask"),))
    results = []
    for lang in LANGUAGES:
        occupations = templates(lang).occupations
        jobs, systems = list(occupations.occupations), {}
        for name, reader in readers.items():
            gaps = {one.occupation: abs(one.nats_per_token) for one in leanings(reader, occupations).occupations}
            systems[name] = System([None] * len(jobs), {_MEAN_GAP.name: _MEAN_GAP.of([gaps[job] for job in jobs], [None] * len(jobs))})
        asked = occupations.model_dump(mode="json")
        results.append(_result(f"{BIAS}.{lang}.occupations", KIND, _MEAN_GAP, jobs, lang, systems, asked, scratch))
    return Found(tuple(results))


def memorisation(readers: Mapping[str, Reader], tokens: Artifact, seed: int, scratch: Path) -> Found:
    """Of models that go on with a text, by system; `tokens` are what the challenger learned from."""
    if not all(reader.goes_on for reader in readers.values()):
        return Found(missing=((MEMORISATION, "an encoder goes on with no text"),))
    length = min(LENGTH, *(int(reader.model.config.context) // 2 for reader in readers.values()))
    shards = tokens.paths("tokens")
    try:
        asked = prompts(shards, PROMPTS, length, seed)
    except RequestError as error:
        return Found(missing=((MEMORISATION, str(error).partition(":")[0]),))
    ids, systems = [str(prompt.doc_id) for prompt in asked], {}
    for name, reader in readers.items():
        found = memorised(shards, write(reader, asked, length, Drawing(0.0), seed), length)
        hits = {span.sample for span in found.spans}
        statistics = _VERBATIM.of([number in hits for number in range(len(asked))], [None] * len(asked))
        systems[name] = System([None] * len(asked), {_VERBATIM.name: statistics})
    digest = [tokens.manifest.content_digest, ids, length]
    return Found((_result(MEMORISATION, KIND, _VERBATIM, ids, None, systems, digest, scratch),))


def _result(
    task: str, kind: str, metric: Metric, ids: list[str], lang: str | None, systems: Mapping[str, System], data: object, scratch: Path
) -> Result:
    nothing: list[None] = [None] * len(ids)
    return result_of(Asked(task, kind, 1, 0, digest_json(data), ids, nothing, [lang] * len(ids)), [metric], systems, scratch)
