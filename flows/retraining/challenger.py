"""The model: a *challenger* is what a retraining makes: `model/NAME-challenger`, pretrained from the champion (or from nothing) on the
text of now, and `model/NAME-challenger-finetuned`, taught from it as the recipe teaches. Both are ensured as steps of a run are: what was
made is reused, and what was killed goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import model.versions
from flows.ensure import Say, Watch, ensure, unwatched
from flows.ready import Ready
from flows.retraining.knew import known_tokens
from flows.steps import FINETUNE, STEPS, Step
from model.handed_on import BEFORE, START, check_tokenizer
from schemas.artifact import Artifact
from schemas.champion import Reign
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Challenger, Recipe, Retrain
from schemas.recipe.names import CHALLENGER, FINETUNED
from schemas.store import Store

PRETRAIN = "pretrain"


def make_challenger(
    recipe: Recipe, store: Store, reign: Reign, inputs: Mapping[str, Artifact], say: Say, seed: int, watch: Watch = unwatched
) -> dict[str, Artifact]:
    """Have the challenger of a reign, by step: `pretrain`, and `finetune` if the recipe has that section.

    ``inputs`` are the documents, the tokenizer and the tokens of now. Another ``seed`` is another challenger of the same names. Raises
    `RequestError` if the champion can't be gone on from, or nothing new came; `ChildFailed` and others as `ensure` does.
    """
    given = {role: inputs[role] for role in ("tokenizer", "tokens")} | _from_champion(recipe, store, reign, inputs, say)
    made = {PRETRAIN: ensure(_pretrain_step(recipe, seed), recipe, store, given, say, watch).artifact}
    if recipe.finetune is not None:
        step = replace(_step(FINETUNE), suffix=CHALLENGER + FINETUNED)
        made[FINETUNE] = ensure(step, recipe, store, {"documents": inputs["documents"], PRETRAIN: made[PRETRAIN]}, say, watch).artifact
    return made


def challenger_settings(recipe: Recipe, seed: int) -> Challenger:
    """What a challenger is pretrained by: `pretrain`, and what `retrain` says of it. What goes on from a model has one phase, and rates of
    its own."""
    assert recipe.pretrain is not None and recipe.retrain is not None, "a recipe that retrains has both"
    settings, retrain = recipe.pretrain.model_dump(mode="json"), recipe.retrain
    changes: dict[str, Any] = {"seed": seed, "max_steps": retrain.max_steps}
    if retrain.start != "scratch":
        optimizer, schedule = settings["optimizer"], settings["schedule"]
        rates = {key: optimizer[key] * retrain.lr for key in ("lr", "muon_lr")}
        changes |= {"optimizer": optimizer | rates, "schedule": schedule | {"warmup": retrain.warmup}, "phases": []}
        changes |= {"steps": retrain.steps, "epochs": retrain.epochs, "start": retrain.start, "replay": retrain.replay}
    return Challenger.model_validate(settings | changes)


def _from_champion(recipe: Recipe, store: Store, reign: Reign, inputs: Mapping[str, Artifact], say: Say) -> dict[str, Artifact]:
    """The champion, and the tokens that it knew, if the challenger goes on from it."""
    retrain = recipe.retrain or Retrain()
    if retrain.start == "scratch":
        return {}
    champion = store.find(reign.models[PRETRAIN])
    check_tokenizer(champion, inputs["tokenizer"])
    before = known_tokens(store, champion)
    if before is None:
        return {START: champion}
    if _shards(inputs["tokens"]) <= _shards(before):
        raise RequestError(f"{inputs['tokens'].reference}: no new text: {champion.reference} knew all of it, as {before.reference}")
    return {START: champion, BEFORE: before}


def _shards(tokens: Artifact) -> set[str]:
    return {file.digest for file in tokens.manifest.files("tokens")}


def _pretrain_step(recipe: Recipe, seed: int) -> Step:
    settings = challenger_settings(recipe, seed).as_json()

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        return Ready(Identity(PRETRAIN, model.versions.PRETRAIN_VERSION, settings, digests, model.versions.engines()))

    return replace(_step(PRETRAIN), suffix=CHALLENGER, prepare=prepare)


def _step(name: str) -> Step:
    return next(step for step in STEPS if step.name == name)
