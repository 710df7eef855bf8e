"""The model: an *identity* holds all that decides a step's output: step, version of its code, settings, engines, and
the content digests of its inputs. Its *fingerprint* is the SHA-256 of the identity in canonical JSON.

Two runs with equal fingerprints make equal artifacts. `explain` says in words how two identities differ.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import xxhash

_BLOCK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN and infinity are errors."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_file(path: str | os.PathLike[str]) -> str:
    """xxh3-128 of a file's bytes, in hex: finds damage, makes no claim against an attacker."""
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


@dataclass(frozen=True)
class Identity:
    """What decides a step's output; see the module."""

    step: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Content digest by role."""
    engines: Mapping[str, str]
    """Versions of libraries, weights and data files by name."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Identity:
        return cls(**value)

    @property
    def fingerprint(self) -> str:
        return digest_json(self.as_json())


def explain(before: Identity, after: Identity, section: str) -> list[str]:
    """Say how `after` differs from `before`, one phrase a difference; `section` is the recipe section of the settings.

    >>> a = Identity("s", 1, {"rules": {"min_words": 50}}, {}, {})
    >>> b = Identity("s", 1, {"rules": {"min_words": 30}}, {}, {})
    >>> explain(a, b, "corpus")
    ['recipe corpus.rules.min_words 50 -> 30']
    """
    phrases = []
    if before.version != after.version:
        phrases.append(f"version of step {after.step} {before.version} -> {after.version}")
    phrases += [f"recipe {section}{difference}" for difference in differences(before.settings, after.settings)]
    for what, a, b in (("input", before.inputs, after.inputs), ("engine", before.engines, after.engines)):
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                old_value, new_value = (_short(x.get(key, "none")) for x in (a, b))
                phrases.append(f"{what} {key} {old_value} -> {new_value}")
    return phrases


@dataclass(frozen=True)
class Difference:
    """A place where two settings differ; `old` or `new` is None too where the key is not there, and `what` tells."""

    path: str
    """From the root, as a reader would write it: `.rules.en.min_words`, `.sources[web].lang`."""
    what: Literal["changed", "added", "removed"]
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.what == "added":
            return f"{self.path} added: {_short(self.new)}"
        if self.what == "removed":
            return f"{self.path} removed (was {_short(self.old)})"
        return f"{self.path} {_short(self.old)} -> {_short(self.new)}"


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Where two JSON values differ, as deep as both have the key; a section that came or went is one difference."""
    old, new = _children(before), _children(after)
    if old is None or new is None:
        if before != after:
            yield Difference(path, "changed", before, after)
        return
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            yield Difference(path + key, "added", None, new[key])
        elif key not in new:
            yield Difference(path + key, "removed", old[key], None)
        else:
            yield from differences(old[key], new[key], path + key)


def _children(value: Any) -> dict[str, Any] | None:
    """What is inside a section, by key as a reader would write it; None for a plain value or a list of such."""
    if isinstance(value, Mapping):
        return {f".{key}": inner for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list, tuple)) for v in value):
        return {f"[{v['name'] if isinstance(v, Mapping) and 'name' in v else n}]": v for n, v in enumerate(value)}
    return None


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        value = {k: v for k, v in value.items() if v is not None}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) in (32, 64) and all(c in "0123456789abcdef" for c in text):
        return text[:8]
    return text if len(text) <= 60 else text[:57] + "..."


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; `ValueError` names the file and the place if it is damaged."""
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
