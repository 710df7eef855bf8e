"""The model: an *archive* holds *members*, files with names of their own; each is read as a file of the source's format
would be, under the URI ``a.zip!/name``.

What isn't read is a reject under that name, with a reason: `unsafe_path` (it climbs, or is absolute), `nested_archive`,
`encrypted`, `not_a_file` (links, devices, sparse files), `duplicate_member`, `unsupported_compression`. Folders, headers
and padding are no records. An archive that can't be opened is one reject that owns its stored bytes.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

import xxhash

from pipelines.places import ARCHIVES
from pipelines.sources.entries import NOTHING, fault_of_name
from pipelines.sources.records import Record, member_uri
from pipelines.sources.streams import Characters, Member, StoredFile
from pipelines.sources.tars import tar_entries
from pipelines.sources.zips import zip_entries
from schemas.recipe import Source


def is_archive(uri: str) -> bool:
    """Whether a name is an archive's."""
    return uri.lower().endswith(ARCHIVES)


def open_members(file: StoredFile, source: Source, characters: Characters) -> Iterator[Member | Record]:
    """The members of an archive that the source includes, in stored order, and the rejects between them.

    Of a member, all must be read before the next is asked for.
    """
    seen: set[int] = set()
    for entry in zip_entries(file) if file.uri.lower().endswith(".zip") else tar_entries(file):
        if isinstance(entry, Record):
            yield entry
            continue
        uri = member_uri(file.uri, entry.name)
        included = any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in source.members)
        if not included or any(fnmatch.fnmatchcase(uri, pattern) for pattern in source.exclude):
            continue
        name = xxhash.xxh3_64_intdigest(entry.name.encode())
        fault = fault_of_name(entry.name) or entry.fault
        if fault is None and is_archive(entry.name):
            fault = "nested_archive", "archives in archives are not opened"
        if fault is None and name in seen:
            fault = "duplicate_member", "another one of this name stands before it"
        seen.add(name)
        if fault:
            yield Record(0, 0, NOTHING, b"", fault=fault, member=entry.name)
        else:
            yield Member(file, entry.name, entry.blocks(), characters, entry.blocks if entry.again else None)
