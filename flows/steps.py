"""The model: a *step* makes one artifact from others. `STEPS` lists them in order; each says what it needs, which recipe
section decides it, and which command makes it.

Nothing heavy is imported here: planning a run takes a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import model.versions
import pipelines.corpus
import pipelines.tokenizer
import pipelines.tokens
from flows.forgetting.obeyed import tombstones_of
from flows.incremental import extend
from flows.incremental_tokens import extend_tokens, kept_tokenizer
from flows.ready import Ready
from flows.standing_in import standing_in
from flows.torchrun import torchrun
from model.examples.opened import files_digest
from pipelines.places import absolute
from pipelines.runner_options import check_runner
from pipelines.settling import Settling
from pipelines.tombstones import ROLE, ROOT
from schemas.arrow import SUBSETS
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Finetune, Recipe, Run
from schemas.recipe.names import FINETUNED
from schemas.store import Store


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    name: str
    kind: str
    section: str
    """The recipe section that decides it."""
    needs: tuple[str, ...]
    """Steps whose artifacts it reads; the ones that a recipe leaves out are passed over."""
    stages: tuple[str, ...]
    """Stages whose part records make its manifest."""
    prepare: Callable[[Recipe, Store, Mapping[str, Artifact]], Ready]
    command: Callable[[Path, Run], list[str]]
    suffix: str = ""
    """Told apart by this from another step's artifact of the same kind."""
    parts_as_progress: tuple[str, ...] = ()
    """Stages whose part records, weighted by the bytes of their splits, are its progress; none: it reports by itself."""

    def artifact_name(self, recipe: Recipe) -> str:
        return recipe.name + self.suffix

    def wanted(self, recipe: Recipe) -> bool:
        return getattr(recipe, self.section) is not None


def _documents(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
    corpus = recipe.corpus
    check_runner(recipe.run.runner, recipe.run.runner_options)
    roots = {source.name: source.path for source in corpus.sources}
    settling = Settling(recipe.run.settle, recipe.run.marker) if corpus.incremental else None
    look = partial(pipelines.corpus.list_inputs, corpus, roots, store.root / ".cache" / "inputs.json", settling)
    listing = look()
    splits = pipelines.corpus.plan_splits(listing, corpus)
    obeyed = tombstones_of(store, recipe.name)
    identity = Identity(
        "documents",
        pipelines.corpus.STEP_VERSION,
        pipelines.corpus.identity_settings(corpus),
        {"sources": listing.digest, **pipelines.corpus.evaluation_digests(corpus), **({ROLE: obeyed.digest} if obeyed else {})},
        pipelines.corpus.engines(corpus),
    )
    places = {name: absolute(path) for name, path in roots.items()} | ({ROOT: str(obeyed.path.resolve())} if obeyed else {})
    full = Ready(identity, splits, places | pipelines.corpus.file_roots(corpus))
    if corpus.incremental:
        return extend(full, corpus, store, recipe.name, listing, look)
    return replace(full, identity=standing_in(store, recipe.name, identity, splits))


def _tokenizer(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
    digests, pin = _digests(inputs), recipe.tokenizer.pin
    pinned = store.find(f"tokenizer/{pin.removeprefix('tokenizer/')}") if pin is not None else None
    if pinned is not None:
        digests["tokenizer"] = pinned.manifest.content_digest
    roots = None
    if (path := recipe.tokenizer.path) is not None:
        digests[pipelines.tokenizer.IMPORTED] = pipelines.tokenizer.file_digest(path)
        roots = {pipelines.tokenizer.IMPORTED: os.path.abspath(path)}
    settings = pipelines.tokenizer.identity_settings(recipe.tokenizer)
    engines = pipelines.tokenizer.engines(recipe.tokenizer)
    identity = Identity("tokenizer", pipelines.tokenizer.STEP_VERSION, settings, digests, engines)
    if recipe.corpus.incremental and (kept := kept_tokenizer(store, recipe.name, identity)) is not None:
        return Ready(kept.manifest.identity, why=(f"{kept.reference}: an incremental version keeps its tokenizer",))
    return Ready(identity, roots=roots, also={"tokenizer": pinned} if pinned is not None else None)


def _tokens(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
    identity = Identity(
        "tokens",
        pipelines.tokens.STEP_VERSION,
        recipe.tokens.model_dump(mode="json"),
        _digests(inputs),
        pipelines.tokens.engines(recipe.tokens),
    )
    return extend_tokens(identity, inputs["documents"], store, recipe.name)


def _model_step(section: str, version: int) -> Callable[[Recipe, Store, Mapping[str, Artifact]], Ready]:
    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        settings = getattr(recipe, section).as_json()
        return Ready(Identity(section, version, settings, _digests(inputs), model.versions.engines()))

    return prepare


FINETUNE = "finetune"


def finetune_ready(settings: Finetune, inputs: Mapping[str, Artifact]) -> Ready:
    """What decides a fine-tuning: its section, the model, and its examples, which are documents or files. Raises `RequestError` for a
    file that can't be read."""
    roles = ("documents", "pretrain") if settings.task is None else ("pretrain",)
    digests, roots = _digests({role: inputs[role] for role in roles}), {}
    if settings.task is not None:
        for subset in SUBSETS:
            if (path := getattr(settings.task.data, subset)) is not None:
                digests[subset] = files_digest(path, f"finetune.task.data.{subset}")
                roots[subset] = absolute(path)
    return Ready(Identity(FINETUNE, model.versions.FINETUNE_VERSION, settings.as_json(), digests, model.versions.engines()), roots=roots)


def _finetune(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
    assert recipe.finetune is not None
    return finetune_ready(recipe.finetune, inputs)


def _digests(inputs: Mapping[str, Artifact]) -> dict[str, str]:
    return {role: artifact.manifest.content_digest for role, artifact in inputs.items()}


def _python(module: str) -> Callable[[Path, Run], list[str]]:
    return lambda draft, run: [sys.executable, "-m", module, str(draft)]


def _torchrun(module: str) -> Callable[[Path, Run], list[str]]:
    return lambda draft, run: torchrun(module, draft, run)


STEPS = (
    Step(
        "documents", "documents", "corpus", (), ("prepare", "finish"), _documents,
        _python("pipelines.corpus"), parts_as_progress=("prepare", "finish"),
    ),
    Step("tokenizer", "tokenizer", "tokenizer", ("documents",), ("tokenizer",), _tokenizer, _python("pipelines.tokenizer")),
    Step(
        "tokens", "tokens", "tokens", ("documents", "tokenizer"), ("tokens",), _tokens,
        _python("pipelines.tokens"), parts_as_progress=("tokens",),
    ),
    Step(
        "pretrain", "model", "pretrain", ("tokenizer", "tokens"), ("pretrain",),
        _model_step("pretrain", model.versions.PRETRAIN_VERSION), _torchrun("model.train"),
    ),
    Step(
        FINETUNE, "model", FINETUNE, ("documents", "pretrain"), (FINETUNE,),
        _finetune, _python("model.finetune"), suffix=FINETUNED,
    ),
    Step(
        "evaluate", "evaluation", "evaluate", ("documents", "tokenizer", "tokens", "pretrain", "finetune"), ("evaluate",),
        _model_step("evaluate", model.versions.EVALUATE_VERSION), _python("model.evaluate"),
    ),
)  # fmt: skip


def wanted_steps(recipe: Recipe, until: str | None = None) -> list[Step]:
    """The steps that a recipe asks for, in order, up to and including `until`."""
    names = [step.name for step in STEPS]
    if until is not None and until not in names:
        raise RequestError(f"there is no step {until!r}; the steps are {', '.join(names)}")
    last = names.index(until) if until else len(names) - 1
    return [step for step in STEPS[: last + 1] if step.wanted(recipe)]
