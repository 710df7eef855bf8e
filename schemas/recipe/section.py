"""The model: a *section* is a frozen, validated part of a recipe; an unknown key is an error. Here are the types that sections share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


NAMES = "a name is letters, digits, '-', '_' and '.', and starts with a letter, a digit or '_'"


def is_name(value: str) -> bool:
    """Whether a text may name something: it then is one part of a path, and nothing else."""
    return bool(value) and all(c.isascii() and (c.isalnum() or c in "-_.") for c in value) and value[0] not in ".-"


def _is_name(value: str) -> str:
    if not is_name(value):
        raise ValueError(NAMES)
    return value


class AtKey(ValueError):
    """What is wrong with a value that only a section above it can tell: `at` is the value's key, from that section on."""

    def __init__(self, at: tuple[str | int, ...], what: str) -> None:
        super().__init__(f"{dotted(at)}: {what}")
        self.at, self.what = at, what


def dotted(location: Sequence[str | int]) -> str:
    """A key as people write it: `corpus.sources[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def refuse_twins(key: str, what: str, names: list[str]) -> None:
    """Raises `AtKey` if two things in the list at `key` have one name."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise AtKey((key, number, "name"), f"two {what} have one name, {name!r}")


Name = Annotated[str, AfterValidator(_is_name)]


_SECRET = re.compile(
    r"://[^/@\s]*:[^/@\s]*@"
    r"|://\S*[?&;](?:[^=&;\s]*(?:token|secret|passw|signature|credential|api[-_]?key|access[-_]?key)[^=&;\s]*|sig|key|auth|pwd)=",
    re.IGNORECASE,
)
"""A password before a URL's host, or a query that signs it."""


def _strings(value: Any) -> Iterator[str]:
    """All strings in a value, but for those of sections in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _strings(one)


class Section(BaseModel):
    """A frozen, validated part of a recipe; unknown keys are errors, and so are secrets in URLs: what a recipe says is written into
    manifests, logs and the server of its runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Keys that came after artifacts had been made."""

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Section:
        for key in type(self).model_fields:
            if any(_SECRET.search(text) for text in _strings(getattr(self, key))):
                raise AtKey(
                    (key,),
                    "has a password or a token in its URL, and a recipe is kept and shown in many places: leave it out, and give it by the "
                    "environment, or by fsspec's configuration (docs/deploying.md)",
                )
        return self

    def as_json(self) -> dict[str, Any]:
        """For identities: without later keys at their defaults, as what was made before they came is made by the same settings."""
        told = self.model_dump(mode="json")
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key in self.LATER and value == field.default:
                del told[key]
            elif isinstance(value, Section):
                told[key] = value.as_json()
        return told
