"""The model: to *serve* recipes is to keep a server up, to register their deployments and automations with it, and to run what it
schedules, a process a flow run. Who serves in a folder holds its lock, and leaves its address beside the store, for other commands.

However it ends, nothing of it stays: flow runs get time for a checkpoint if they may have it, and go on when somebody serves again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner

from flows.deployed.automations import HEARTBEAT, block_of, keep, notices, retraining, zombies
from flows.deployed.claimed import refuse_claimed
from flows.deployed.flows import SERVER
from flows.deployed.interrupted import let_go_on, only_newest_missed, pause_unserved
from flows.deployed.table import RETRAIN, TABLE, deployments
from flows.launch import GRACE
from flows.server import Server
from schemas.errors import RequestError
from schemas.recipe import Recipe
from schemas.store import Store

Say = Callable[[str], None]

_DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
"""In the environment if a server's state lies in no file beside the store: others may share it."""
_LOOK = 1.0
"""Seconds between looks at the server."""
_BACKOFF = 30.0
"""Seconds between starts of a server that keeps ending, at the most."""
_SPARE = 3.0
"""Seconds for a flow's process to tell the server how it ended."""
USUAL = {RETRAIN: "23 * * * *", "maintenance": "41 3 * * *"}
"""Schedules of flows for which none is given. A retraining that waits for its period, or a frozen window, must be asked for again."""
NEVER = "never"
POLL = 5
"""Seconds between looks for runs that are due."""


@dataclass(frozen=True)
class Served:
    """What is served."""

    recipes: Mapping[Path, Recipe]
    store: Store
    schedules: Mapping[str, str] = field(default_factory=dict)
    """Cron by flow."""
    notify: str | None = None
    url: str | None = None
    """Where notices are sent, a secret."""
    beside: Sequence[Callable[[threading.Event], None]] = ()
    """What else works until the event is set: watches, hooks. Each in a thread of its own."""


def cron_by_flow(said: Sequence[str]) -> dict[str, str]:
    """Schedules by flow: those of `FLOW=CRON`, and `USUAL` where nothing is said. Raises `RequestError` for what is none."""
    names = [row.name for row in TABLE]
    schedules = dict(USUAL)
    for one in said:
        name, _, cron = (part.strip() for part in one.partition("="))
        if name not in names:
            raise RequestError(f"--schedule {one!r}: there is no flow {name!r}; the flows are {', '.join(names)}")
        if cron == NEVER:
            schedules.pop(name, None)
            continue
        try:
            CronSchedule(cron=cron)
        except ValueError as error:
            raise RequestError(f'--schedule {one!r}: {cron!r} is no time of cron: write five fields, as "ingest=*/5 * * * *"') from error
        schedules[name] = cron
    return schedules


def serve(served: Served, server: Server | None, say: Say) -> None:
    """Serve until SIGTERM or SIGINT. PREFECT_API_URL is set; `server` is ours to keep up, None if it is somebody else's."""
    os.environ[SERVER] = str(os.getpid())
    asyncio.run(_serve(served, server, say))


async def _serve(served: Served, server: Server | None, say: Say) -> None:
    stop, over, stop_beside = asyncio.Event(), asyncio.Event(), threading.Event()
    keeper = asyncio.create_task(_keep_up(server, over, say)) if server is not None else None
    try:
        runner, ids = await _registered(served, server is not None and _DATABASE not in os.environ, say)
        running = asyncio.create_task(_run(runner, say))
        await asyncio.sleep(0)  # in which the runner asks for signals itself
        _listen(stop)
        for work in served.beside:
            threading.Thread(target=work, args=(stop_beside,), name="beside", daemon=True).start()
        await stop.wait()
        say("ending: runs get time for a checkpoint, and go on when somebody serves again")
        stop_beside.set()
        await _end_runs(runner, ids, say)
        running.cancel()
        await asyncio.wait({running}, timeout=GRACE)
    finally:
        over.set()
        if keeper is not None:
            await keeper


def _listen(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _registered(served: Served, own_server: bool, say: Say) -> tuple[Runner, list[UUID]]:
    """A runner of all deployments, once the server knows them, and their ids."""
    runner = Runner(name="gristmill", query_seconds=POLL, heartbeat_seconds=HEARTBEAT, pause_on_shutdown=False)
    automations = [zombies()]
    ids: list[UUID] = []
    names, store = [recipe.name for recipe in served.recipes.values()], served.store.root.resolve()
    async with get_client() as client:
        await refuse_claimed(client, names, store, own_server, say)
    for path, recipe in served.recipes.items():
        for deployment in deployments(recipe, path, store, served.schedules):
            ids.append(await runner.aadd_deployment(deployment))
            when = f"  {cron}" if (cron := served.schedules.get(deployment.flow_name or "")) else ""
            say(f"deployed  {deployment.flow_name}/{deployment.name}{when}")
            if deployment.flow_name == RETRAIN:
                automations.append(retraining(recipe.name, ids[-1]))
    async with get_client() as client:
        block = await block_of(client, served.notify, served.url, store)
        automations += notices(block, names, store) if block else ()
        await keep(client, {one.name: one for one in automations}, store)
        unserved = await pause_unserved(client, ids, str(store))
        for line in [*unserved, *await let_go_on(client, ids), *await only_newest_missed(client, ids)]:
            say(line)
    say(f"ready     {len(ids)} deployments, {len(automations)} automations")
    return runner, ids


async def _run(runner: Runner, say: Say) -> None:
    """Run what is due; a runner that gives up, as the server is away for long, starts again."""
    while True:
        try:
            await runner.start()
        except Exception as error:
            say(f"can't reach the server: {error}; trying again")
            await asyncio.sleep(POLL)


async def _end_runs(runner: Runner, ids: Sequence[UUID], say: Say) -> None:
    """End the processes of flow runs, and leave the runs to who serves next. (`Runner.stop` would cancel them for good.)"""
    runner._scheduled_run_poller.stopping = True  # or it would start a run again that has just been ended
    deadline, told = asyncio.get_running_loop().time() + GRACE + _SPARE, set[int]()
    while (children := _children()) and asyncio.get_running_loop().time() < deadline:
        for process in set(children) - told:
            told.add(process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        await asyncio.sleep(0.2)
    try:
        async with get_client() as client:
            for line in await let_go_on(client, ids):
                say(line)
    except Exception as error:  # who serves next does it
        say(f"can't reach the server: {error}")


def _children() -> list[int]:
    """Our child processes that run flows."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = []
    for child in map(int, listed):
        with contextlib.suppress(OSError):
            if b"prefect.engine" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


async def _keep_up(server: Server, over: asyncio.Event, say: Say) -> None:
    """Start the server again whenever it ends; end it when all is over."""
    wait = _LOOK
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _LOOK)
        if not over.is_set() and (code := server.ended()) is not None:
            say(f"the server ended with exit code {code} (see {server.log}): it is started again")
            try:
                server.start()
            except OSError as error:  # no memory for a process, say: later there may be
                say(f"it can't be started: {error}")
            await asyncio.sleep(wait)
            wait = min(2 * wait, _BACKOFF)
    server.end()
