"""The model: a *section* is a frozen, validated part of a recipe; an unknown key is an error. Here are the types that sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


def _is_name(value: str) -> str:
    if not value or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in value) or value[0] in ".-":
        raise ValueError("a name is letters, digits, '-', '_' and '.', and starts with a letter, a digit or '_'")
    return value


def refuse_twins(what: str, names: list[str]) -> None:
    """Raises ValueError if two things have one name."""
    if len(set(names)) != len(names):
        raise ValueError(f"two {what} have one name: {sorted(n for n in set(names) if names.count(n) > 1)}")


Name = Annotated[str, AfterValidator(_is_name)]


class Section(BaseModel):
    """A frozen, validated part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
