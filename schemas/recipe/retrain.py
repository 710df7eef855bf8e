"""The model: the section that says when new text is reason enough to *retrain*, what the *challenger* learns from, and what it must show
to take the *champion*'s place. A *gate* is all that the decision rests on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.recipe.section import AtKey, Fraction, Positive, Section

Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[float, Field(gt=0)]


class Drift(Section):
    """How far new text may be from what the champion learned, before that alone is a reason. Each key is a distance; null: it is told,
    and never a reason. A distance counts only if the test beside it says that it is none of chance."""

    language: Limit | None = 0.05
    """Jensen-Shannon divergence of the mix of languages, in bits."""
    length: Limit | None = 0.2
    """Kolmogorov-Smirnov distance of the documents' lengths, in the language where it is greatest."""
    bytes_per_token: Limit | None = 0.1
    """Relative change, in the language where it is greatest."""
    rare_tokens: Limit | None = 0.05
    """Rise of the share of tokens that are unknown, or rare in what was learned."""
    pos: Limit | None = 0.02
    """Jensen-Shannon divergence of the parts of speech, in bits, in the language where it is greatest."""
    bits_per_byte: Limit | None = 0.1
    """Relative rise of the champion's bits per byte."""
    alpha: Share = 0.01
    """Of the tests, after Holm's correction."""


class Window(Section):
    """A time of the week in which no training begins and nothing is promoted."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """On which it begins."""
    start: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """UTC."""
    end: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """UTC; before `start`: on the next day."""


class Guards(Section):
    """Metrics that may not become worse by more than their margin, with non-inferiority tests; null: not guarded."""

    languages: Limit | None = 0.02
    """Relative rise of bits per byte on held-out text, of each language, old text and new."""
    tasks: Limit | None = 0.02
    """Fall of the metric that decides (in points of 0 to 1) of each task."""
    bias: Limit | None = 0.05
    """Rise of the mean score gap between groups."""
    memorisation: Limit | None = 0.02
    """Rise of the share of prompts that are gone on with as in the training text."""


class Gate(Section):
    """What a challenger must show."""

    min_gain: Annotated[float, Field(ge=0)] | None = None
    """Bits per byte on held-out text by which it must be better, at the lower end of the interval; null: twice the deviation of the
    difference between two seeds, which is measured when it is first wanted, and more if it is known from less than seven of them."""
    seeds: Annotated[int, Field(ge=2)] = 4
    """Challengers that differ by nothing but their seed, from which that deviation is measured. Of 2 it takes 6.3 deviations, of 3 2.9, of
    4 2.4."""
    on: Literal["new", "old", "both"] = "both"
    """The held-out text that the gain is measured on: of the files that came since, of those that the champion knew, or both together."""
    alpha: Share = 0.05
    """Two-sided level of the gain's interval; level of the guards' tests, after Holm's correction."""
    guards: Guards = Guards()
    max_bytes: Positive = 200_000
    """Of held-out text, of each set."""


class Retrain(Section):
    """When a champion is trained on, and what takes its place. Which documents it saw is known from its artifact."""

    after_tokens: Positive | None = 1_000_000
    """New training tokens since the champion's; null: never for their number."""
    drift: Drift | None = None
    """Distances that are a reason by themselves; null: none is."""
    at_most_every: Annotated[float, Field(ge=0)] = 86_400.0
    """Seconds from the beginning of one retraining to that of the next, whatever arrives."""
    frozen: tuple[Window, ...] = ()
    """Times in which it waits."""
    start: Literal["trunk", "weights", "scratch"] = "weights"
    """What a challenger goes on from: the champion's weights and moments as they were before its learning rate decayed
    (`pretrain.keep_trunk`); its final weights; or nothing."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the samples that are drawn from text which the champion knew; the rest is new."""
    steps: Positive | None = None
    """Null if `epochs` is given."""
    epochs: Annotated[float, Field(gt=0)] | None = 1.0
    """Passes over the new text. `scratch` takes `pretrain`'s own length."""
    max_steps: Positive | None = None
    """Budget of a retraining: fewer are taken, never more."""
    lr: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Peak learning rates, as a share of `pretrain.optimizer`'s."""
    warmup: Fraction = 0.1
    """Share of the steps in which they rise."""
    gate: Gate = Gate()
    approval: bool = False
    """Whether a challenger that passes waits for `gristmill promote`."""
    seed: int = 0

    @model_validator(mode="after")
    def _has_a_reason_and_a_length(self) -> Retrain:
        if self.after_tokens is None and self.drift is None:
            raise AtKey(("after_tokens",), "is null, and so is drift: then there is never a reason to retrain; give one of them")
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"give either steps or epochs, not {'both: set epochs to null' if self.epochs else 'neither'}")
        return self
