"""The model: an *objective* is what a pretraining minimises, and what of a text it hides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.recipe.section import AtKey, Section


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

    @model_validator(mode="after")
    def _keys_belong_to_the_name(self) -> Objective:
        spans = ("span_corruption", "denoising")
        names = {"share": ("masked_tokens", *spans), "whole_words": ("masked_tokens",), "next_sentence": ("masked_tokens",), "span": spans}
        for key, fitting in names.items():
            if self.name not in fitting and getattr(self, key) != type(self).model_fields[key].default:
                raise AtKey((key,), f"is a key of {', '.join(fitting)}; {self.name} has no use for it: leave it out")
        return self
