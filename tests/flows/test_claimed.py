"""Whose a recipe's name is at a server, and when it may be somebody else's."""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient

import flows.deployed.claimed
from flows.deployed.claimed import refuse_claimed
from flows.deployed.interrupted import pause_unserved
from flows.deployed.table import MACHINE, TAG
from schemas.errors import RequestError
from tests.flows.conftest import Server

HERE = os.uname().nodename


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.deployed.claimed, "_LOOK", 0.2)
    monkeypatch.setattr(flows.deployed.claimed, "_SILENT", datetime.timedelta(seconds=2))


async def claim(client: PrefectClient, name: str, store: Path, machine: str | None) -> UUID:
    tags = [TAG, name, "ingest", *([MACHINE + machine] if machine else [])]
    flow = await client.create_flow_from_name("ingest")
    return await client.create_deployment(flow, name, parameters={"store": str(store)}, tags=tags)


@pytest.mark.slow
def test_a_name_belongs_to_one_store_until_that_is_gone_or_silent(tmp_path: Path, server: Server) -> None:
    name, mine, other = f"r{time.time_ns()}", tmp_path / "mine", tmp_path / "other"
    other.mkdir()

    async def claims() -> None:
        async with PrefectClient(server["PREFECT_API_URL"]) as client:

            async def serve(own_server: bool = False) -> list[str]:
                said: list[str] = []
                await refuse_claimed(client, [name], mine, own_server, said.append)
                return said

            assert await serve() == []
            deployment = await claim(client, name, other, HERE)
            with pytest.raises(RequestError, match=f"with the store {other} on {HERE}"):
                await serve()
            assert "it may still be" in "".join(await serve(own_server=True))  # a server of our own, and nobody asks
            other.rmdir()
            assert await serve() != []  # a store that was moved
            await claim(client, name, other, "elsewhere")
            with pytest.raises(RequestError, match="on elsewhere"):
                await serve()
            await claim(client, name, mine, "elsewhere")
            await client.get_scheduled_flow_runs_for_deployments([deployment])  # it asks, and then no more: a machine that was replaced
            while (await client.read_deployment(deployment)).last_polled is None:
                await asyncio.sleep(0.05)
            began = time.monotonic()
            assert len(await serve()) == 1 and time.monotonic() - began > 1
            serving = asyncio.create_task(ask(client, deployment))
            with pytest.raises(RequestError, match="is served on elsewhere as well"):
                await asyncio.wait_for(serve(), 20)
            assert await pause_unserved(client, [], str(mine)) == []
            serving.cancel()
            for machine in (HERE, None):  # None: deployed before deployments told it
                await claim(client, name, mine, machine)
                assert await serve() == []
            assert await pause_unserved(client, [], str(mine)) == [f"paused    ingest/{name}: it is not served any more"]

    asyncio.run(claims())


async def ask(client: PrefectClient, deployment: UUID) -> None:
    while True:
        await client.get_scheduled_flow_runs_for_deployments([deployment])
        await asyncio.sleep(0.1)
