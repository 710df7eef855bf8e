"""The model: the facts of a report are gathered from committed artifacts alone: manifests, shards, `metrics.jsonl` and
`results.json`, and the marks of what was forgotten. No clock, host or path enters them, so equal artifacts give an equal page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from flows.evaluated import about, details_of, results_of
from flows.probing.kept import RUN, run_digest
from flows.report.evaluation import read_evaluation
from flows.report.facts import Found, Node, ReportFacts, Sampled, TokenCount, TokenizerFacts, Training
from flows.report.rejects import read_examples
from flows.report.texts import read_texts
from flows.report.training import read_training
from flows.sampling import sampled
from schemas.artifact import Artifact
from schemas.forgotten import read_mark
from schemas.results import PROBE, PROBE_OF_LABELS, Result
from schemas.store import Store


def gather(
    documents: Artifact,
    tokenizer: Artifact | None = None,
    tokens: Artifact | None = None,
    pretrain: Artifact | None = None,
    finetune: Artifact | None = None,
    evaluation: Artifact | None = None,
    probes: Iterable[Found] = (),
) -> ReportFacts:
    """Gather the facts of a run as far as it has come; artifacts that are None leave their figures out.

    Reads every document and reject shard once, in bounded memory. Raises `ValueError` naming the file if one does not
    hold what its schema or layout says.
    """
    made = {
        "documents": documents,
        "tokenizer": tokenizer,
        "tokens": tokens,
        "pretrain": pretrain,
        "finetune": finetune,
        "evaluation": evaluation,
    }
    cells, profiles = read_texts(documents.paths("documents"))
    return ReportFacts(
        name=documents.name,
        lineage=tuple(node(role, artifact) for role, artifact in made.items() if artifact),
        ledgers=documents.manifest.ledgers,
        cells=cells,
        profiles=profiles,
        examples=read_examples(documents.paths("rejects")),
        tokenizer=_tokenizer(tokenizer) if tokenizer else None,
        tokens=tuple(token_counts(tokens)) if tokens else (),
        sampled=tuple(Sampled(*place, *counts) for place, counts in sampled(tokens).items()) if tokens else (),
        pretrain=training_of(pretrain, "pretrain") if pretrain else None,
        finetune=training_of(finetune, "finetune") if finetune else None,
        evaluation=read_evaluation(evaluation, _labelled_source(finetune)) if evaluation else None,
        results=tuple(results_of(evaluation)) if evaluation else (),
        probes=tuple(probes),
    )


def found_about(store: Store, model: Artifact) -> Iterator[Found]:
    """The results in a store that are about a model with these contents, the oldest first; not what another training of the same contents
    took. Raises `Damaged` naming a file."""
    digest, run = model.manifest.content_digest, run_digest(model)
    for evaluation in sorted(store.artifacts("evaluation"), key=lambda one: one.version):
        inputs = evaluation.manifest.identity.inputs
        if digest not in inputs.values() or inputs.get(RUN, run) != run:
            continue
        made = f"{datetime.strptime(evaluation.version.partition('-')[0], '%Y%m%dT%H%M%S%fZ'):%Y-%m-%d %H:%M} UTC"
        for result in results_of(evaluation):
            if about(evaluation, result) == digest:
                where = f"{evaluation.reference}, made {made} of contents {digest[:12]}"
                yield Found(result, where, model.reference, details_of(evaluation).get(result.task, {}))


def newest(found: Iterable[Found]) -> list[Found]:
    """Of results to the same question the last one, by question."""
    return [one for _, one in sorted({_question(one.result): one for one in found}.items())]


def _question(result: Result) -> tuple[str, str, int, int, str]:
    return result.kind, result.task, result.version, result.shots, result.data


def is_probe(found: Found) -> bool:
    return found.result.kind in (PROBE, PROBE_OF_LABELS)


def node(role: str, artifact: Artifact) -> Node:
    """An artifact as the lineage shows it."""
    manifest, identity = artifact.manifest, artifact.manifest.identity
    return Node(
        role=role,
        kind=artifact.kind,
        name=artifact.name,
        version=artifact.version,
        step=identity.step,
        step_version=identity.version,
        fingerprint=manifest.fingerprint,
        content_digest=manifest.content_digest,
        inputs=identity.inputs,
        settings=identity.settings,
        engines=identity.engines,
        files=len(manifest.files()),
        bytes=sum(file.bytes for file in manifest.files()),
        forgotten=mark.told if (mark := read_mark(artifact.path)) is not None else "",
    )


def _labelled_source(finetune: Artifact | None) -> str:
    return str(finetune.manifest.identity.settings["source"] or "labelled documents") if finetune else "labelled documents"


def _tokenizer(artifact: Artifact) -> TokenizerFacts:
    facts = artifact.facts("tokenizer")
    return TokenizerFacts(facts["vocab_size"], facts["special_tokens"], facts.get("bytes_per_token", {}))


def token_counts(artifact: Artifact) -> Iterator[TokenCount]:
    """Add up the facts of the parts: tokens and bytes by language and subset."""
    totals: dict[tuple[str, str], list[int]] = {}
    for part in artifact.manifest.parts:
        for place, measure in enumerate(("tokens", "bytes")):
            for lang, subset, n in _leaves(part.facts.get(measure, {})):
                totals.setdefault((lang, subset), [0, 0])[place] += n
    for (lang, subset), (tokens, size) in sorted(totals.items()):
        yield TokenCount(lang, subset, tokens, size)


def _leaves(by_language: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, int]]:
    for lang, by_subset in by_language.items():
        for subset, n in by_subset.items():
            yield lang, subset, n


def training_of(artifact: Artifact, stage: str) -> Training:
    """The curves of a trained model; `stage` is its step."""
    (metrics,) = artifact.paths("metrics")
    facts: Mapping[str, Any] = artifact.facts(stage)
    return read_training(metrics, facts)
