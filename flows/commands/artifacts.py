"""The model: commands that look into what is in a store; they change nothing."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from flows.commands.options import AsJson, Reference, StoreOption, open_store, print_json

app = typer.Typer()


@app.command("ls", epilog="Example: gristmill ls documents")
def list_artifacts(
    kind: Annotated[str | None, typer.Argument(help="Only this kind.")] = None, as_json: AsJson = False, store: StoreOption = None
) -> None:
    """List the artifacts of a store."""
    from flows.progress import quantity
    from schemas.artifact import KINDS
    from schemas.errors import RequestError
    from schemas.forgotten import read_mark

    if kind not in (None, *KINDS):
        raise RequestError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    opened = open_store(store)
    rows: list[dict[str, Any]] = [
        {
            "kind": a.kind,
            "name": a.name,
            "version": a.version,
            "path": str(a.path),
            "fingerprint": a.manifest.fingerprint,
            "content_digest": a.manifest.content_digest,
            "bytes": sum(f.bytes for f in a.manifest.files()),
            "forgotten": mark.told if (mark := read_mark(a.path)) is not None else None,
        }
        for a in opened.artifacts(kind)
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print(f"{row['kind'] + '/' + row['name']:<28} {row['version']:<36} {quantity(row['bytes'], 'bytes'):>10}  {row['path']}")
            if row["forgotten"]:
                print(f"{'':<28} {row['forgotten']}")
        if not rows:
            print(f"nothing in {opened.root} yet; `gristmill demo` makes something")
    for finding in opened.damaged():
        print(f"damaged: {finding}", file=sys.stderr)


@app.command(epilog="Example: gristmill show documents/demo")
def show(artifact: Reference, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Show what an artifact is: identity, ledger, files and facts."""
    from flows.lineage import lineage as lineage_of
    from flows.summary import describe
    from schemas.forgotten import read_mark

    opened = open_store(store)
    found = opened.find(artifact)
    forgotten = [f"{a.reference} {mark.told}" for a in lineage_of(opened, found).values() if (mark := read_mark(a.path)) is not None]
    if as_json:
        print_json({"reference": found.reference, "path": str(found.path), "forgotten": forgotten, **found.manifest.as_json()})
    else:
        print(describe(found))
        for line in forgotten:
            print(f"  forgotten    {line}")


@app.command("audit", epilog="Example: gristmill audit documents/demo")
def audit_artifact(artifact: Reference, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Derive digests, ledgers and alignment again from the files; exit 1 and name the file if anything differs."""
    from flows.lineage import made_from
    from schemas.artifact import Damaged
    from schemas.audit import audit

    opened = open_store(store)
    try:
        found = opened.find(artifact)
        findings = audit(found, made_from(opened, found, "documents"))
        checked = len(found.manifest.files())
    except Damaged as error:
        findings, checked = [str(error)], 0
    if as_json:
        print_json({"artifact": artifact, "sound": not findings, "files": checked, "findings": findings})
    else:
        for finding in findings:
            print(finding)
        print(f"{artifact}: {len(findings)} findings in {checked} files" if findings else f"{artifact}: sound, {checked} files")
    if findings:
        raise typer.Exit(1)


@app.command("diff", epilog="Example: gristmill diff documents/demo@20261101 documents/demo")
def diff_artifacts(
    a: Annotated[str, typer.Argument(help="kind/name[@version], the old one.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Another of the same kind, the new one.", metavar="B")],
    limit: Annotated[int, typer.Option(min=0, help="Names of files and examples of documents to show in each place.")] = 5,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Say how artifact B differs from A: settings, engines, files, ledgers, documents. Exit 0 if equal, 1 if not, 2 for trouble."""
    import pyarrow as pa

    from flows.diff import compare, lines_of
    from schemas.artifact import Damaged
    from schemas.errors import RequestError

    opened = open_store(store)
    try:
        told = compare(opened.find(a), opened.find(b), limit)
    except (Damaged, pa.ArrowInvalid, OSError) as error:  # as in diff(1), 1 says that they differ and nothing else
        raise RequestError(str(error)) from error
    if as_json:
        print_json(told)
    else:
        for line in lines_of(told):
            print(line)
    if not told["equal"]:
        raise typer.Exit(1)


@app.command(epilog="Example: gristmill rejects documents/demo --reason min_chars --sample 5 --seed 1")
def rejects(
    artifact: Reference,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage of the job.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows to show, the first ones; 0: only the counts.")] = 10,
    sample: Annotated[int | None, typer.Option(min=1, help="Show this many drawn from all of them, instead of the first.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample; the same seed draws the same rejects.")] = 0,
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """Browse the records that were not kept: counts by stage, source and reason, then rows with where they came from."""
    from flows.rejects import Wanted, browse, by_stage, visible

    found = open_store(store).find(artifact)
    wanted = Wanted(reason, source, stage)
    counts, rows = browse(found, wanted, limit) if sample is None else browse(found, wanted, sample, seed)
    if as_json:
        print_json({"stages": by_stage(counts), "counts": counts, "rows": rows})
        return
    if not counts:
        print(f"{found.reference}: no record was rejected")
    for s in by_stage(counts):
        print(f"{s['stage']:<48} {s['records']:>9,} records  {s['bytes']:>13,} bytes")
        for c in (c for c in counts if c["stage"] == s["stage"]):
            print(f"  {c['source']:<22} {c['reason']:<22} {c['records']:>10,} records  {c['bytes']:>13,} bytes")
    for row in rows:
        place = f"{row['source']}:{visible(row['uri'])} record {row['record']} ({row['record_bytes']:,} bytes)"
        print(f"\n{place}: {row['reason']}" + (f": {visible(row['detail'])}" if row["detail"] else ""))
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

    found = open_store(store).find(name if "/" in name else f"tokenizer/{name}")
    report = read_report(found)
    if as_json:
        print_json({"reference": found.reference, **report})
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

    opened = open_store(store)
    told = trace(opened, opened.find(artifact), doc, token)
    if as_json:
        print_json(told)
    else:
        for line in lines_of(told):
            print(line)
