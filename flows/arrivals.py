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
from pipelines.leaving import files_leaving
from schemas.recipe import Corpus

Named = tuple[str, str]
"""Source and URI."""

_EMPTY, _UNREADABLE = "empty", "unreadable: "
"""Contents of files that have no text."""
_GROUPS = ("new", "changed", "gone", "leaving")
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
    leaving: tuple[Named, ...]
    """Those of the changed and the gone files of which what was read before goes, as the recipe wants it."""
    emptied: tuple[str, ...] = ()
    """Sources of the recipe that have no file any more, though some were read."""

    def reasons(self) -> list[str]:
        """What there is to read, or to drop, in words: "2 new files in source reviews"."""
        groups = {"new": self.new, "changed": self.changed, "gone": sorted(set(self.gone) & set(self.leaving))}
        return [f"{_count(n, what)} in source {source}" for what, files in groups.items() for source, n in _by_source(files)]

    def notes(self) -> list[str]:
        """What isn't read, in words."""
        named = {(source, why): visible(uri) for source, uri, why in reversed(self.waiting)}
        named_first = [f"{uri} ({why})" for (_, why), uri in reversed(named.items())][:_NAMED]
        more = [*named_first, "..."] if len(self.waiting) > len(named_first) else named_first
        notes = [f"{_count(len(self.waiting), '')} not settled, left for next time: {', '.join(more)}"] if self.waiting else []
        kept = sorted(set(self.gone) - set(self.leaving))
        return notes + [f"{_count(n, '')} of source {source} gone; what was read from them stays" for source, n in _by_source(kept)]

    def as_json(self) -> dict[str, Any]:
        return {
            **{what: [{"source": source, "uri": uri} for source, uri in getattr(self, what)] for what in _GROUPS},
            "waiting": [{"source": source, "uri": uri, "why": why} for source, uri, why in self.waiting],
        }


def compare(read: Iterable[Mapping[str, Any]], listing: Listing, corpus: Corpus) -> tuple[Arrivals, Listing]:
    """Arrivals beside what some splits have read, and the listing of what there is to read.

    Empty and unreadable files are news of a version that reads others; alone they make none, unless a file that becomes empty leaves.
    """
    known, replaces = _contents(read), corpus.changed == "replace"
    with_text = _with_text(known)

    def is_news(source: str, uri: str, content: str) -> bool:
        held = known.get((source, uri), [])
        if replaces and not content.startswith(_UNREADABLE):  # then what it held last is all that it holds
            held = [one for one in held if not one.startswith(_UNREADABLE)][-1:]
        return content not in held

    unread = [file for file in listing.files if is_news(file.source, file.uri, file.digest)]
    empty = [place for place in listing.empty if is_news(*place, _EMPTY)]
    unreadable = [one for one in listing.unreadable if is_news(one[0], one[1], _UNREADABLE + one[2])]
    names = [(file.source, file.uri) for file in unread]
    changed = [name for name in (*names, *(empty if replaces else ())) if name in with_text]
    present = {(file.source, file.uri) for file in listing.files}
    present |= {(one[0], one[1]) for one in (*listing.empty, *listing.unreadable, *listing.waiting)}
    folders = tuple(f"{source}/{uri}/" for source, uri, _ in listing.unreadable)  # who knows what is in them
    gone = sorted(name for name in with_text - present if not "/".join(name).startswith(folders))
    sources_now = {source for source, _ in present} | {source for source, _, _ in listing.unreadable}
    arrivals = Arrivals(
        new=tuple(name for name in names if name not in with_text),
        changed=tuple(changed),
        gone=tuple(gone),
        waiting=listing.waiting,
        leaving=tuple(sorted([*(changed if replaces else ()), *(gone if corpus.gone == "drop" else ())])),
        emptied=tuple(s.name for s in corpus.sources if s.name not in sources_now and any(source == s.name for source, _ in gone)),
    )
    return arrivals, replace(listing, files=tuple(unread), empty=tuple(empty), unreadable=tuple(unreadable))


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


def sources_held(splits: Iterable[Mapping[str, Any]]) -> set[str]:
    """Sources of which a version has text."""
    return {source for source, _ in _with_text(_contents(splits))}


def _with_text(known: Mapping[Named, Iterable[str]]) -> set[Named]:
    return {name for name, held in known.items() if not all(one == _EMPTY or one.startswith(_UNREADABLE) for one in held)}


def _contents(splits: Iterable[Mapping[str, Any]]) -> dict[Named, list[str]]:
    """All contents that a version has of each file, in the order in which they were read."""
    found: dict[Named, list[str]] = {}
    for split in sorted(splits, key=lambda split: split["ordinal"]):
        for leaving in files_leaving(split):
            found.pop(leaving, None)
        for piece in split["pieces"]:
            held = found.setdefault((piece["source"], piece["uri"]), [])
            if piece["digest"] in held:
                held.remove(piece["digest"])
            held.append(piece["digest"])
        for source, uri in split["empty"]:
            found.setdefault((source, uri), []).append(_EMPTY)
        for source, uri, why in split["unreadable"]:
            found.setdefault((source, uri), []).append(_UNREADABLE + why)
    return found


def _by_source(files: Iterable[Named]) -> list[tuple[str, int]]:
    return list(Counter(source for source, _ in files).items())


def _count(n: int, what: str) -> str:
    return f"{n:,} {what} file{'s' if n > 1 else ''}".replace("  ", " ")
