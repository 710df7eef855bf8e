"""The model: each *command* is a function here; it prints for people, or one JSON value with `--json`.

Exit codes: 0 done, 1 the work failed or an audit found something, 2 the request was wrong (recipe, reference, option).
Heavy libraries are imported by the command that needs them, so that `--help` and `ls` are quick.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from flows import tagger
from schemas.recipe import Recipe

app = typer.Typer(
    help="Raw text in; clean, segmented, tagged, tokenized Arrow shards and an evaluated language model out.",
    epilog="Example: gristmill demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(tagger.app, name="tagger")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
StoreOption = Annotated[str | None, typer.Option("--store", envvar="GRISTMILL_STORE", help="Folder of the artifacts.", metavar="DIR")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of the data jobs (never changes a result).")]
Until = Annotated[str | None, typer.Option(help="Stop after this step.", metavar="STEP")]
RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (YAML).", metavar="RECIPE")]
Reference = Annotated[str, typer.Argument(help="kind/name[@version]; the latest version by default.", metavar="ARTIFACT")]

DEFAULT_STORE = ".gristmill/store"


def _load(path: Path, store: str | None, workers: int | None) -> Recipe:
    from schemas.recipe_file import load_recipe

    recipe = load_recipe(path)
    changes = {k: v for k, v in {"store": store, "workers": workers}.items() if v is not None}
    return recipe.model_copy(update={"run": recipe.run.model_copy(update=changes)})


def _store(location: str | None) -> Any:
    from schemas.store import Store

    return Store(location or DEFAULT_STORE)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))


@app.command(epilog="Example: gristmill demo")
def demo(as_json: AsJson = False, store: StoreOption = None, workers: Workers = None, until: Until = None) -> None:
    """Run the whole main job on text that is already on this machine: the standard library and Chinese reviews."""
    from flows.demo import write_inputs
    from flows.progress import quantity

    recipe_path = Path(__file__).parent / "recipes" / "demo.yaml"
    recipe = _load(recipe_path, store, workers)
    print("inputs of the demo, from what is installed here:", file=sys.stderr, flush=True)
    for name, found in write_inputs(Path(".gristmill/demo")).items():
        size = quantity(found["bytes"], "bytes")
        line = f"  {name:<10} {found['documents']:,} records in {found['files']} files, {size}: {found['path']}"
        print(line, file=sys.stderr, flush=True)
    _run(recipe, until, as_json)


@app.command(epilog="Example: gristmill run my.yaml --until documents")
def run(recipe: RecipeFile, until: Until = None, as_json: AsJson = False, store: StoreOption = None, workers: Workers = None) -> None:
    """Run a recipe: reuse what is there, resume what was left unfinished, make the rest."""
    _run(_load(recipe, store, workers), until, as_json)


def _run(recipe: Recipe, until: str | None, as_json: bool) -> None:
    from flows.planning import plan as make_plan
    from flows.server import embedded_server
    from schemas.store import Store

    store = Store(recipe.run.store)
    decisions = make_plan(recipe, store, until)  # finds a missing input before anything is spent
    steps = ", ".join(f"{d.step} ({d.action})" for d in decisions)
    print(f"run {recipe.name}: {steps}", file=sys.stderr)
    print(f"  {'tracking':<10} starting the embedded Prefect server", file=sys.stderr, flush=True)
    try:
        with embedded_server(store.root.parent / "prefect"):
            from flows.run import run as run_steps

            outcomes = run_steps(recipe, store, until)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    if as_json:
        _print_json(outcomes)
    else:
        from flows.summary import print_summary

        print_summary(outcomes)


@app.command(epilog="Example: gristmill plan my.yaml")
def plan(recipe: RecipeFile, until: Until = None, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Say of each step whether it would be reused, resumed or run, and why; nothing is run."""
    from flows.planning import plan as make_plan

    loaded = _load(recipe, store, None)
    decisions = make_plan(loaded, _store(loaded.run.store), until)
    if as_json:
        _print_json([d.as_json() for d in decisions])
    else:
        for d in decisions:
            print(f"{d.step:<10} {d.action:<7} {'; '.join(d.why)}")


@app.command("ls", epilog="Example: gristmill ls documents")
def list_artifacts(
    kind: Annotated[str | None, typer.Argument(help="Only this kind.")] = None, as_json: AsJson = False, store: StoreOption = None
) -> None:
    """List the artifacts of a store."""
    from flows.progress import quantity
    from schemas.artifact import KINDS
    from schemas.errors import RequestError

    if kind not in (None, *KINDS):
        raise RequestError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    opened = _store(store)
    rows = [
        {
            "kind": a.kind,
            "name": a.name,
            "version": a.version,
            "path": str(a.path),
            "fingerprint": a.manifest.fingerprint,
            "content_digest": a.manifest.content_digest,
            "bytes": sum(f.bytes for f in a.manifest.files()),
        }
        for a in opened.artifacts(kind)
    ]
    if as_json:
        _print_json(rows)
    else:
        for row in rows:
            print(f"{row['kind'] + '/' + row['name']:<28} {row['version']:<36} {quantity(row['bytes'], 'bytes'):>10}  {row['path']}")
        if not rows:
            print(f"nothing in {opened.root} yet; `gristmill demo` makes something")
    for finding in opened.damaged():
        print(f"damaged: {finding}", file=sys.stderr)


@app.command(epilog="Example: gristmill show documents/demo")
def show(artifact: Reference, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Show what an artifact is: identity, ledger, files and facts."""
    from flows.summary import describe

    found = _store(store).find(artifact)
    if as_json:
        _print_json({"reference": found.reference, "path": str(found.path), **found.manifest.as_json()})
    else:
        print(describe(found))


@app.command("audit", epilog="Example: gristmill audit documents/demo")
def audit_artifact(artifact: Reference, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Derive digests, ledgers and alignment again from the files; exit 1 and name the file if anything differs."""
    from flows.lineage import made_from
    from schemas.artifact import Damaged
    from schemas.audit import audit

    opened = _store(store)
    try:
        found = opened.find(artifact)
        findings = audit(found, made_from(opened, found, "documents"))
        checked = len(found.manifest.files())
    except Damaged as error:
        findings, checked = [str(error)], 0
    if as_json:
        _print_json({"artifact": artifact, "sound": not findings, "files": checked, "findings": findings})
    else:
        for finding in findings:
            print(finding)
        print(f"{artifact}: {len(findings)} findings in {checked} files" if findings else f"{artifact}: sound, {checked} files")
    if findings:
        raise typer.Exit(1)


@app.command(epilog="Example: gristmill rejects documents/demo --reason min_chars --limit 5")
def rejects(
    artifact: Reference,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows to show; 0: only the counts.")] = 10,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Browse the records that were not kept: counts by source and reason, then rows with where they came from."""
    from flows.rejects import browse, visible

    counts, rows = browse(_store(store).find(artifact), reason, source, limit)
    if as_json:
        _print_json({"counts": counts, "rows": rows})
        return
    for c in counts:
        print(f"{c['source']:<14} {c['stage']:<10} {c['reason']:<22} {c['records']:>9,} records  {c['bytes']:>13,} bytes")
    for row in rows:
        place = f"{row['source']}:{visible(row['uri'])} record {row['record']} ({row['record_bytes']:,} bytes)"
        print(f"\n{place}: {row['reason']}: {visible(row['detail'])}")
        if row["text"]:
            print(f"    {visible(row['text'])}")


@app.command("tokenizer", epilog="Example: gristmill tokenizer demo")
def show_tokenizer(
    name: Annotated[str, typer.Argument(help="name[@version] of a tokenizer.", metavar="NAME")],
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Show how well a tokenizer fits each language and source, and which of its tokens are odd."""
    from flows.tokenizer import lines_of, read_report

    found = _store(store).find(name if "/" in name else f"tokenizer/{name}")
    report = read_report(found)
    if as_json:
        _print_json({"reference": found.reference, **report})
        return
    print(found.reference)
    for line in lines_of(report):
        print(line)


@app.command(epilog="Example: gristmill lineage tokens/demo --doc 3f2a --token 17")
def lineage(
    artifact: Reference,
    doc: Annotated[str, typer.Option(help="Id of a document, in hex; its beginning is enough if no other begins so.")],
    token: Annotated[int | None, typer.Option(help="Number of a token of the document, from 0.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Trace a token to its characters, sentence, word, document, and bytes of a file; or show a document alone."""
    from flows.token_lineage import lines_of, trace

    opened = _store(store)
    told = trace(opened, opened.find(artifact), doc, token)
    if as_json:
        _print_json(told)
    else:
        for line in lines_of(told):
            print(line)


@app.command(epilog="Example: gristmill tokenize texts/*.jsonl --tokenizer demo --name mine")
def tokenize(
    path: Annotated[str, typer.Argument(help="File, folder or (quoted) glob of files, .gz and .zst too.", metavar="PATH")],
    tokenizer: Annotated[str, typer.Option(help="A tokenizer.json, or NAME[@version] of a tokenizer in the store.")],
    name: Annotated[str, typer.Option(help="Name of the tokens artifact.")],
    format: Annotated[str, typer.Option(help="jsonl, txt or tree (source code).")] = "jsonl",
    text_field: Annotated[str, typer.Option(help="The JSON key that holds the text.")] = "text",
    lang: Annotated[str, typer.Option(help="Language of all documents; und: not declared.")] = "und",
    engine: Annotated[str, typer.Option(help="auto, tokenizers or gigatoken; ids are the same.")] = "auto",
    workers: Workers = 2,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Make token shards straight from raw files: a document a record, nothing cleaned, judged, compared or annotated."""
    from flows.tokenize import tokenize as make
    from flows.tokenize import validated

    source, tokens = validated(name=name, path=path, format=format, text_field=text_field, lang=lang, engine=engine)
    outcome = make(_store(store), name, source, tokenizer, tokens, workers or 1, lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        reference = outcome.artifact.reference
        _print_json({"artifact": reference, "path": str(outcome.artifact.path), "action": outcome.action, "seconds": outcome.seconds})
    else:
        from flows.summary import describe

        print(describe(outcome.artifact))


@app.command(epilog='Example: gristmill generate model/demo "def main("')
def generate(
    model: Annotated[str, typer.Argument(help="model/name[@version]")],
    prompt: Annotated[str, typer.Argument(help="Text to go on from.")],
    max_new: Annotated[int, typer.Option(min=1, help="Tokens to make at the most.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="0: all.")] = 0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.95,
    seed: int = 0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Let a model continue a prompt."""
    from model.generate import continue_text
    from schemas.errors import RequestError

    found = _store(store).find(model if "/" in model else f"model/{model}")
    if found.manifest.identity.step != "pretrain":
        raise RequestError(f"{found.reference} was made by step {found.manifest.identity.step}: only pretrained models generate text")
    text = continue_text(found.path, prompt, max_new=max_new, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if as_json:
        _print_json({"model": found.reference, "prompt": prompt, "text": text, "seed": seed})
    else:
        print(prompt + text)


@app.command(epilog="Example: gristmill report evaluation/demo --out report.html")
def report(
    artifact: Reference,
    out: Annotated[Path | None, typer.Option(help="HTML file; default: reports/NAME.html beside the store.")] = None,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Write the HTML page about an artifact and all that it was made from."""
    from flows.report_file import write_run_report

    opened = _store(store)
    found = opened.find(artifact)
    target = write_run_report(opened, found, out)
    if as_json:
        _print_json({"artifact": found.reference, "path": str(target)})
    else:
        print(target)


@app.command(epilog="Example: gristmill doctor")
def doctor(as_json: AsJson = False, store: StoreOption = None) -> None:
    """Check this machine: versions, compiler, memory, disk; say in a line what is missing and what follows."""
    from flows.doctor import examine

    findings = examine(_store(store).root)
    if as_json:
        _print_json([f.as_json() for f in findings])
    else:
        for f in findings:
            print(f"{f.level:<5} {f.what:<12} {f.detail}")
    if any(f.level == "error" for f in findings):
        raise typer.Exit(1)


def _terminated(number: int, frame: object) -> NoReturn:
    """Leave as by an error, so that whatever runs below gets its time to write a checkpoint."""
    sys.exit(128 + number)


def main() -> NoReturn:
    """The `gristmill` command: errors that a person can act on are one message, not a traceback."""
    from flows.launch import ChildFailed
    from flows.server import ServerFailed
    from schemas.artifact import Damaged
    from schemas.errors import RequestError
    from schemas.lease import LeaseLost

    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except RequestError as error:
        print(f"gristmill: {error}", file=sys.stderr)
        sys.exit(2)
    except (ChildFailed, ServerFailed, Damaged, LeaseLost, OSError) as error:
        print(f"gristmill: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
