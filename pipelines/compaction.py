"""The model: a *compaction* merges small shards of neighbouring splits, so that a version which grew by many small ones is read as fast as
one that was made at once. Its child has the same rows in the same order, of documents, rejects and tokens.

A *group* is the keys of parts that become one, under the first of these keys. Prepared rows are numbered through the group: those of each
split are *shifted* by the number of rows before them. The order (split, row) stays what it was, so later versions find the same duplicates.

Lines are frozen on the side where their first generation left them. A group is of one generation, its first: so rows of a later one that
would say otherwise of a line are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.dedup.runs import bytes16, halves
from pipelines.removal import folder_of, offsets_of, one_batch, schema_of, temporary, write_run
from pipelines.stages import BATCH_BYTES, BATCH_ROWS
from pipelines.tokens import STAGE as TOKENS
from pipelines.tokens import Counts
from schemas.arrow import REJECTS, read_batches, read_shard, write_shard
from schemas.artifact import Artifact, File, Part, PartKey
from schemas.draft import Draft
from schemas.ledger import Ledger, add_by_source

COMPACTED = "compacted"
"""Among the inputs of a version: stands for the groups that were merged."""

Group = Sequence[str]

_REJECTED_ROWS = 1 << 16


def groups_of(documents: Artifact, target: int) -> list[Group]:
    """Neighbours among the parts for which together at most `target` bytes were read, two or more in a group.

    What was read adds up, as sizes of files don't: what is compacted is not compacted again.
    """
    found: list[list[str]] = []
    room, schema = 0, None
    for part in (part for part in documents.manifest.parts if part.stage == "finish"):
        (file,) = (file for file in part.files if file.role == "documents")
        own = schema_of(documents.path / file.path)
        size = sum(ledger.bytes_read for ledger in part.ledgers.values())
        if size > room or schema is None or not own.equals(schema, check_metadata=True):
            found.append([])
            room, schema = target, own
        found[-1].append(part.key)
        room -= size
    return [group for group in found if len(group) > 1]


def merged_groups(before: Artifact, after: Artifact) -> list[Group]:
    """The groups that were merged between a version and its child."""
    left = {part.key for part in after.manifest.parts if part.stage == "finish"}
    found: list[list[str]] = []
    for key in (part.key for part in before.manifest.parts if part.stage == "finish"):
        if key in left:
            found.append([])
        found[-1].append(key)
    return [group for group in found if len(group) > 1]


def compact_documents(draft: Draft, parent: Artifact, groups: Iterable[Group]) -> list[PartKey]:
    """Make the parts of a child of `parent` in which each group is one; returns the parts that it does without."""
    parts = {part.id: part for part in parent.manifest.parts}
    generations = {split["ordinal"]: split.get("generation", 0) for split in parent.plan_splits()}
    gone = []
    for group in groups:
        gone += [(stage, key) for stage in ("prepare", "finish") for key in group[1:]]
        if draft.part("prepare", group[0]) is not None and draft.part("finish", group[0]) is not None:
            continue
        prepared, finished = ([parts[stage, key] for key in group] for stage in ("prepare", "finish"))
        runs = [_runs(parent, part) for part in prepared]
        dropped = [_runs(parent, part).get("dropped") for part in finished]
        shifts = np.cumsum([0, *(_prepared_rows([*of_split.values(), lost]) for of_split, lost in zip(runs, dropped, strict=True))])[:-1]
        _merge_prepared(draft, group[0], prepared, runs, dropped, shifts, [generations.get(int(key), 0) for key in group])
        _merge_finished(draft, parent, group[0], finished, dropped, shifts)
    return gone


def compact_tokens(draft: Draft, parent: Artifact, documents: Artifact, groups: Iterable[Group]) -> list[PartKey]:
    """The same for tokens; `documents` is the child that was made of the documents of `parent`."""
    parts = {part.id: part for part in parent.manifest.parts}
    shards = {part.key: file for part in documents.manifest.parts for file in part.files if file.role == "documents"}
    gone = []
    for group in groups:
        gone += [(TOKENS, key) for key in group[1:]]
        if draft.part(TOKENS, group[0]) is not None:
            continue
        merged = [parts[TOKENS, key] for key in group]
        paths = [parent.path / file.path for part in merged for file in part.files]
        path = temporary(draft, f"{TOKENS}-{group[0]}")
        rows = write_shard(path, schema_of(paths[0]), _as_in(documents.path / shards[group[0]].path, paths), compress=False)
        file = draft.adopt(path, folder="tokens", stem=group[0], suffix=".arrow", role="tokens", rows=rows)
        facts = {kind: _sum([part.facts[kind] for part in merged]) for kind in merged[0].facts}
        draft.add_part(TOKENS, group[0], [file], facts=facts)
    return gone


def _runs(parent: Artifact, part: Part) -> dict[str, pa.Table]:
    return {folder_of(file): read_shard(parent.path / file.path) for file in part.files if file.role == "digests"}


def _prepared_rows(runs: Iterable[pa.Table | None]) -> int:
    """How many documents of a split were prepared: there is a signature for each, or as many as the highest row number tells."""
    rows = 0
    for run in runs:
        if run is not None and "row" in run.column_names:
            rows = max(rows, int((run["row"].to_numpy() + np.int64(1)).max(initial=0)))
        elif run is not None:
            return len(run)
    return rows


def _merge_prepared(
    draft: Draft,
    key: str,
    parts: Sequence[Part],
    runs: Sequence[Mapping[str, pa.Table]],
    dropped: Sequence[pa.Table | None],
    shifts: npt.NDArray[np.int64],
    generations: Sequence[int],
) -> None:
    merged = {}
    for kind in runs[0]:
        tables = [of_split[kind] for of_split in runs]
        if kind == "lines":
            tables = _settled(tables, dropped, generations)
        merged[kind] = pa.concat_tables(tables) if kind == "signatures" else _in_order(_shifted(tables, shifts))
    files = [write_run(draft, key, kind, table) for kind, table in merged.items()]
    partitions = max(part.facts["partitions"] for part in parts)
    facts = {
        **_failures(parts),
        "encodings": _sum([part.facts.get("encodings", {}) for part in parts]),
        "partitions": partitions,
        "offsets": offsets_of(merged, partitions, draft.settings["dedup"]["near"]),
        "read": {source: ledger.as_json() for source, ledger in _read(parts).items()},
        "unreadable": [entry for part in parts for entry in part.facts["unreadable"]],
    }
    draft.add_part("prepare", key, files, add_by_source([part.ledgers for part in parts]), facts)


def _merge_finished(
    draft: Draft, parent: Artifact, key: str, parts: Sequence[Part], dropped: Sequence[pa.Table | None], shifts: npt.NDArray[np.int64]
) -> None:
    files_of = [file for part in parts for file in part.files]
    shards = {role: [parent.path / file.path for file in files_of if file.role == role] for role in ("documents", "rejects")}
    path = temporary(draft, f"documents-{key}")
    rows = write_shard(path, schema_of(shards["documents"][0]), _larger_batches(shards["documents"]), compress=True)
    files: list[File] = [draft.adopt(path, folder="documents", stem=key, suffix=".arrow", role="documents", rows=rows)]
    path = temporary(draft, f"rejects-{key}")
    rejects = pa.concat_tables([read_shard(shard) for shard in shards["rejects"]]).combine_chunks()
    rows = write_shard(path, REJECTS, rejects.to_batches(max_chunksize=_REJECTED_ROWS), compress=True)
    files.append(draft.adopt(path, folder="rejects", stem=key, suffix=".arrow", role="rejects", rows=rows))
    if lost := [table for table in dropped if table is not None]:
        files.append(write_run(draft, key, "dropped", pa.concat_tables(_shifted(lost, shifts))))
    facts = {**_failures(parts), "annotators": parts[0].facts["annotators"]}
    draft.add_part("finish", key, files, add_by_source([part.ledgers for part in parts]), facts)


def _shifted(tables: Sequence[pa.Table], shifts: npt.NDArray[np.int64]) -> list[pa.Table]:
    """Runs of splits with their rows numbered through."""
    found = []
    for table, shift in zip(tables, shifts.tolist(), strict=True):
        rows = pa.array((table["row"].to_numpy() + np.uint32(shift)).astype(np.uint32))
        found.append(table.set_column(table.schema.get_field_index("row"), table.schema.field("row"), rows))
    return found


def _in_order(tables: Sequence[pa.Table]) -> pa.Table:
    """Runs as one, sorted by key and then by row."""
    table = pa.concat_tables(tables).combine_chunks()
    if pa.types.is_uint64(table[0].type):
        order = np.argsort(table[0].to_numpy(), kind="stable")
    else:
        order = np.lexsort(tuple(reversed(halves(bytes16(table[0])))))
    return table.take(pa.array(order))


def _settled(lines: Sequence[pa.Table], dropped: Sequence[pa.Table | None], generations: Sequence[int]) -> list[pa.Table]:
    """Runs of lines without the rows of training documents for lines that an earlier generation left in held-out ones."""
    known: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
    held_out = np.empty(0, np.uint64)
    settled = list(lines)
    for generation in sorted(set(generations)):
        members = [number for number, own in enumerate(generations) if own == generation]
        sides: dict[bool, list[npt.NDArray[np.uint64]]] = {True: [known[:0]], False: [known[:0]]}
        for number in members:
            run, lost = lines[number], dropped[number]
            says_otherwise = ~run["held_out"].to_numpy() & np.isin(run["line"].to_numpy(), held_out)
            settled[number] = run.filter(pa.array(~says_otherwise))
            counts = np.ones(len(run), np.bool_) if lost is None else ~np.isin(run["row"].to_numpy(), lost["row"].to_numpy())
            for side, found in sides.items():
                found.append(run["line"].to_numpy()[counts & (run["held_out"].to_numpy() == side)])
        trained, held = (np.unique(np.concatenate(sides[side])) for side in (False, True))
        held_out = np.union1d(held_out, np.setdiff1d(np.setdiff1d(held, trained), known))
        known = np.union1d(known, np.union1d(trained, held))
    return settled


def _larger_batches(shards: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of shards in batches of a few megabytes, made of small ones."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in (batch for shard in shards for batch in read_batches(shard)):
        if waiting and (size + batch.nbytes > BATCH_BYTES or rows + batch.num_rows > BATCH_ROWS):
            yield one_batch(pa.Table.from_batches(waiting))
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if waiting:
        yield one_batch(pa.Table.from_batches(waiting))


def _as_in(documents: Path, tokens: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of token shards in batches of as many rows as those of a document shard have."""
    table = pa.concat_tables([read_shard(path) for path in tokens])
    start = 0
    for batch in read_batches(documents, ("doc_id",)):
        yield one_batch(table.slice(start, batch.num_rows))
        start += batch.num_rows


def _failures(parts: Sequence[Part]) -> dict[str, Any]:
    told = [part.facts["failed"] for part in parts if "failed" in part.facts]
    return {"failed": "; ".join(told)} if told else {}


def _read(parts: Sequence[Part]) -> dict[str, Ledger]:
    return add_by_source([{s: Ledger.from_json(value) for s, value in part.facts["read"].items()} for part in parts])


def _sum(counts: Sequence[Counts]) -> Counts:
    """Numbers in two levels of names, added up."""
    total: dict[str, Counter[str]] = {}
    for one in counts:
        for name, inner in one.items():
            total.setdefault(name, Counter()).update(inner)
    return {name: dict(inner) for name, inner in total.items()}
