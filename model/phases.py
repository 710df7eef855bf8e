"""The model: a run goes through *phases*: from its first step on, a phase takes samples from streams by its weights, with its
window and its batch. Streams go on where the phase before left them, as long as the window stays; another window cuts the text
anew, and its count of epochs begins anew with it.

Which stream and which of its samples a global sample index means is arithmetic on this table: nothing is counted up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from model.order import Schedule, integer_weights
from schemas.errors import RequestError
from schemas.recipe import Pretrain

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """A row of the table, as a recipe says it: all that holds from one step on."""

    step: int
    batch: int
    context: int
    mix: Mapping[str, float]


def stages(settings: Pretrain) -> list[Stage]:
    """The phases of a recipe in full: what one doesn't say is as in the phase before it."""
    found = [Stage(0, settings.batch, settings.model.context, settings.mix)]
    for phase in settings.phases:
        before = found[-1]
        mix = before.mix if phase.mix is None else phase.mix
        found.append(Stage(phase.step, phase.batch or before.batch, phase.context or before.context, mix))
    return found


def stream_weights(mix: Mapping[str, float], samples: Mapping[str, int], context: int) -> dict[str, int]:
    """Integer weights of streams. A key of ``mix`` is a stream, or a language or `source/*`, whose streams share its weight as
    they have samples; an empty mix weighs every stream so. Raises RequestError naming a key that has no text or too much.
    """
    if not mix:
        return integer_weights({stream: float(count) for stream, count in samples.items() if count})
    shares: dict[str, float] = {}
    taken: dict[str, str] = {}
    for key, weight in mix.items():
        streams = {stream: samples[stream] for stream in samples if matches(key, stream)}
        total = sum(streams.values())
        if weight > 0 and not total:
            have = ", ".join(f"{name} {count:,}" for name, count in samples.items()) or "none"
            raise RequestError(f"mix: {key!r} has no block of {context + 1} tokens to train on (blocks: {have}): change mix or the corpus")
        for stream, count in streams.items():
            if stream in taken:
                raise RequestError(f"mix: {taken[stream]!r} and {key!r} both weigh {stream!r}: let one of them go")
            taken[stream] = key
            if count or weight <= 0:
                shares[stream] = weight * count / total if total else weight
    return integer_weights(shares)


def matches(key: str, stream: str) -> bool:
    """Whether a key of a mix means a stream."""
    source, slash, lang = stream.rpartition("/")
    return key in (stream, lang) or (bool(slash) and key == f"{source}/*")


def names_sources(mixes: Sequence[Mapping[str, float]]) -> bool:
    """Whether some mix weighs sources, so that streams are to be by source and language."""
    return any("/" in key for mix in mixes for key in mix)


@dataclass(frozen=True)
class Phase:
    """A row of the table, with where it stands in the run."""

    step: int
    sample: int
    """Global index of its first sample."""
    batch: int
    context: int
    streams: Ints
    """Numbers of the streams that it takes from."""
    schedule: Schedule
    before: Ints
    """[streams it takes from] samples that earlier phases took with this window."""

    def draw(self, samples: Ints) -> tuple[Ints, Ints]:
        """Global sample indices of this phase -> numbers of their streams, and how many samples those gave before them."""
        turn, rank = self.schedule.at(samples - self.sample)
        return self.streams[turn], self.before[turn] + rank


class Phases:
    """The table of a run's phases."""

    def __init__(self, stages: Sequence[Stage], streams: Sequence[str], counts: Mapping[int, Sequence[int]]) -> None:
        """``counts``: samples of each stream, by context. Raises RequestError naming a weight that can't be kept."""
        self._counts = counts
        self.rows: list[Phase] = []
        self._drawn: list[dict[int, Ints]] = []  # at each phase's start: samples taken of each stream, by context
        sample, drawn = 0, {context: np.zeros(len(streams), dtype=np.int64) for context in counts}
        for number, stage in enumerate(stages):
            samples = dict(zip(streams, counts[stage.context], strict=True))
            weights = stream_weights(stage.mix, samples, stage.context)
            chosen = [at for at, stream in enumerate(streams) if stream in weights]
            schedule = Schedule([weights[streams[at]] for at in chosen])
            taken = np.array(chosen, dtype=np.int64)
            self.rows.append(Phase(stage.step, sample, stage.batch, stage.context, taken, schedule, drawn[stage.context][taken]))
            self._drawn.append(drawn)
            if number + 1 < len(stages):
                sample += (stages[number + 1].step - stage.step) * stage.batch
                drawn = self._after(number, sample)
        self._steps = [phase.step for phase in self.rows]
        self._samples = [phase.sample for phase in self.rows]

    def of_step(self, step: int) -> Phase:
        return self.rows[bisect_right(self._steps, step) - 1]

    def of_sample(self, sample: int) -> Phase:
        return self.rows[bisect_right(self._samples, sample) - 1]

    def rows_of_samples(self, samples: Ints) -> Ints:
        """Numbers of the phases of samples."""
        return np.searchsorted(self._samples, samples, side="right") - 1

    def first_sample(self, step: int) -> int:
        """Global index of a step's first sample: how many samples the steps before it took."""
        phase = self.of_step(step)
        return phase.sample + (step - phase.step) * phase.batch

    def tokens(self, step: int) -> int:
        """Tokens that are predicted in the steps before ``step``, filling included."""
        ends = [*self._steps[1:], step]
        rows = zip(self.rows, ends, strict=True)
        return sum(max(min(end, step) - row.step, 0) * row.batch * row.context for row, end in rows)

    def epochs(self, step: int) -> list[Fraction]:
        """How often each stream was read before ``step``, over all windows."""
        sample = self.first_sample(step)
        drawn = self._after(bisect_right(self._samples, sample) - 1, sample)
        totals = [Fraction(0)] * len(next(iter(drawn.values())))
        for context, counts in self._counts.items():
            totals = [
                total + Fraction(int(taken), count) if taken else total
                for total, taken, count in zip(totals, drawn[context], counts, strict=True)
            ]
        return totals

    def steps_within(self, epochs: float) -> int:
        """The most steps that read no stream more than ``epochs`` times. Raises RequestError if that is none."""
        limit, low, high = Fraction(epochs), 0, 1
        while max(self.epochs(high)) <= limit:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if max(self.epochs(middle)) <= limit else (low, middle)
        if not low:
            raise RequestError(f"epochs {epochs}: the first batch already reads some text more often: lower batch or raise epochs")
        return low

    def steps_over(self, streams: Sequence[int], passes: float) -> int:
        """The fewest steps whose samples of these streams are ``passes`` times as many as these have, over all windows."""
        limit, high = Fraction(passes), 1
        while self._passes(streams, high) < limit:
            high *= 2
        return 1 + bisect_left(range(1, high), True, key=lambda step: self._passes(streams, step) >= limit)

    def _passes(self, streams: Sequence[int], step: int) -> Fraction:
        """How often these streams, taken together, were read before ``step``."""
        sample = self.first_sample(step)
        drawn = self._after(bisect_right(self._samples, sample) - 1, sample)
        pairs = [(int(drawn[context][streams].sum()), sum(counts[at] for at in streams)) for context, counts in self._counts.items()]
        return sum((Fraction(taken, count) for taken, count in pairs if taken), Fraction(0))

    def _after(self, number: int, sample: int) -> dict[int, Ints]:
        """Samples taken of each stream, by context, before a sample of phase ``number`` (or the first of the next)."""
        phase, drawn = self.rows[number], dict(self._drawn[number])
        drawn[phase.context] = drawn[phase.context].copy()
        drawn[phase.context][phase.streams] += phase.schedule.dealt(sample - phase.sample)
        return drawn
