"""The model: an *origin group* is what must fall into one subset together: equal reviews, or all that comes from one
module. The group is a hash of its *origin key*, and the *subset* a function of the group alone.

The key says nothing of the source, so that two sources can share groups.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Sequence

import orjson
import xxhash

from schemas.recipe import HeldOut


def doc_ids(source: str, uris: Sequence[str], records: Sequence[int], digests: Sequence[bytes]) -> list[bytes]:
    """xxh3-128 of source, uri, record and digest of the raw record, the strings with their lengths before them."""
    name = source.encode()
    start = struct.pack("<I", len(name)) + name
    ids = []
    for uri, record, digest in zip(uris, records, digests, strict=True):
        place = uri.encode()
        ids.append(xxhash.xxh3_128_digest(start + struct.pack("<I", len(place)) + place + struct.pack("<q", record) + digest))
    return ids


def origin_groups(origin: str, texts: Sequence[str], uris: Sequence[str], extras: Sequence[str | None]) -> list[int]:
    """The origin group of each document; `origin` is `text`, `uri` or `extra.KEY`.

    A text is normalised (NFKC, case folded, letters and digits alone), or taken as it is if nothing of it is left. A
    document without the key in its extra is a group of its own uri.
    """
    if origin == "text":
        keys = [_normalised(text) or text for text in texts]
    elif origin == "uri":
        keys = list(uris)
    else:
        name = origin.removeprefix("extra.")
        keys = [_value(extra, name) or uri for extra, uri in zip(extras, uris, strict=True)]
    return [xxhash.xxh3_64_intdigest(key.encode()) for key in keys]


def subset_of(group: int, held_out: HeldOut) -> str:
    """The subset of a group: its hash, as a fraction, lies below `test`, below `test + validation`, or above both."""
    drawn = xxhash.xxh3_64_intdigest(struct.pack("<Q", group)) / 2**64
    if drawn < held_out.test:
        return "test"
    return "validation" if drawn < held_out.test + held_out.validation else "train"


def _normalised(text: str) -> str:
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())))


def _value(extra: str | None, key: str) -> str:
    value = orjson.loads(extra).get(key) if extra else None
    return "" if value is None else value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
