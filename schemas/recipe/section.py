"""The model: a *section* is a frozen, validated part of a recipe; an unknown key is an error. Here are the types that sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


def _is_name(value: str) -> str:
    if not value or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in value) or value[0] in ".-":
        raise ValueError("a name is letters, digits, '-', '_' and '.', and starts with a letter, a digit or '_'")
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


class Section(BaseModel):
    """A frozen, validated part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Keys that came after artifacts had been made."""

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
