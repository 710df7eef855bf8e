"""The model: a recipe's deployments are *claimed* by the store that they are served for, and by the machine: a server knows them by the
recipe's name alone, so another store's recipe of that name would send its runs here, and take the schedules away.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection
from pathlib import Path

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse

from flows.deployed.table import MACHINE, TAG
from schemas.errors import RequestError

_SILENT = datetime.timedelta(seconds=60)
"""After which who asked for no run serves no more."""


async def refuse_claimed(client: PrefectClient, names: Collection[str], store: Path) -> None:
    """Raise `RequestError` if one of these names is served for another store; or for this path on another machine, which may share it,
    while that one asks for runs."""
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=sorted(names)), tags=DeploymentFilterTags(all_=[TAG]))
    for one in await client.read_deployments(deployment_filter=wanted, limit=200):
        claimed, machine = (one.parameters or {}).get("store"), _machine(one)
        if claimed is None or one.work_pool_name is not None:
            continue
        if claimed != str(store.resolve()):
            raise RequestError(
                f"{one.name}: another recipe of this name is served at this server, with the store {claimed} on {machine}, and the two "
                f"would overwrite each other's deployments. Give one another name; or, if that store is no more, delete its deployments "
                f"(in the browser, or by `prefect deployment delete FLOW/{one.name}`)"
            )
        if machine != os.uname().nodename and _asks(one):
            raise RequestError(
                f"{one.name}: is served on {machine} as well, with a store of the same path, {claimed}. If it is the same store, end that "
                "one and wait a minute; if not, give one of the recipes another name"
            )


def _machine(deployment: DeploymentResponse) -> str:
    return next((tag.removeprefix(MACHINE) for tag in deployment.tags if tag.startswith(MACHINE)), "a machine that it doesn't tell")


def _asks(deployment: DeploymentResponse) -> bool:
    return deployment.last_polled is not None and datetime.datetime.now(datetime.UTC) - deployment.last_polled < _SILENT
