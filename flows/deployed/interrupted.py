"""The model: an *interrupted* run is one that the server takes for running, and whose process is gone since nobody serves. It goes on from
what is in the store. A *missed* run was due while nobody served: of each deployment the newest is run, and no other. A deployment of the
store that nobody serves any more is *paused*: its schedule would plan runs that nobody takes, for ever.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, Cancelled

from flows.deployed.claimed import is_served_elsewhere, tagged

_LATE = datetime.timedelta(seconds=60)


async def let_go_on(client: PrefectClient, deployments: Sequence[UUID]) -> list[str]:
    """Let all runs of these deployments go on that nobody works on. Call it only while nobody does. Says what it did."""
    lines = []
    for run in await _runs(client, deployments, [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.CRASHED]):
        if run.state is None or (run.state.is_crashed() and not _just_now(run)):
            continue
        if run.state.is_cancelling():
            await client.set_flow_run_state(run.id, Cancelled(message="It was being cancelled when serving ended."), force=True)
            continue
        message = "Serving ended while it ran. It goes on, from what is there."
        await client.set_flow_run_state(run.id, AwaitingRetry(message=message), force=True)
        lines.append(f"goes on   {run.name}")
    return lines


async def only_newest_missed(client: PrefectClient, deployments: Sequence[UUID]) -> list[str]:
    """Of the scheduled runs that were missed, leave the newest of each deployment."""
    late = FlowRunFilterNextScheduledStartTime.model_validate({"before_": datetime.datetime.now(datetime.UTC) - _LATE})
    missed = defaultdict[UUID | None, list[FlowRun]](list)
    for run in await _runs(client, deployments, [StateType.SCHEDULED], late):
        if run.auto_scheduled and run.run_count == 0:
            missed[run.deployment_id].append(run)
    lines = []
    for runs in missed.values():
        *old, newest = sorted(runs, key=lambda run: run.expected_start_time or datetime.datetime.min.replace(tzinfo=datetime.UTC))
        for run in old:
            await client.delete_flow_run(run.id)
        lines.append(f"missed    {len(runs)} runs of a schedule; one is made up for, {newest.name}")
    return lines


async def pause_unserved(client: PrefectClient, deployments: Sequence[UUID], store: str) -> list[str]:
    """Pause what was served for the store, and is not any more: a recipe or a section that is gone. Serving it again lets it go on. A store
    of the same path on another machine may be another one: what is served there stays."""
    lines = []
    for one in await tagged(client):
        served = one.id in deployments or one.work_pool_name is not None or (one.parameters or {}).get("store") != store
        if not served and not one.paused and not is_served_elsewhere(one):
            await client.pause_deployment(one.id)
            lines.append(f"paused    {one.tags[2]}/{one.name}: it is not served any more")
    return lines


def _just_now(run: FlowRun) -> bool:
    """Whether a run crashed as we told its process to end."""
    assert run.state is not None and run.state.timestamp is not None
    return datetime.datetime.now(datetime.UTC) - run.state.timestamp < _LATE


async def _runs(
    client: PrefectClient, deployments: Sequence[UUID], states: list[StateType], late: FlowRunFilterNextScheduledStartTime | None = None
) -> list[FlowRun]:
    if not deployments:
        return []
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)), next_scheduled_start_time=late)
    of = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    found: list[FlowRun] = []
    while page := await client.read_flow_runs(flow_run_filter=wanted, deployment_filter=of, limit=200, offset=len(found)):
        found += page
    return found
