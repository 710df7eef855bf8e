"""The model: commands about champions: `retrain` makes and judges a challenger, `promote` and `rollback` let a bundle of models reign by
hand, `champion` shows who reigned when and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, Workers, load, open_store, print_json

if TYPE_CHECKING:
    from flows.retraining.promoting import Promotion
    from schemas.store import Store

app = typer.Typer()

Named = Annotated[str, typer.Argument(help="Name of a recipe.", metavar="NAME")]
Why = Annotated[str | None, typer.Option(help="Reason, which the history keeps.")]


@app.command(epilog="Example: gristmill retrain my.yaml")
def retrain(
    recipe: RecipeFile,
    force: Annotated[
        bool, typer.Option("--force", help="Wait for no number of tokens, no period and no window; a decision that was made stands.")
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
    store: StoreOption = None,
    workers: Workers = None,
) -> None:
    """Make a challenger on new text if one is due, judge it beside the champion, and promote it if it passes the gate."""
    from flows.server import embedded_server

    loaded = load(recipe, store, workers)
    opened = open_store(loaded.run.store)
    print(f"retrain {loaded.name}", file=sys.stderr)
    print(f"  {'tracking':<10} starting the embedded Prefect server", file=sys.stderr, flush=True)
    try:
        with embedded_server(opened.root.parent / "prefect"):
            from flows.retraining.flow import retrain as run_retraining

            outcome = run_retraining(loaded, opened, why, force)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    if as_json:
        print_json(outcome)
        return
    if "verdict" not in outcome:  # nothing was decided now
        print("\n".join(outcome["why"]))
    if outcome["decision"] is None:
        return
    for line in _decision_lines(opened, outcome["decision"]):
        print(line)


def _decision_lines(store: Store, reference: str) -> list[str]:
    from flows.retraining.decide import read_decision
    from flows.retraining.told import lines_of

    decision = store.find(reference)
    return lines_of(decision.reference, read_decision(decision))


@app.command(epilog="Example: gristmill promote demo")
def promote(
    name: Named,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="A decision, or a pretrained model and the one taught from it; default: the decision that waits, or as the first champion "
            "the models of the newest plain run.",
            metavar="[DECISION | MODEL...]",
        ),
    ] = None,
    why: Why = None,
    force: Annotated[bool, typer.Option("--force", help="Promote what the gate refused.")] = False,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let a bundle of models reign: approve a decision, name the first champion, or take models of your choice."""
    _told(_promoted(open_store(store), name, tuple(what or ()), why, force), name, as_json)


def _promoted(store: Store, name: str, what: tuple[str, ...], why: str | None, force: bool) -> Promotion:
    from flows.retraining.decide import REFUSE, STEP, read_decision
    from flows.retraining.promoting import bundle_named, plain_bundle, promote_decision, promote_models, unfinished
    from schemas.champion import champion as champion_of
    from schemas.champion import no_champion
    from schemas.errors import RequestError
    from schemas.recipe.names import maker_of

    if maker_of(name) is not None and champion_of(store.root, name) is None:
        raise RequestError(no_champion(name))
    if what and not what[0].startswith("decision/"):
        if why is None:
            raise RequestError("--why: say why these models are to reign: the history keeps it")
        return promote_models(store, name, bundle_named(store, what), "hand", why)
    if not what and champion_of(store.root, name) is None:
        bundle = plain_bundle(store, name, True) or plain_bundle(store, name, False)
        if bundle is None:
            raise RequestError(f"{name}: there is no model/{name} to be the first champion: run its recipe")
        return promote_models(store, name, bundle, "first", why or "the newest plain run, named by hand")
    if len(what) > 1:
        raise RequestError(f"{what[1]}: one decision is promoted, and nothing beside it")
    decision = store.find(what[0]) if what else unfinished(store, name)
    if decision is None:
        raise RequestError(f"{name}: no decision waits; name a decision, or models with --why")
    if decision.name != name or decision.manifest.identity.step != STEP:
        raise RequestError(f"{decision.reference}: is no decision about a challenger of {name}: name one of `gristmill ls decision`")
    found = read_decision(decision)
    if found["verdict"] == REFUSE and not (force and why):
        raise RequestError(f"{decision.reference}: the gate refused it: {found['reasons'][0]}. To promote it still: --force --why")
    reasons = "; ".join([why or "approved by hand", *found["reasons"]])
    return promote_decision(store, decision, "hand", f"against the gate: {reasons}" if found["verdict"] == REFUSE else reasons)


@app.command(epilog='Example: gristmill rollback demo --why "answers got shorter"')
def rollback(
    name: Named,
    why: Annotated[str, typer.Option(help="Reason, which the history keeps.")],
    to: Annotated[int | None, typer.Option(min=1, help="Number of a reign; default: the last one of other models.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let the models of an earlier reign be the champion again."""
    from flows.retraining.promoting import roll_back

    _told(roll_back(open_store(store), name, to, why), name, as_json)


def _told(done: Promotion, name: str, as_json: bool) -> None:
    if as_json:
        print_json({"new": done.new, "reign": asdict(done.reign)})
    else:
        print(done.told(name))


@app.command(epilog="Example: gristmill champion demo")
def champion(
    name: Annotated[str | None, typer.Argument(help="Name of a recipe; default: all that have a champion.", metavar="NAME")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Show who reigns, who reigned before, and why."""
    from schemas.champion import history, names, no_champion
    from schemas.errors import RequestError

    opened = open_store(store)
    reigns = {one: history(opened.root, one) for one in ([name] if name is not None else names(opened.root))}
    if name is not None and not reigns[name]:
        raise RequestError(no_champion(name))
    if as_json:
        print_json(
            {one: [asdict(reign) | {"forgotten": _forgotten(opened, reign.models)} for reign in found] for one, found in reigns.items()}
        )
        return
    for line in _history_lines(opened, reigns):
        print(line)


def _history_lines(store: Store, reigns: dict[str, Any]) -> list[str]:
    from flows.rejects import visible
    from flows.tables import aligned

    rows = []
    for name, found in reigns.items():
        for reign in reversed(found):
            marks = _forgotten(store, reign.models)
            why = visible("; ".join([reign.why, *marks]))
            now = "now" if reign is found[-1] else ""
            models = ", ".join(reference.removeprefix("model/") for _, reference in sorted(reign.models.items(), reverse=True))
            rows.append((name, str(reign.number), now, reign.began, reign.by, models, why if len(why) <= 160 else f"{why[:157]}..."))
    return aligned(("name", "reign", "", "began", "by", "models", "why"), rows, left={0, 2, 3, 4, 5, 6}) if rows else ["no champion yet"]


def _forgotten(store: Store, models: Mapping[str, str]) -> list[str]:
    """What is to be said of models that saw documents which were forgotten."""
    from schemas.forgotten import read_mark

    paths = [store.root.joinpath(*reference.replace("@", "/").split("/")) for reference in models.values()]
    return sorted({mark.told for path in paths if (mark := read_mark(path)) is not None})
