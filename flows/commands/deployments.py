"""The model: commands that serve recipes with schedules and triggers, and that look at the runs of a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import AsJson, StoreOption, load, open_store, print_json

app = typer.Typer()

_PLACE = "prefect"
"""The server's folder, beside the store."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command(epilog='Example: gristmill serve my.yaml --schedule "ingest=*/5 * * * *"')
def serve(
    recipes: Annotated[list[Path], typer.Argument(help="Recipe files (YAML), all with one store.", metavar="RECIPE")],
    host: Annotated[str, typer.Option(help="Address; beyond this machine only with PREFECT_SERVER_API_AUTH_STRING.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free; it is printed.")] = 4200,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="PREFECT_API_DATABASE_CONNECTION_URL",
            help="Of the server's state, as postgresql+asyncpg://...; default: a SQLite file beside the store.",
            metavar="URL",
        ),
    ] = None,
    schedule: Annotated[list[str] | None, typer.Option(help="FLOW=CRON, or FLOW=never; may be repeated.", metavar="FLOW=CRON")] = None,
    notify: Annotated[
        str | None,
        typer.Option(help="Block that is told of failures, promotions and refusals; or set GRISTMILL_NOTIFY_URL.", metavar="TYPE/NAME"),
    ] = None,
    no_watch: Annotated[bool, typer.Option("--no-watch", help="Don't ingest by itself what comes into the recipes' sources.")] = False,
    interval: Annotated[float, typer.Option(min=1, help="Until a source is looked at again, whatever the system tells of it.")] = 60.0,
    hook_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the hooks, if GRISTMILL_HOOK_SECRET is set; 0: any.")] = 4299,
    store: StoreOption = None,
) -> None:
    """Keep a Prefect server up, with its pages for the browser, and run these recipes' flows by schedule, by event and by hand."""
    from flows.place import serving_alone, tell
    from flows.server import Server, alone, free_port, quiet_defaults, refuse_taken, wait_for
    from schemas.errors import RequestError

    loaded = {path: load(path, store, None) for path in recipes}
    stores = sorted({str(Path(recipe.run.store).resolve()) for recipe in loaded.values()})
    if len(stores) > 1:
        raise RequestError(f"these recipes have different stores, {' and '.join(stores)}: serve each by itself, or name one by --store")
    names = [recipe.name for recipe in loaded.values()]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RequestError(f"two recipes have one name, {twice.pop()!r}")
    opened = open_store(stores[0])
    place = opened.root.parent
    foreign = os.environ.get("PREFECT_API_URL")
    if foreign is None:
        _refuse_open(host)
        if database is not None:
            os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = database

    def say(line: str) -> None:
        print(f"gristmill serve: {line}", file=sys.stderr, flush=True)

    with serving_alone(place), ExitStack() as ends:
        home = place / _PLACE
        home.mkdir(parents=True, exist_ok=True)
        quiet_defaults(home, pages=True)
        server = None
        if foreign is None:
            server = Server(home, host, port or free_port())
            refuse_taken(server.host, server.port)
            os.environ["PREFECT_API_URL"] = server.url
        from flows.deployed.beside import hooks, watches  # which reads all that was set here, as does the next one
        from flows.deployed.serving import Served, cron_by_flow, serve

        schedules, url = cron_by_flow(schedule or []), os.environ["PREFECT_API_URL"]
        by_name = {recipe.name: recipe for recipe in loaded.values()}
        beside = [] if no_watch else watches(by_name, opened, interval, say)
        if os.environ.get("GRISTMILL_HOOK_SECRET"):
            beside += hooks(by_name, opened, host, hook_port, say)
        if server is not None:
            ends.callback(server.end)
            say("starting the server")
            with alone(home):
                server.start()
                server.wait()
        else:
            wait_for(url)
        tell(place, url)
        say(f"pages     {url.removesuffix('/api')}")
        serve(Served(loaded, opened, schedules, notify, os.environ.get("GRISTMILL_NOTIFY_URL"), beside), server, say)


def _refuse_open(host: str) -> None:
    """Raises `RequestError` for an address beyond this machine without a password."""
    from schemas.errors import RequestError

    if host not in _LOOPBACK and not os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        raise RequestError(f"--host {host} can be reached by others: set PREFECT_SERVER_API_AUTH_STRING to USER:PASSWORD first")


@contextmanager
def _server_of(store: str | None) -> Iterator[None]:
    """PREFECT_API_URL, or the server of who serves beside the store. Raises `RequestError` if there is none."""
    from flows.place import served_at
    from flows.server import quiet_defaults
    from schemas.errors import RequestError

    place = open_store(store).root.parent
    url = os.environ.get("PREFECT_API_URL") or served_at(place)
    if url is None:
        raise RequestError(f"nobody serves in {place}: start `gristmill serve`, name its store by --store, or set PREFECT_API_URL")
    os.environ["PREFECT_API_URL"] = url
    quiet_defaults(place / _PLACE)
    yield


Run = Annotated[str, typer.Argument(help="Name of a run, or the start of its id.", metavar="RUN")]


@app.command(epilog="Example: gristmill flows --limit 5")
def flows(
    limit: Annotated[int, typer.Option(min=1, help="Newest runs to show.")] = 20,
    watch: Annotated[float | None, typer.Option(min=0.5, help="Show again each time after so many.", metavar="SECONDS")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Show the runs of a server: state, step, progress, time left."""
    import time

    with _server_of(store):
        from flows.deployed.runs import lines_of, newest_runs

        while True:
            found = newest_runs(limit)
            if as_json:
                print_json([run.as_json() for run in found])
            else:
                print("\n".join(lines_of(found)), flush=True)
            if watch is None:
                return
            time.sleep(watch)
            print()


@app.command(epilog='Example: gristmill logs "ingest mine" --follow')
def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Print what a run said, and its tasks."""
    with _server_of(store):
        from flows.deployed.runs import find_run, log_of

        for row in log_of(find_run(run), follow):
            if as_json:
                print_json(row)
            else:
                print(f"{row['time']}  {row['level']:<8} {row['message']}", flush=True)


@app.command(epilog='Example: gristmill cancel "pretrain mine"')
def cancel(run: Run, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Cancel a run: a training writes a checkpoint first, from which the next run goes on."""
    with _server_of(store):
        from flows.deployed.runs import cancel_run, find_run

        found = find_run(run)
        state = cancel_run(found)
        if as_json:
            print_json({"run": found.name, "id": str(found.id), "state": state})
        else:
            print(f"{found.name} ({str(found.id)[:8]}): {state}")
