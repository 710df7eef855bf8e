"""The model: commands that keep a store in order."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from flows.commands.options import AsJson, StoreOption, open_store, print_json

app = typer.Typer()


@app.command("gc", epilog="Example: gristmill gc --keep 2 --grace 30d")
def collect_garbage(
    keep: Annotated[int, typer.Option(min=1, help="Newest artifacts of each name that stay.", metavar="N")] = 3,
    grace: Annotated[str, typer.Option(help="For how long what was in use stays: 7d, 12h.", metavar="TIME")] = "7d",
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking; without it only a terminal is asked.")] = False,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Show what of a store stays and what may go, with sizes and reasons; remove on --yes."""
    from flows.gc import Rules, examine, remove
    from flows.gc.lines import lines_of, question, seconds
    from flows.progress import quantity
    from schemas.errors import RequestError

    opened = open_store(store)
    if not opened.root.is_dir():
        raise RequestError(f"store {opened.root}: there is no such folder; name another one by --store")
    rules = Rules(keep, seconds(grace))
    findings = examine(opened, rules, time.time())
    rows = list(findings.rows())
    going = any(not row["stays"] for row in rows)
    if not as_json:
        for line in lines_of(rows):
            print(line)
    asks = going and not yes and not as_json and sys.stdin.isatty()
    removes = going and (yes or (asks and typer.confirm(question(findings.bytes))))
    kept = remove(opened, rules, findings) if removes else []
    if as_json:
        shown = {"keep": keep, "grace_seconds": rules.grace, "bytes": findings.bytes, "removed": removes, "kept_after_all": kept}
        print_json({"store": str(opened.root), **shown, "things": rows})
        return
    for row in kept:
        print(f"kept    {row['path']}: {row['why']}")
    if removes:
        there = {row["path"] for row in kept}
        removed = [row["bytes"] for row in rows if not row["stays"] and row["path"] not in there]
        print(f"removed {len(removed):,}, {quantity(sum(removed), 'bytes')}")
    elif going:
        print("nothing was removed; --yes removes it")
