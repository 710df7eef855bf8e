"""The model: an *objective* is what a pretraining minimises, and what of a text it hides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.recipe.section import Section


class Objective(Section):
    """What a model learns to predict."""

    name: Literal["next_token", "masked_tokens", "span_corruption", "denoising"]
    """next_token: of decoders. masked_tokens: of encoders (BERT's). span_corruption: of encoder-decoders (T5's); denoising: BART's."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Of the tokens that are hidden."""
    whole_words: bool = True
    """Hide words whole, as the documents' annotator found them, Chinese ones too (masked_tokens only)."""
    next_sentence: bool = False
    """Learn, too, whether a second sentence follows the first (masked_tokens with bert only)."""
    span: Annotated[float, Field(ge=1)] = 3.0
    """Mean length in tokens of what is hidden together (span_corruption and denoising only)."""
