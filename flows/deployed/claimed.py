"""The model: a recipe's deployments are *claimed* by the store that they are served for, and by the machine: a server knows them by the
recipe's name alone, so another store's recipe of that name would send its runs here, and take the schedules away. A claim is *silent* if
nobody asks for the runs of its deployments any more.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse

from flows.deployed.table import MACHINE, TAG
from schemas.errors import RequestError

Say = Callable[[str], None]

_SILENT = datetime.timedelta(seconds=60)
"""After which who asked for no run serves no more."""
_LOOK = 5.0
"""Seconds between looks at who asks; who serves asks as often."""
_LOOKS = 3
"""At the least: who serves at a server that was away needs a while to find it again."""


async def refuse_claimed(client: PrefectClient, names: Collection[str], store: Path, own_server: bool, say: Say) -> None:
    """Raise `RequestError` if one of these names is served for another store than that of an absolute path; or for this path on another
    machine, which may share it.

    A silent claim of another store stands, unless that one is gone from this machine, or the server is this store's own (`own_server`):
    so a folder that was moved, or a machine that was replaced, serves again. A claim that was not silent just now is looked at until it is.
    """
    before: dict[UUID, datetime.datetime | None] = {}
    looks = 0
    while others := [one for one in await tagged(client, names) if _is_anothers(one, store)]:
        for one in others:
            elsewhere = _store(one) != str(store)
            if one.last_polled != before.get(one.id, one.last_polled) or (elsewhere and not own_server and not _is_gone(one)):
                raise RequestError(_refusal(one, elsewhere))
        before, looks = {one.id: one.last_polled for one in others}, looks + 1
        if looks > _LOOKS and not any(map(_asked_just_now, others)):
            return
        if looks == 1:
            say(f"waits     for {_machine(others[0]) or 'another machine'}, where {others[0].name} was served: it may still be")
        await asyncio.sleep(_LOOK)


async def tagged(client: PrefectClient, names: Collection[str] = ()) -> list[DeploymentResponse]:
    """All deployments that are ours, or those of some names."""
    named = DeploymentFilterName(any_=sorted(names)) if names else None
    wanted = DeploymentFilter(name=named, tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(deployment_filter=wanted, limit=200, offset=len(found)):
        found += page
    return found


def is_served_elsewhere(deployment: DeploymentResponse) -> bool:
    """Whether another machine asked for its runs just now."""
    return _machine(deployment) not in (None, os.uname().nodename) and _asked_just_now(deployment)


def _is_anothers(deployment: DeploymentResponse, store: Path) -> bool:
    claimed = _store(deployment)
    if claimed is None or deployment.work_pool_name is not None:
        return False
    return claimed != str(store) or _machine(deployment) not in (None, os.uname().nodename)


def _is_gone(deployment: DeploymentResponse) -> bool:
    return _machine(deployment) == os.uname().nodename and not Path(_store(deployment) or "").exists()


def _refusal(deployment: DeploymentResponse, elsewhere: bool) -> str:
    name, machine = deployment.name, _machine(deployment) or "a machine that it doesn't tell"
    if elsewhere:
        return (
            f"{name}: another recipe of this name is served at this server, with the store {_store(deployment)} on {machine}, and the two "
            "would overwrite each other's deployments. Give one another name; or, if that store is no more, delete its deployments "
            f"(in the browser, or by `prefect deployment delete FLOW/{name}`)"
        )
    return (
        f"{name}: is served on {machine} as well, with a store of the same path, {_store(deployment)}. If it is the same store, end that "
        "one; if not, give one of the recipes another name"
    )


def _store(deployment: DeploymentResponse) -> str | None:
    found = (deployment.parameters or {}).get("store")
    return None if found is None else str(found)


def _machine(deployment: DeploymentResponse) -> str | None:
    """None: it was deployed before deployments told it."""
    return next((tag.removeprefix(MACHINE) for tag in deployment.tags if tag.startswith(MACHINE)), None)


def _asked_just_now(deployment: DeploymentResponse) -> bool:
    return deployment.last_polled is not None and datetime.datetime.now(datetime.UTC) - deployment.last_polled < _SILENT
