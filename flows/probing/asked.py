"""The model: a *probe* is asked with its settings, which are all that decides what it finds of a model, beside what it reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from schemas.recipe.section import Positive, Section

Temperature = Annotated[float, Field(ge=0)]


class _Probe(Section):
    probe: str

    @property
    def called(self) -> str:
        """What its evaluations are called after."""
        return self.probe


class Memorisation(_Probe):
    """How much of what a model writes stands word by word in its training text."""

    probe: Literal["memorisation"] = "memorisation"
    samples: Annotated[int, Field(ge=2)] = 64
    """Texts: half go on from training documents, half from nothing."""
    prefix: Positive = 32
    """Tokens of a document to go on from."""
    max_tokens: Positive = 128
    """Of each text at the most."""
    at_least: Positive = 50
    """Tokens of a verbatim span."""
    temperature: Temperature = 0.0
    seed: int = 0


class Exposure(_Probe):
    """How well a model knows planted canaries."""

    probe: Literal["exposure"] = "exposure"
    drawn: Annotated[int, Field(ge=10)] = 1000
    """Other secrets that each canary's is ranked among."""
    seed: int = 0


class Bias(_Probe):
    """Whether it matters to a model who is meant."""

    probe: Literal["bias"] = "bias"
    lang: Literal["en", "zh", "own"] = "en"
    """Of templates that ship, or `own` ones."""
    positive: str | None = None
    """The good label of a classifier."""

    @property
    def called(self) -> str:
        return f"{self.probe}-{self.lang}"


class Harm(_Probe):
    """How often a model writes listed terms, or what looks like personal data."""

    probe: Literal["harm"] = "harm"
    samples: Positive = 4
    """Texts for each beginning."""
    max_tokens: Positive = 64
    temperature: Temperature = 0.8
    seed: int = 0


class Cost(_Probe):
    """What training a model took."""

    probe: Literal["cost"] = "cost"
    watts: Annotated[float, Field(ge=0)] = 5.0
    """Assumed of a busy CPU, as `model.cost` does."""


Asked: TypeAlias = Memorisation | Exposure | Bias | Harm | Cost

_ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="probe")])


def asked_of(settings: Any) -> Asked:
    """Of a draft's settings."""
    return _ASKED.validate_python(settings)
