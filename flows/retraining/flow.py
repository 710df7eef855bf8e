"""The model: a *retraining* is one Prefect flow: it asks whether one is due, makes the challenger, judges it beside the champion, decides,
and promotes. Each is a tracked task, and each is sure to be done once: steps by their fingerprints and leases, decisions by the ledger that
`due` reads, promotions by the history of reigns. So whoever starts it again changes nothing; what was killed goes on. Of two at once the
second waits, or it would learn from newer tokens before the first has decided whether that is due.

Tasks exchange small JSON: references and paths, never tables or models.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.lineage import made_from
from flows.published import PublishedProgress, key_of, publish_page, publish_step
from flows.retraining import seeds
from flows.retraining.announced import announce
from flows.retraining.askable import is_askable
from flows.retraining.challenger import make_challenger
from flows.retraining.decide import PROMOTE, REFUSE, WAIT, decide, read_decision
from flows.retraining.due import Due, due
from flows.retraining.gate import asked_of
from flows.retraining.judging import CHAMPION, Bundle, judge
from flows.retraining.knew import known_tokens
from flows.retraining.promoting import bundle_of, decided_about, plain_bundle, promote_decision, promote_models, unfinished
from flows.retraining.times import frozen_until
from flows.retraining.told import page_of, verdict_words
from flows.run import as_said, run_flow, say
from model.metrics.gating import FEWEST
from schemas.artifact import Artifact
from schemas.champion import Reign, champion, history
from schemas.errors import RequestError
from schemas.lease import Lease
from schemas.recipe import EncoderDecoder, Recipe, Retrain
from schemas.results import MODEL
from schemas.store import Store

Json = dict[str, Any]

BY_HAND = "asked for by hand"


def retrain(recipe: Recipe, store: Store, reason: str | None, force: bool) -> Json:
    """Run the flow; its log lines and events are at the server when this returns."""
    try:
        return retrain_flow(as_said(recipe), str(store.root), reason, force)
    finally:
        EventsWorker.drain_all(timeout=5)
        APILogWorker.drain_all(timeout=5)


@flow(name="gristmill-retrain", flow_run_name="retrain {recipe[name]}", persist_result=False, validate_parameters=False)
def retrain_flow(recipe: Json, store: str, reason: str | None = None, force: bool = False) -> Json:
    """Retrain what a recipe describes, if it is due: make a challenger, judge it, and promote it if it passes the gate.

    `reason` is told, and decides nothing. `force`: no number of new tokens, no period and no window is waited for; what was decided about
    these tokens beside this champion stands all the same. Returns {"action", "why", "decision", "verdict", "reign", ...}.
    """
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    _retrain_of(parsed)
    if reason:
        say(f"  {'reason':<10} {reason}")
    chain, _ = opened.leases_of_name("decision", parsed.name)
    with Lease(chain, lambda holder: say(f"  {'retrain':<10} waiting for another retraining of {parsed.name}: {holder}")):
        return _retrained(parsed, opened, recipe, store, force)


def _retrained(parsed: Recipe, opened: Store, recipe: Json, store: str, force: bool) -> Json:
    announce(opened, parsed.name)  # what a process that was killed did not come to
    if champion(opened.root, parsed.name) is None:
        until = frozen_until(_retrain_of(parsed).frozen, datetime.datetime.now(datetime.UTC))
        if until is not None and not force:
            wait = f"nothing begins before {until:%a %Y-%m-%d %H:%M} UTC (retrain.frozen)"
            say(f"  {'champion':<10} there is none yet, and {wait}")
            return {"action": "wait", "why": [wait], "reign": None, "decision": None}
        crown_first(recipe, store)
    finished = finish_task(recipe, store, force)
    if finished is not None:
        return finished
    asked = due_task(recipe, store, force)
    if not asked["due"]:
        return {"action": "wait", "why": asked["waits"], "reign": asked["reign"], "decision": asked["decided"]}
    why = asked["reasons"] or [BY_HAND]
    corpus = asked["corpus"]
    spread = seeds_task(recipe, store, asked["reign"], corpus)
    challenger = challenger_task(recipe, store, asked["reign"], corpus)
    judged = judge_task(recipe, store, asked["reign"], corpus, challenger)
    decision = decide_task(recipe, store, asked["reign"], corpus, challenger, judged, spread)
    reign = promote_task(recipe, store, decision["path"], force) if decision["verdict"] == PROMOTE else None
    return {**_outcome(decision, reign), "why": why, "challenger": decision["challenger"]}


def _retrain_of(recipe: Recipe) -> Retrain:
    """The section. Raises `RequestError`, before anything is spent, if there is none, or for what no gate judges."""
    if recipe.retrain is None or recipe.pretrain is None:
        raise RequestError(f"recipe {recipe.name}: has no retrain section, which says when to retrain: add `retrain: {{}}`")
    if isinstance(recipe.pretrain.model, EncoderDecoder):
        raise RequestError("retrain: a t5 gives no likelihood to text alone, so that no gain can be measured: it is not retrained")
    return recipe.retrain


def crown_first(recipe: Json, store: str) -> None:
    """Let the models of the newest plain run reign; without any, run the recipe's steps first."""
    parsed = Recipe.model_validate(recipe)
    taught = parsed.finetune is not None
    if plain_bundle(Store(store), parsed.name, taught) is None:
        say(f"  {'champion':<10} there is no model/{parsed.name} yet: the recipe's own steps come first")
        run_flow(parsed.name, recipe, store, "finetune" if taught else "pretrain", False)
    first_task(recipe, store)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="first champion")
def first_task(recipe: Json, store: str) -> Json:
    """Crown the models of the newest plain run."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    bundle = plain_bundle(opened, parsed.name, parsed.finetune is not None)
    assert bundle is not None
    done = promote_models(opened, parsed.name, bundle, "first", "the newest plain run, as there was no champion")
    say(f"  {'champion':<10} {done.told(parsed.name)}")
    return {"reign": done.reign.number}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="finish what was decided")
def finish_task(recipe: Json, store: str, force: bool) -> Json | None:
    """Promote what was decided and not promoted: the process was killed between the two, or a window was frozen."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    decision = unfinished(opened, parsed.name)
    if decision is None or (found := read_decision(decision))["verdict"] != PROMOTE:
        return None
    say(f"  {'decision':<10} {decision.reference} was not carried out yet")
    reign = _promote(parsed, opened, decision, force)
    told = {"decision": decision.reference, "path": str(decision.path), "verdict": found["verdict"], "reasons": found["reasons"]}
    return {**_outcome(told, reign), "why": ["what was decided is carried out"]}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="due")
def due_task(recipe: Json, store: str, force: bool) -> Json:
    """Whether a retraining is due, and the corpus that it would learn from."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    found = due(parsed, opened, datetime.datetime.now(datetime.UTC))
    assert found.reign is not None and parsed.retrain is not None
    forced = force and (found.new_documents > 0 or parsed.retrain.start == "scratch")  # there has to be something to learn
    told = {**found.as_json(), "due": found.due or forced, "decided": None}
    if (same := decided_about(opened, parsed.name, found.tokens, found.reign)) is not None:  # in another reign, if it was rolled back
        why = f"{same.reference} has decided about these tokens and this champion"
        told |= {"due": False, "decided": same.reference, "waits": [why]}
    corpus = _corpus_of(opened, found) if told["due"] else {}
    on = parsed.retrain.gate.on
    if corpus and not is_askable(corpus["before"], corpus["documents"], on):  # before anything is spent on what no gate could judge
        where = "old and new text" if on == "both" else f"{on} text"
        told |= {
            "due": False,
            "waits": [f"too little {where} is held out to measure a gain on: {FEWEST} documents are wanted, see corpus.held_out.test"],
        }
    for line in told["reasons"] if told["due"] else told["waits"]:
        say(f"  {'due':<10} {'' if told['due'] else 'no: '}{line}")
    return {**told, "corpus": {role: str(artifact.path) for role, artifact in corpus.items()}}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="seeds")
def seeds_task(recipe: Json, store: str, reign: int, corpus: Mapping[str, str]) -> str | None:
    """How far challengers lie apart that differ by their seed, if the gate wants to know: it is measured once for a recipe."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    assert parsed.retrain is not None
    if parsed.retrain.gate.min_gain is not None:
        return None
    if (known := seeds.known(opened, parsed)) is not None:
        return str(known.path)
    alone = parsed.model_copy(update={"finetune": None, "evaluate": None})
    count = parsed.retrain.gate.seeds
    say(f"  {'seeds':<10} measuring how far {count} challengers lie apart that differ by their seed; this is done once")
    against, opened_corpus = _reign(opened, parsed.name, reign), _corpus(corpus)
    systems = {}
    with _progress(parsed, "seeds") as progress:
        for number in reversed(range(count)):  # the one that is judged beside the champion comes last, and is the newest of its name
            made = make_challenger(alone, opened, against, opened_corpus, say, parsed.retrain.seed + number, progress)
            systems[seeds.system_of(number)] = Bundle(made["pretrain"])
        evaluation = judge(opened, alone, systems, _read_by_judging(corpus), (), say, progress).artifact
    outcome = seeds.keep(opened, parsed, evaluation, say)
    publish_step(outcome)
    return str(outcome.artifact.path)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="challenger")
def challenger_task(recipe: Json, store: str, reign: int, corpus: Mapping[str, str]) -> dict[str, str]:
    """The challenger's models, by step."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    assert parsed.retrain is not None
    against = _reign(opened, parsed.name, reign)
    with _progress(parsed, "challenger") as progress:
        made = make_challenger(parsed, opened, against, _corpus(corpus), say, parsed.retrain.seed, progress)
    facts = [f"- {step}: `{model.reference}`" for step, model in made.items()]
    publish_page(parsed.name, "challenger", "\n".join([f"A challenger of reign {reign}:", "", *facts]))
    return {step: str(model.path) for step, model in made.items()}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="judge")
def judge_task(recipe: Json, store: str, reign: int, corpus: Mapping[str, str], challenger: Mapping[str, str]) -> str:
    """Ask challenger and champion the same items."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    assert parsed.retrain is not None
    against = _reign(opened, parsed.name, reign)
    systems, read = _systems(opened, against, challenger), _read_by_judging(corpus)
    with _progress(parsed, "judge") as progress:
        outcome = judge(opened, parsed, systems, read, asked_of(parsed.retrain.gate), say, progress)
    publish_step(outcome)
    return str(outcome.artifact.path)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="decide")
def decide_task(
    recipe: Json, store: str, reign: int, corpus: Mapping[str, str], challenger: Mapping[str, str], evaluation: str, spread: str | None
) -> Json:
    """Decide about the challenger, and tell it."""
    parsed, opened = Recipe.model_validate(recipe), Store(store)
    systems = _systems(opened, _reign(opened, parsed.name, reign), challenger)
    known = None if spread is None else Artifact.open(Path(spread))
    judged = Artifact.open(Path(evaluation))
    decision = decide(opened, parsed, reign, systems, _corpus(corpus), judged, known, say).artifact
    found = read_decision(decision)
    say(f"  {'decision':<10} {verdict_words(found)}")
    for line in found["reasons"]:
        say(f"  {'':<10} {line}")
    publish_page(parsed.name, "decision", page_of(decision.reference, found))
    told = {"decision": decision.reference, "path": str(decision.path), "verdict": found["verdict"], "reasons": found["reasons"]}
    announce(opened, parsed.name)
    return {**told, "challenger": {step: model.reference for step, model in systems[MODEL].models.items()}}


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="promote")
def promote_task(recipe: Json, store: str, decision: str, force: bool) -> int | None:
    """Carry out a decision; None while a window is frozen."""
    return _promote(Recipe.model_validate(recipe), Store(store), Artifact.open(Path(decision)), force)


def _promote(recipe: Recipe, store: Store, decision: Artifact, force: bool) -> int | None:
    assert recipe.retrain is not None
    until = frozen_until(recipe.retrain.frozen, datetime.datetime.now(datetime.UTC))
    if until is not None and not force:
        say(f"  {'promotion':<10} waits until {until:%a %Y-%m-%d %H:%M} UTC (retrain.frozen); the next retraining carries it out")
        return None
    reasons = [*(["in a frozen window, by --force"] if until is not None else []), *read_decision(decision)["reasons"]]
    done = promote_decision(store, decision, "gate", "; ".join(reasons))
    say(f"  {'champion':<10} {done.told(recipe.name)}")
    announce(store, recipe.name)
    return done.reign.number


def _progress(recipe: Recipe, what: str) -> PublishedProgress:
    return PublishedProgress(key_of(recipe.name, f"{what}-progress"), f"{what} of {recipe.name}")


def _outcome(decision: Json, reign: int | None) -> Json:
    action = {PROMOTE: "promote" if reign is not None else "wait", REFUSE: "refuse", WAIT: "wait"}[decision["verdict"]]
    return {"action": action, **{key: decision[key] for key in ("decision", "verdict", "reasons")}, "reign": reign}


def _reign(store: Store, name: str, number: int) -> Reign:
    """The champion that this flow began with; whoever was crowned since is no business of its steps, only of its promotion."""
    return next(reign for reign in history(store.root, name) if reign.number == number)


def _corpus(paths: Mapping[str, str]) -> dict[str, Artifact]:
    return {role: Artifact.open(Path(path)) for role, path in paths.items()}


def _read_by_judging(corpus: Mapping[str, str]) -> dict[str, Artifact]:
    return _corpus({role: corpus[role] for role in ("documents", "tokens", "before")})


def _systems(store: Store, reign: Reign, challenger: Mapping[str, str]) -> dict[str, Bundle]:
    return {MODEL: Bundle(**_corpus(challenger)), CHAMPION: bundle_of(store, reign)}


def _corpus_of(store: Store, asked: Due) -> dict[str, Artifact]:
    """What a challenger is made from, and the documents `before` that the champion was."""
    assert asked.reign is not None
    model = bundle_of(store, asked.reign).pretrain
    tokens = known_tokens(store, model)
    if tokens is None:
        raise RequestError(f"{model.reference}: was made from no tokens of the store, so that nothing tells what text it knew")
    now = {role: _made_from(store, asked.tokens, role) for role in ("documents", "tokenizer")}
    return {"tokens": asked.tokens, **now, "before": _made_from(store, tokens, "documents")}


def _made_from(store: Store, artifact: Artifact, role: str) -> Artifact:
    found = made_from(store, artifact, role)
    if found is None:
        raise RequestError(f"{artifact.reference}: the {role} that it was made from are not in the store any more: run the recipe again")
    return found
