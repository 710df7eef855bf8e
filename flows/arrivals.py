"""The model: *arrivals* are what a listing of the sources says beside the files that a version of documents and its ancestors have read:
files that are new, changed (read before with other content) or gone, and those that wait because they are not settled.

A file is known by source and URI, and its content by digest: a file that is back at a content it had before is no news.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flows.rejects import visible
from pipelines.corpus import Listing

Named = tuple[str, str]
"""Source and URI."""

_EMPTY, _UNREADABLE = "empty", "unreadable: "
"""Contents of files that have no text."""
_NAMED = 3
"""Files of a group that are named."""


@dataclass(frozen=True)
class Arrivals:
    """By what happened to them, files in canonical order."""

    new: tuple[Named, ...]
    changed: tuple[Named, ...]
    gone: tuple[Named, ...]
    waiting: tuple[tuple[str, str, str], ...]
    """With the reason."""

    def reasons(self) -> list[str]:
        """What there is to read, in words: "2 new files in source reviews"."""
        return [f"{_count(n, what)} in source {source}" for what in ("new", "changed") for source, n in _by_source(getattr(self, what))]

    def notes(self) -> list[str]:
        """What isn't read, in words."""
        named = {(source, why): visible(uri) for source, uri, why in reversed(self.waiting)}
        named_first = [f"{uri} ({why})" for (_, why), uri in reversed(named.items())][:_NAMED]
        more = [*named_first, "..."] if len(self.waiting) > len(named_first) else named_first
        notes = [f"{_count(len(self.waiting), '')} not settled, left for next time: {', '.join(more)}"] if self.waiting else []
        return notes + [f"{_count(n, '')} of source {source} gone; what was read from them stays" for source, n in _by_source(self.gone)]

    def as_json(self) -> dict[str, Any]:
        return {
            **{what: [{"source": source, "uri": uri} for source, uri in getattr(self, what)] for what in ("new", "changed", "gone")},
            "waiting": [{"source": source, "uri": uri, "why": why} for source, uri, why in self.waiting],
        }


def compare(read: Iterable[Mapping[str, Any]], listing: Listing) -> tuple[Arrivals, Listing]:
    """Arrivals beside what some splits have read, and the listing of what there is to read.

    Empty and unreadable files are news of a version that reads others; alone they make none.
    """
    known = _contents(read)
    unread = [file for file in listing.files if file.digest not in known.get((file.source, file.uri), ())]
    to_read = replace(
        listing,
        files=tuple(unread),
        empty=tuple(place for place in listing.empty if _EMPTY not in known.get(place, ())),
        unreadable=tuple(one for one in listing.unreadable if _UNREADABLE + one[2] not in known.get(one[:2], ())),
    )
    names = [(file.source, file.uri) for file in unread]
    with_text = {name for name, contents in known.items() if not all(one == _EMPTY or one.startswith(_UNREADABLE) for one in contents)}
    present = {(file.source, file.uri) for file in listing.files}
    present |= {(one[0], one[1]) for one in (*listing.empty, *listing.unreadable, *listing.waiting)}
    arrivals = Arrivals(
        new=tuple(name for name in names if name not in with_text),
        changed=tuple(name for name in names if name in with_text),
        gone=tuple(sorted(with_text - present)),
        waiting=listing.waiting,
    )
    return arrivals, to_read


def overwritten(read: Iterable[Mapping[str, Any]], listing: Listing) -> list[str]:
    """Of files that are there, in words, how many held other text when some splits read them: whoever reads all anew doesn't find that."""
    now = {(file.source, file.uri): file.digest for file in listing.files}
    there = now.keys() | {(one[0], one[1]) for one in (*listing.empty, *listing.unreadable)}
    pieces = {(piece["source"], piece["uri"], piece["digest"]) for split in read for piece in split["pieces"]}
    names = sorted({(source, uri) for source, uri, digest in pieces if (source, uri) in there and now.get((source, uri)) != digest})
    return [f"{_count(n, '')} of source {source} read as now, not as before" for source, n in _by_source(names)]


def changed_since(splits: Iterable[Mapping[str, Any]], listing: Listing) -> list[Named]:
    """Files that some splits plan to read and that are not, or not settled, as they were planned."""
    present = {(file.source, file.uri, file.digest) for file in listing.files}
    pieces = ((piece["source"], piece["uri"], piece["digest"]) for split in splits for piece in split["pieces"])
    return list(dict.fromkeys(piece[:2] for piece in pieces if piece not in present))


def _contents(splits: Iterable[Mapping[str, Any]]) -> dict[Named, set[str]]:
    """All contents that were read under each name."""
    found: dict[Named, set[str]] = {}
    for split in splits:
        for piece in split["pieces"]:
            found.setdefault((piece["source"], piece["uri"]), set()).add(piece["digest"])
        for source, uri in split["empty"]:
            found.setdefault((source, uri), set()).add(_EMPTY)
        for source, uri, why in split["unreadable"]:
            found.setdefault((source, uri), set()).add(_UNREADABLE + why)
    return found


def _by_source(files: Iterable[Named]) -> list[tuple[str, int]]:
    return list(Counter(source for source, _ in files).items())


def _count(n: int, what: str) -> str:
    return f"{n:,} {what} file{'s' if n > 1 else ''}".replace("  ", " ")
