"""The model: commands that make a version which says less, or the same in fewer files: what they make takes the newest's place."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows.commands.options import AsJson, RecipeFile, StoreOption, Workers, load, open_store, print_json

app = typer.Typer()


def _say(line: str) -> None:
    """Progress is for stderr: stdout stays free for results."""
    print(line, file=sys.stderr, flush=True)


@app.command("forget", epilog="Example: gristmill forget mine --uri 'letters/*' --erase")
def forget_documents(
    name: Annotated[str, typer.Argument(help="Name of the documents.", metavar="NAME")],
    doc: Annotated[list[str] | None, typer.Option(help="Id of a document, or the beginning of one; may be given often.")] = None,
    source: Annotated[str | None, typer.Option(help="All that was read from this source.")] = None,
    uri: Annotated[str | None, typer.Option(help="All that was read from such files.", metavar="GLOB")] = None,
    pattern: Annotated[str | None, typer.Option(help="All texts that hold a match of this.", metavar="REGEX")] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Retire what holds them: `gristmill gc` then removes the bytes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking; without it only a terminal is asked.")] = False,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Make versions of documents and tokens without some documents, which no later run takes in again; ask before."""
    from flows.children import newest, plain_name
    from flows.forgetting.lines import as_json as told_json
    from flows.forgetting.lines import lines_of_outcome, lines_of_plan, plan_of
    from flows.forgetting.selection import Selection
    from flows.forgetting.work import forget
    from schemas.errors import RequestError

    selection = Selection(tuple(doc or ()), source, uri, pattern)
    if selection.is_empty and not erase:
        raise RequestError("nothing says what to forget: give --doc, --source, --uri or --pattern (or --erase alone)")
    opened, name = open_store(store), plain_name("documents", name)
    plan = plan_of(opened, newest(opened, "documents", name), selection, erase)
    if not as_json:
        for line in lines_of_plan(plan):
            print(line)
    asks = plan.does_something and not yes and not as_json and sys.stdin.isatty()
    if not (yes or (asks and typer.confirm("Forget them?"))):
        if as_json:
            print_json(told_json(plan, None))
        else:
            print("nothing was changed; --yes does it" if plan.does_something else "nothing was changed")
        return
    outcome = forget(opened, name, selection, erase, _say)
    if as_json:
        print_json(told_json(plan, outcome))
    else:
        for line in lines_of_outcome(outcome):
            print(line)


@app.command("compact", epilog="Example: gristmill compact mine")
def compact_documents(
    name: Annotated[str, typer.Argument(help="Name of the documents.", metavar="NAME")],
    target: Annotated[int | None, typer.Option(min=1, help="Bytes read for a merged shard at the most; default: split_bytes.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Merge small shards of documents, and of their tokens alike: the same rows in the same order, in fewer files."""
    from flows.children import plain_name
    from flows.compacting import compact

    opened = open_store(store)
    done = compact(opened, plain_name("documents", name), target, _say)
    if as_json:
        made = [artifact.reference for artifact in done.made]
        print_json({"documents": done.documents.reference, "made": made, "shards_before": done.before, "shards": done.after})
    elif done.made:
        print(f"{done.documents.reference}: {done.before:,} document shards became {done.after:,}")
    elif done.before == 1:
        print(f"{done.documents.reference}: it has one document shard, so there is nothing to merge")
    else:
        print(f"{done.documents.reference}: no neighbours among its {done.before:,} document shards are small enough to merge")


@app.command("replay", epilog="Example: gristmill replay mine mine.yaml --reason min_words")
def replay_rejects(
    name: Annotated[str, typer.Argument(help="Name of the documents.", metavar="NAME")],
    recipe: RecipeFile,
    reason: Annotated[str, typer.Option(help="What they were rejected for.")],
    stage: Annotated[str | None, typer.Option(help="Only rejects of this stage of the job.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
    workers: Workers = None,
) -> None:
    """Take what was rejected for one reason through all stages again, under the recipe as it is now; the rest stays as it is."""
    from flows.children import plain_name
    from flows.replaying import replay
    from flows.summary import ledger_lines
    from pipelines.replay import Rejects

    loaded = load(recipe, store, workers)
    opened = open_store(loaded.run.store)
    outcome = replay(opened, plain_name("documents", name), loaded, Rejects(reason, stage), _say)
    if as_json:
        print_json({"artifact": outcome.artifact.reference, "action": outcome.action, "seconds": outcome.seconds})
        return
    print(outcome.artifact.reference)
    for source, ledger in outcome.artifact.manifest.ledgers.items():
        print("\n".join(ledger_lines(source, ledger)))
