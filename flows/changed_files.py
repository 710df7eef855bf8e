"""The model: the *changed files* between two plans are those that are new, removed, or of other content, by source.

A file that cannot be read, or has no byte, has that as its content: a file that was emptied is a changed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.leaving import files_leaving


def changed_files(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """URIs in order by (what, source), `what` being new, removed or changed; from the splits of two plans."""
    old, new = _contents(before), _contents(after)
    groups: dict[tuple[str, str], list[str]] = {}
    for source, uri in sorted(old.keys() | new.keys()):
        if old.get((source, uri)) != new.get((source, uri)):
            what = "new" if (source, uri) not in old else "removed" if (source, uri) not in new else "changed"
            groups.setdefault((what, source), []).append(uri)
    return dict(sorted(groups.items()))


def _contents(splits: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for split in sorted(splits, key=lambda split: split["ordinal"]):
        for leaving in files_leaving(split):
            found.pop(leaving, None)
        found |= {(piece["source"], piece["uri"]): piece["digest"] for piece in split["pieces"]}
        found |= {tuple(place): "empty" for place in split["empty"]}
        found |= {(source, uri): f"unreadable: {why}" for source, uri, why in split["unreadable"]}
    return found
