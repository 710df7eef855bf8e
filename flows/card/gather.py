"""The model: the facts of a *card* are what artifacts say about one model: what it *is*, what it was made from, what was *found* about it
by evaluations and probes, and what its trainings *spent*. What no artifact says is None, and the card tells that.

Each figure is read where it was committed; speeds and times are of `run.json`, which no digest covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.evaluated import ROLES
from flows.lineage import lineage
from flows.report.evaluation import read_evaluation
from flows.report.facts import Evaluation, Found, ReportFacts, Sampled, TokenizerFacts
from flows.report.gather import found_about, is_probe, newest, node, token_counts, training_of
from flows.report.probes import tables
from flows.sampling import sampled
from model.checkpoint import Mismatch, read_config
from model.cost import Cost, cost
from model.hf.heads import architecture_of, class_named
from schemas.arrow import SUBSETS
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError
from schemas.fingerprint import read_json
from schemas.results import Result
from schemas.store import Store
from schemas.terms import read_terms

TRAINED = ("pretrain", "finetune")
"""Steps that train a model."""
SHAPE = ("layers", "width", "heads", "kv_heads", "head_width", "head_size", "ffn", "context", "tie_embeddings")
"""What is told of an architecture; other keys mean something to some families only."""
COST = "cost"
"""The probe whose figures stand among the costs."""


@dataclass(frozen=True)
class CardFacts:
    """All that a card shows."""

    reference: str
    step: str
    facts: Mapping[str, Any]
    """Of the step that made it."""
    config: Mapping[str, Any]
    """Its `config.json`."""
    shape: Mapping[str, Any]
    """Its architecture, by keys of a recipe."""
    settings: Mapping[str, Mapping[str, Any]]
    """Of each training it went through, by step."""
    examples: Mapping[str, str]
    """Digest of the files that it was fine-tuned on, by subset."""
    run: ReportFacts
    """Its lineage, ledgers, tokens and trainings, as a report has them."""
    terms: Mapping[str, Mapping[str, str]]
    """By source."""
    found: tuple[Found, ...] = ()
    """The newest of each task, version, data and shots."""
    older: int = 0
    """Results that newer ones took the place of."""
    probes: tuple[Found, ...] = ()
    spent: Mapping[str, Cost] = field(default_factory=dict)
    """What each training took, by step."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Where that stands, by step, if a probe told it."""

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])

    @property
    def head(self) -> str | None:
        """What its head tells: `sequence`, `tokens` or `spans`; None if it has none."""
        written = class_named(self.config)
        return written.purpose if written else None


def gather_card(store: Store, model: Artifact, probes: Sequence[Path] = ()) -> CardFacts:
    """The facts of a model's card; `probes` are files that `gristmill probe ... --json` printed.

    Raises `RequestError` for what is no model, or a probe of another one; `Damaged` naming the file.
    """
    if model.kind != "model":
        raise RequestError(f"{model.reference}: is no model: cards are of models")
    made = lineage(store, model)
    made[model.manifest.identity.step] = model
    config, shape = _described(model)
    told = [*found_about(store, model), *(_probe(path, model) for path in probes)]
    every = [one for one in told if one.result.task != COST]
    found = newest(every)
    documents, tokenizer, tokens = made.get("documents"), made.get("tokenizer"), made.get("tokens")
    trained = {step: made[step] for step in TRAINED if step in made}
    of_each: dict[str, Iterable[Found]] = {
        step: told if artifact is model else found_about(store, artifact) for step, artifact in trained.items()
    }
    costs = {step: one for step, found_of in of_each.items() if (one := _cost_among(found_of)) is not None}
    vocabulary = tokenizer.facts("tokenizer") if tokenizer else None
    run = ReportFacts(
        name=model.name,
        lineage=tuple(node(role, artifact) for role, artifact in made.items()),
        ledgers=documents.manifest.ledgers if documents else {},
        tokenizer=TokenizerFacts(vocabulary["vocab_size"], vocabulary["special_tokens"], {}) if vocabulary else None,
        tokens=tuple(token_counts(tokens)) if tokens else (),
        sampled=tuple(Sampled(*place, *counts) for place, counts in sampled(tokens).items()) if tokens else (),
        pretrain=training_of(trained["pretrain"], "pretrain") if "pretrain" in trained else None,
        finetune=training_of(trained["finetune"], "finetune") if "finetune" in trained else None,
        evaluation=_untasked(store, model),
    )
    return CardFacts(
        reference=model.reference,
        step=model.manifest.identity.step,
        facts=model.facts(model.manifest.identity.step),
        config=config,
        shape=shape,
        settings={step: artifact.manifest.identity.settings for step, artifact in trained.items()},
        examples={subset: digest for subset, digest in model.manifest.identity.inputs.items() if subset in SUBSETS},
        run=run,
        terms=_terms(documents) if documents else {},
        found=tuple(one for one in found if not is_probe(one)),
        older=len(every) - len(found),
        probes=tuple(filter(is_probe, found)),
        spent={step: Cost(**costs[step].details) if step in costs else cost(artifact) for step, artifact in trained.items()},
        kept={step: one.where for step, one in costs.items()},
    )


def _described(model: Artifact) -> tuple[dict[str, Any], dict[str, Any]]:
    """Raises `Damaged` if the model's `config.json` can't be read."""
    path = model.path / "config.json"
    try:
        config = read_json(path)
        architecture = architecture_of(config) if class_named(config) else read_config(model.path).architecture
    except (Mismatch, OSError, ValueError, KeyError) as error:
        raise Damaged(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    return config, {key: value for key, value in architecture.model_dump(mode="json").items() if key in SHAPE}


def _cost_among(found: Iterable[Found]) -> Found | None:
    """The newest that a probe told."""
    return next((one for one in reversed(list(found)) if one.result.task == COST), None)


def _probe(path: Path, model: Artifact) -> Found:
    try:
        told = read_json(path)
        reference, found = told["model"], Found(Result.from_json(told["result"]), "gristmill probe", model.reference, told["details"])
        if found.result.task == COST:
            Cost(**found.details)
        else:
            list(tables(found))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RequestError(f"{path}: is not what `gristmill probe ... --json` prints: {type(error).__name__}: {error}") from error
    if reference != model.reference:
        raise RequestError(f"{path}: is about {reference}, and the card about {model.reference}")
    return found


def _untasked(store: Store, model: Artifact) -> Evaluation | None:
    """What the newest evaluation says beside its tasks that a model had part in: bits per byte of a pretrained one, labels of a
    fine-tuned one."""
    digest = model.manifest.content_digest
    for evaluation in sorted(store.artifacts("evaluation"), key=lambda one: one.version, reverse=True):
        inputs = evaluation.manifest.identity.inputs
        role = next((role for role in ROLES if inputs.get(role) == digest), None)
        read = read_evaluation(evaluation, "labelled documents") if role and evaluation.paths("results") else None
        if read is not None:
            return Evaluation(
                read.subset,
                () if role == "finetune" else read.groups,
                read.classification if role == "finetune" else None,
                () if role == "finetune" else read.samples,
            )
    return None


def _terms(documents: Artifact) -> dict[str, Mapping[str, str]]:
    """Of a version, and of those that it inherits from where it has none itself."""
    folders: Iterable[Path] = [*(documents.path.parent / one.version for one in documents.manifest.inherits), documents.path]
    found: dict[str, Mapping[str, str]] = {}
    for folder in folders:
        found |= read_terms(folder)
    return found
