"""The model: the table of phases against counting up, sample by sample."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.phases import Phases, Stage, stages, stream_weights
from schemas.errors import RequestError
from schemas.recipe import Decoder, Pretrain

STREAMS = ["a/en", "a/zh", "b/en"]
COUNTS = {8: [7, 11, 5], 16: [3, 6, 2]}
MIXES = [{}, {"en": 1.0}, {"a/*": 1.0, "b/en": 2.0}, {"a/zh": 3.0, "en": 1.0}]


@st.composite
def tables(draw: st.DrawFn) -> list[Stage]:
    steps = sorted(draw(st.sets(st.integers(1, 30), max_size=4)))
    pick = st.tuples(st.integers(1, 6), st.sampled_from([8, 16]), st.sampled_from(MIXES))
    return [Stage(step, *draw(pick)) for step in (0, *steps)]


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 45))
def test_the_table_knows_what_counting_up_finds(table: list[Stage], steps: int) -> None:
    phases = Phases(table, STREAMS, COUNTS)
    sample, tokens, taken = 0, 0, Counter[tuple[int, int]]()
    for step in range(steps):
        row = phases.of_step(step)
        assert (phases.first_sample(step), phases.tokens(step)) == (sample, tokens)
        assert phases.epochs(step) == [sum(Fraction(taken[c, s], COUNTS[c][s]) for c in COUNTS) for s in range(len(STREAMS))]
        samples = sample + np.arange(row.batch)
        for index, stream, rank in zip(samples, *row.draw(samples), strict=True):
            assert phases.of_sample(int(index)) is row
            assert rank == taken[row.context, int(stream)]
            taken[row.context, int(stream)] += 1
        sample, tokens = sample + row.batch, tokens + row.batch * row.context


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([0.5, 1, 2, 3.5]))
def test_a_limit_of_epochs_is_the_last_step_that_keeps_it(table: list[Stage], limit: float) -> None:
    phases = Phases(table, STREAMS, COUNTS)
    if max(phases.epochs(1)) > limit:
        with pytest.raises(RequestError, match=f"epochs {limit}: the first batch already reads"):
            phases.steps_within(limit)
    else:
        steps = phases.steps_within(limit)
        assert max(phases.epochs(steps)) <= limit < max(phases.epochs(steps + 1))


def test_any_step_is_found_without_counting_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step beyond 10^9 samples takes as many numpy elements as the first: what is asked of `draw`, and a schedule's period."""
    phases = Phases([Stage(0, 4, 8, {}), Stage(10**6, 16, 8, {"en": 1.0}), Stage(10**8, 8, 16, {})], STREAMS, COUNTS)
    touched: list[int] = []
    arange, bincount = np.arange, np.bincount
    monkeypatch.setattr(np, "arange", lambda *given, **kept: touched.append(len(out := arange(*given, **kept))) or out)
    monkeypatch.setattr(np, "bincount", lambda x, **kept: touched.append(len(x)) or bincount(x, **kept))
    for step in (5, 10**8 + 10**9, 10**15):
        row, first = phases.of_step(step), phases.first_sample(step)
        stream, rank = row.draw(first + np.arange(row.batch))
        assert len(stream) == len(rank) == row.batch and phases.epochs(step)
    assert max(touched) <= max(row.schedule.period for row in phases.rows)


def test_a_phase_says_only_what_changes() -> None:
    table = stages(
        Pretrain.model_validate(
            {
                "model": {"context": 64},
                "batch": 4,
                "mix": {"en": 1},
                "phases": [{"step": 10, "mix": {"zh": 2}}, {"step": 20, "context": 32}, {"step": 30, "batch": 8, "mix": {}}],
            }
        )
    )
    assert [(s.step, s.batch, s.context, dict(s.mix)) for s in table] == [
        (0, 4, 64, {"en": 1}), (10, 4, 64, {"zh": 2}), (20, 4, 32, {"zh": 2}), (30, 8, 32, {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phases": [{"step": 5}, {"step": 5}]}, "want them to grow"),
        ({"phases": [{"step": 50}], "steps": 50}, "stay below steps"),
        ({"phases": [{"step": 5, "context": 256}]}, "context 256 is more than model.context 128"),
        ({"steps": 5, "epochs": 1}, "either steps or epochs, not both"),
        ({"steps": None}, "either steps or epochs, not neither"),
    ],
)
def test_a_table_that_cannot_be_kept_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pretrain.model_validate(settings)


def test_epochs_take_the_place_of_steps() -> None:
    settings = Pretrain(epochs=2, model=Decoder())
    assert settings.steps is None and Pretrain.model_validate(settings.model_dump(mode="json")) == settings


def test_weights_go_to_streams_as_they_have_samples() -> None:
    samples = {"a/en": 30, "a/zh": 10, "b/en": 10, "b/fr": 0}
    assert stream_weights({}, samples, 8) == {"a/en": 3, "a/zh": 1, "b/en": 1}
    assert stream_weights({"en": 1, "zh": 1}, samples, 8) == {"a/en": 3, "b/en": 1, "a/zh": 4}
    assert stream_weights({"a/*": 1, "b/en": 1}, samples, 8) == {"a/en": 3, "a/zh": 1, "b/en": 4}
    assert stream_weights({"a/en": 1, "zh": 0}, samples, 8) == {"a/en": 1}
    assert stream_weights({"b/*": 1}, samples, 8) == {"b/en": 1}
    with pytest.raises(RequestError, match="'b/fr' has no block of 9 tokens"):
        stream_weights({"b/fr": 1}, samples, 8)
    with pytest.raises(RequestError, match="'en' and 'a/\\*' both weigh 'a/en'"):
        stream_weights({"en": 1, "a/*": 1}, samples, 8)
