"""The model: the section that a *challenger* is pretrained by: a recipe's own, and what it goes on from. A retraining derives it; no
recipe has these keys.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.recipe.section import Positive
from schemas.recipe.training import Pretrain


class Challenger(Pretrain):
    """A pretraining that may have a start: a model that it goes on from, and the tokens which that knew."""

    LATER: ClassVar[frozenset[str]] = Pretrain.LATER | {"start", "replay", "max_steps"}

    start: Literal["trunk", "weights"] | None = None
    """What of the model it goes on from; null: from nothing. `epochs` are passes over the new text then."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the samples that are drawn from old text, where the tokens of before tell old from new."""
    max_steps: Positive | None = None
    """Fewer are taken, never more."""
