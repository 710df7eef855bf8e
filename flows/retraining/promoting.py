"""The model: to *promote* is to begin a reign with a bundle of models: one that a decision was made about, one that a person names, or one
that reigned before (a *rollback*). A decision begins one reign at the most, and only the one right after the champion that it was made
against: whoever comes second is told what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flows.retraining.decide import REIGN, STEP
from flows.retraining.judging import CHAMPION, Bundle, role_of
from schemas.artifact import Artifact
from schemas.champion import Overtaken, Reign, begin_reign, champion, history, kept, no_champion
from schemas.errors import RequestError
from schemas.recipe.names import FINETUNED
from schemas.results import MODEL
from schemas.store import NotFound, Store

By = Literal["first", "gate", "hand", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """What promoting came to."""

    reign: Reign
    new: bool
    """Whether it began now; else it had begun before."""

    def told(self, name: str) -> str:
        models = ", ".join(self.reign.models.values())
        return f"{name}: {models} {'is' if self.new else 'already became'} the champion, reign {self.reign.number}"


def promote_decision(store: Store, decision: Artifact, by: By, why: str) -> Promotion:
    """Let the challenger of a decision reign. Raises `RequestError` if another champion took the throne since the decision, or the
    challenger is not in the store any more."""
    name, after = decision.name, int(decision.manifest.identity.settings[REIGN])
    if (found := _of(store, name, decision)) is not None:
        return Promotion(found, False)
    bundle = challenger_of(store, decision)
    try:
        return Promotion(_begin(store, name, after, bundle, by, why, decision.reference), True)
    except Overtaken as error:
        if (found := _of(store, name, decision)) is not None:  # another process promoted it just now
            return Promotion(found, False)
        now = champion(store.root, name)
        raise RequestError(
            f"{decision.reference}: was made against the champion of reign {after}, and there is another since (reign "
            f"{now.number if now else 0}): it says nothing about that one; retrain"
        ) from error


def promote_models(store: Store, name: str, bundle: Bundle, by: By, why: str) -> Promotion:
    """Let a bundle reign that a person chose, or the `first`, if there is none yet. Raises `RequestError` if another process began a reign
    meanwhile."""
    last = champion(store.root, name)
    if last is not None and (by == "first" or last.digests == _digests(bundle)):
        return Promotion(last, False)
    try:
        return Promotion(_begin(store, name, last.number if last else 0, bundle, by, why), True)
    except Overtaken as error:
        now = champion(store.root, name)
        if now is not None and (by == "first" or now.digests == _digests(bundle)):
            return Promotion(now, False)
        raise RequestError(f"{error}: look at `gristmill champion {name}`, and ask again") from error


def roll_back(store: Store, name: str, to: int | None, why: str) -> Promotion:
    """Let a bundle reign that reigned before: that of reign `to`, or the last other one. Raises `RequestError` if there is none, or its
    models are not in the store any more."""
    past = history(store.root, name)
    if not past:
        raise RequestError(f"there is nothing to go back to: {no_champion(name)}")
    if to is None:
        target, *rest = kept(store.root, name)
        if not rest:
            raise RequestError(f"{name}: no other model has reigned, so there is nothing to go back to")
    elif (found := next((reign for reign in past if reign.number == to), None)) is None:
        raise RequestError(f"--to {to}: {name} has reigns 1 to {past[-1].number}")
    else:
        target = found
    return promote_models(store, name, bundle_of(store, target), "rollback", f"back to reign {target.number}: {why}")


def bundle_of(store: Store, reign: Reign) -> Bundle:
    """The models of a reign. Raises `RequestError` if one is not in the store any more."""
    return Bundle(**{step: _same(store.find(reference), reign.digests[step]) for step, reference in reign.models.items()})


def challenger_of(store: Store, decision: Artifact) -> Bundle:
    """The models that a decision was made about. Raises `RequestError` if one is not in the store any more."""
    inputs = decision.manifest.identity.inputs
    wanted = {step: inputs[role] for step in ("pretrain", "finetune") if (role := role_of(MODEL, step)) in inputs}
    found: dict[str, Artifact] = {}
    for step, digest in wanted.items():
        made = [one for one in store.artifacts("model") if one.manifest.content_digest == digest and not one.missing()]
        if not made:
            raise RequestError(f"{decision.reference}: the model {digest[:8]} that it was made about is not in the store any more")
        found[step] = max(made, key=lambda one: (one.name.startswith(decision.name), one.version))
    return Bundle(**found)


def plain_bundle(store: Store, name: str, finetuned: bool) -> Bundle | None:
    """The models of the newest plain run of a recipe: the pretrained one, and what was taught from it; None if one is wanting."""
    pretrained = next((one for one in _made_by(store, name, "pretrain")), None)
    if pretrained is None:
        return None
    digest = pretrained.manifest.content_digest
    taught = (one for one in _made_by(store, name + FINETUNED, "finetune") if one.manifest.identity.inputs.get("pretrain") == digest)
    bundle = Bundle(pretrained, next(taught, None))
    return None if finetuned and bundle.finetune is None else bundle


def bundle_named(store: Store, references: tuple[str, ...]) -> Bundle:
    """The bundle of models that a person names. Raises `RequestError` if they are no bundle."""
    models: dict[str, Artifact] = {}
    for reference in references:
        found = store.find(reference if "/" in reference else f"model/{reference}")
        step = found.manifest.identity.step
        kind = "pretrain" if step == "import" else step
        if found.kind != "model" or kind not in ("pretrain", "finetune"):
            raise RequestError(f"{found.reference} was made by step {step}: pretrained, imported and fine-tuned models can reign")
        if kind in models:
            raise RequestError(f"{models[kind].reference} and {found.reference} are both made by {kind}: a bundle has one of them")
        models[kind] = found
    if "pretrain" not in models:
        raise RequestError("a bundle needs the pretrained model: name it, too")
    base = models["finetune"].manifest.identity.inputs.get("pretrain") if "finetune" in models else None
    if base is not None and base != models["pretrain"].manifest.content_digest:
        raise RequestError(f"{models['finetune'].reference} was not taught from {models['pretrain'].reference}: they are no bundle")
    return Bundle(**models)


def unfinished(store: Store, name: str) -> Artifact | None:
    """The newest decision about the champion of now that began no reign yet, whatever it says."""
    last = champion(store.root, name)
    for decision in store.newest_first("decision", name):
        settings = decision.manifest.identity.settings
        if decision.manifest.identity.step == STEP and last is not None and settings[REIGN] == last.number:
            return decision
    return None


def decided_about(store: Store, name: str, tokens: Artifact, reign: Reign) -> Artifact | None:
    """The newest decision about a challenger that learned from these tokens, against the models of a reign, in whatever reign they were
    the champion: what was rolled back is not made again from the same text."""
    wanted = {"tokens": tokens.manifest.content_digest, role_of(CHAMPION, "pretrain"): reign.digests["pretrain"]}
    for decision in store.newest_first("decision", name):
        if wanted.items() <= decision.manifest.identity.inputs.items():
            return decision
    return None


def _begin(store: Store, name: str, after: int, bundle: Bundle, by: By, why: str, decision: str | None = None) -> Reign:
    models: Mapping[str, str] = {step: model.reference for step, model in bundle.models.items()}
    return begin_reign(store.root, name, after, models, _digests(bundle), by, why, decision)


def _digests(bundle: Bundle) -> dict[str, str]:
    return {step: model.manifest.content_digest for step, model in bundle.models.items()}


def _of(store: Store, name: str, decision: Artifact) -> Reign | None:
    """The reign that a decision began."""
    return next((reign for reign in history(store.root, name) if reign.decision == decision.reference), None)


def _same(model: Artifact, digest: str) -> Artifact:
    if model.manifest.content_digest != digest:
        raise NotFound(f"{model.reference}: is not the model that reigned: its content is {model.manifest.content_digest[:8]}")
    if missing := model.missing():
        raise NotFound(missing[0])
    return model


def _made_by(store: Store, name: str, step: str) -> list[Artifact]:
    """Newest first."""
    return [one for one in store.newest_first("model", name) if one.manifest.identity.step == step]
