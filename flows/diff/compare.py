"""The model: the *difference* of two artifacts says where B is not what A is: in what decided them (settings, engines, inputs, files),
in their ledgers, and in what they hold. Each part of it is a list, or a section, that is empty where they agree.

Two artifacts are *equal* if their fingerprints and their content digests are: nothing decided them otherwise, and nothing came out
otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from flows.changed_files import changed_files
from flows.diff.rows import ASPECTS
from flows.diff.sides import compare_rows
from flows.diff.vocabulary import compare_vocabularies
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import differences
from schemas.ledger import Ledger

Json = dict[str, Any]


def compare(a: Artifact, b: Artifact, limit: int) -> Json:
    """How B differs from A; at most `limit` names of files and examples in each place.

    Raises `RequestError` for two kinds, `Damaged`, `pa.ArrowInvalid` or `OSError`, which name the file.
    """
    if a.kind != b.kind:
        raise RequestError(f"{a.reference} and {b.reference} are of two kinds: only artifacts of one kind compare")
    before, after = a.manifest.identity, b.manifest.identity
    told: Json = {
        "a": a.reference,
        "b": b.reference,
        "equal": (a.manifest.fingerprint, a.manifest.content_digest) == (b.manifest.fingerprint, b.manifest.content_digest),
        "same_content": a.manifest.content_digest == b.manifest.content_digest,
        "step": _changes({"step": before.step, "version": before.version}, {"step": after.step, "version": after.version}),
        "settings": [asdict(d) | {"path": d.path.removeprefix(".")} for d in differences(before.settings, after.settings)],
        "engines": _changes(before.engines, after.engines),
        "inputs": _changes(before.inputs, after.inputs),
        "files": [
            {"source": source, "what": what, "files": len(uris), "names": uris[:limit]}
            for (what, source), uris in changed_files(a.plan_splits(), b.plan_splits()).items()
        ],
        "ledgers": list(_ledgers(a.manifest.ledgers, b.manifest.ledgers)),
    }
    if a.kind == "tokens":
        told["tokens"] = _counts(_tokens(a), _tokens(b))
    if a.kind in ASPECTS:
        told["documents"] = compare_rows(a, b, limit)
    else:
        told["facts"] = [asdict(d) | {"path": d.path.removeprefix(".")} for d in differences(_facts(a), _facts(b))]
    if a.kind == "tokenizer":
        told["vocabulary"] = compare_vocabularies(a, b, limit)
    return told


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Json]:
    keys = sorted(old.keys() | new.keys())
    return [{"name": key, "old": old.get(key), "new": new.get(key)} for key in keys if old.get(key) != new.get(key)]


def _ledgers(old: Mapping[str, Ledger], new: Mapping[str, Ledger]) -> Iterator[Json]:
    for source in sorted(old.keys() | new.keys()):
        counts = _counts(_flat(old.get(source, Ledger())), _flat(new.get(source, Ledger())))
        yield from ({"source": source, **count} for count in counts)


def _flat(ledger: Ledger) -> dict[str, int]:
    """The counts of a ledger by name; those by reason or kind with this behind a colon."""
    names = {"rejected": "records_rejected", "cleaned": "bytes_cleaned"}
    found: dict[str, int] = {}
    for name, value in ledger.as_json().items():
        name = names.get(name, name)
        found |= {f"{name}:{key}": n for key, n in value.items()} if isinstance(value, Mapping) else {name: value}
    return found


def _counts(old: Mapping[str, int], new: Mapping[str, int]) -> list[Json]:
    """The counts that differ, in A's order and then B's."""
    pairs = {key: (old.get(key, 0), new.get(key, 0)) for key in {**old, **new}}
    return [{"count": key, "old": a, "new": b, "difference": b - a} for key, (a, b) in pairs.items() if a != b]


def _tokens(artifact: Artifact) -> dict[str, int]:
    """Tokens by language, over all subsets."""
    total: Counter[str] = Counter()
    for part in artifact.manifest.parts:
        for lang, subsets in part.facts.get("tokens", {}).items():
            total[lang] += sum(subsets.values())
    return dict(sorted(total.items()))


def _facts(artifact: Artifact) -> dict[str, Any]:
    """The facts of all parts; of a kind without rows each part is a stage."""
    return {part.stage: dict(part.facts) for part in artifact.manifest.parts}
