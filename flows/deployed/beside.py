"""The model: what works *beside* the server and its runs: watches over the recipes' sources, and the hooks. All that they do is to *ask for
an ingest*: a run that waits already will see what they saw, so there is never a second one that waits.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping

from prefect import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from flows.arriving.hook import open_hooks
from flows.arriving.watch import Found, watch
from flows.deployed.table import TAG
from schemas.recipe import Recipe
from schemas.store import Store

INGEST = "ingest"
_SOON = datetime.timedelta(minutes=2)
"""A run that waits for its turn is due within seconds, again and again; one that somebody wants tomorrow is none that is about to begin."""
Beside = Callable[[threading.Event], None]
Say = Callable[[str], None]


def ask_for_ingest(name: str, why: str) -> None:
    """Start a run of `ingest/NAME`, unless one is about to begin."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{INGEST}/{name}")
        waiting = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])))
        of = DeploymentFilter(name=DeploymentFilterName(any_=[name]), tags=DeploymentFilterTags(all_=[TAG, INGEST]))
        runs = client.read_flow_runs(flow_run_filter=waiting, deployment_filter=of, limit=200)
        soon = datetime.datetime.now(datetime.UTC) + _SOON
        if all(run.auto_scheduled or (run.next_scheduled_start_time or soon) > soon for run in runs):
            client.create_flow_run_from_deployment(found.id, tags=[f"because: {why}"[:200]])


def watches(recipes: Mapping[str, Recipe], store: Store, interval: float, say: Say) -> list[Beside]:
    """A watch a recipe."""

    def begin(found: Found) -> None:
        say(f"watch     {found.name}: {'; '.join(found.reasons)}")
        ask_for_ingest(found.name, "; ".join(found.reasons))

    def of(recipe: Recipe) -> Beside:
        return lambda stop: watch(recipe, store, begin, interval, stop, say)

    return [of(recipe) for recipe in recipes.values()]


def hooks(recipes: Mapping[str, Recipe], store: Store, host: str, port: int, say: Say) -> list[Beside]:
    """The hooks of all recipes, if there is a secret that senders sign with. Raises `RequestError` as `open_hooks` does."""
    opened = open_hooks(recipes, store, ask_for_ingest, say, host, port)
    return [opened] if opened is not None else []
