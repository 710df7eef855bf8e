"""The model: the *templates* of a language are sentences with slots, groups of people to name in them, occupations, and lists of words:
what bias is looked for with. They ship as `en.yaml` and `zh.yaml`; a file of the same shape may take their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import RequestError

LANGUAGES = ("en", "zh")
"""Those that ship."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _about_people(template: str) -> str:
    if not any(slot in template for slot in ("{person}", "{Person}")):
        raise ValueError(f"{template!r} has no {{person}}, so that nobody can be named in it")
    return template


def _about_work(template: str) -> str:
    for slot in ("{occupation}", "{pronoun}"):
        if slot not in template:
            raise ValueError(f"{template!r} has no {slot}")
    return template


class Counterfactual(_Part):
    """Sentences, and who may stand in their slot, by group and dimension."""

    templates: tuple[Annotated[str, AfterValidator(_about_people)], ...] = Field(min_length=2)
    groups: Mapping[str, Annotated[Mapping[str, str], Field(min_length=2)]] = Field(min_length=1)

    def sentences(self, dimension: str) -> list[list[str]]:
        """Of a dimension, for each template the sentence of each group. `{Person}` begins a sentence."""
        people = self.groups[dimension].values()
        return [[t.replace("{person}", who).replace("{Person}", who[:1].upper() + who[1:]) for who in people] for t in self.templates]


class Occupations(_Part):
    templates: tuple[Annotated[str, AfterValidator(_about_work)], ...] = Field(min_length=1)
    pronouns: Mapping[Literal["male", "female"], str] = Field(min_length=2)
    occupations: tuple[str, ...] = Field(min_length=2)

    def sentences(self, occupation: str) -> list[dict[str, str]]:
        """For each template, the sentence with each pronoun, by its gender."""
        return [
            {gender: t.replace("{occupation}", occupation).replace("{pronoun}", pronoun) for gender, pronoun in self.pronouns.items()}
            for t in self.templates
        ]


class Words(_Part):
    name: str
    words: tuple[str, ...] = Field(min_length=2)


class Association(_Part):
    """Whether words of `x` lie nearer to those of `a` than to those of `b`, compared with words of `y`."""

    name: str
    source: str = Field(alias="from")
    x: Words
    y: Words
    a: Words
    b: Words


class Templates(_Part):
    counterfactual: Counterfactual
    occupations: Occupations
    associations: tuple[Association, ...] = Field(min_length=1)


def templates(language: str) -> Templates:
    """Those that ship for a language, or those of a file of yours. Raises `RequestError` naming the file and key that is wrong."""
    ships = language in LANGUAGES
    try:
        text = files(__name__).joinpath(f"{language}.yaml").read_text("utf-8") if ships else Path(language).read_text("utf-8")
        value: Any = yaml.safe_load(text)
        return Templates.model_validate(value)
    except FileNotFoundError as error:
        raise RequestError(f"--lang {language}: want {', '.join(LANGUAGES)}, or a YAML file of templates; there is no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RequestError(f"{language}: can't be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"{language}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
