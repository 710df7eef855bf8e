"""The model: a *gate* asks a *challenger* and the *champion* the same items. It wants a *gain*: fewer bits per byte of held-out text, by
more than what is *needed* even at the lower end of the interval. And it *guards* what must not become *worse*: for each guard there is a
*margin*, and the challenger has to show that it is not worse by that much (a non-inferiority test: the null hypothesis is that it is;
Piaggio et al. 2012). The tests of all guards are corrected together (Holm 1979), and each has to pass.

Intervals and p are of a paired bootstrap over items: what both systems said to an item is drawn together. p is the share of draws in which
the challenger is worse by the margin or more. Of few items draws lie too close together, so they are spread by as much as Student's t is
wider than the normal distribution (Hesterberg 2015).

What is needed, unless it is said, follows from challengers that differ by nothing but their seed: twice the deviation of the difference
between two of them. That is an estimate, from few; so it takes as many deviations as Student's t asks for, where that is more than two,
for a challenger that is no better to be let through by chance once in twenty times at the most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.metrics.bootstrap import DRAWS, resampled
from model.metrics.comparison import holm
from model.metrics.metric import Better, Floats, Value

STUDENT = (6.314, 2.920, 2.353, 2.132, 2.015)
"""One-sided 95 % points of Student's t with 1 to 5 degrees of freedom; with more they are below two."""
FEWEST = 10
"""Items that a gain or a guard is measured on at the least: those of fewer are too much alike in every draw."""


@dataclass(frozen=True)
class Gain:
    """What the challenger gains, in bits per byte."""

    n: int
    champion: float
    challenger: float
    gain: float
    """Above 0: the challenger needs fewer bits."""
    interval: tuple[float, float]
    needed: float

    @property
    def passed(self) -> bool:
        return self.n >= FEWEST and self.interval[0] > self.needed


@dataclass(frozen=True)
class Guarded:
    """One guard's test."""

    n: int
    champion: float
    challenger: float
    worse: float
    """By how much the challenger is worse, as a share of the champion's value if the margin is one; below 0: it is better."""
    interval: tuple[float, float]
    margin: float
    p: float
    corrected: float
    """p after Holm's correction over all guards."""

    def passed(self, alpha: float) -> bool:
        return self.corrected <= alpha


def gained(champion: Floats, challenger: Floats, value: Value, needed: float, alpha: float, seed: int) -> Gain:
    """The gain by [n, k] statistics of the same n items, of which less is better; ``alpha`` is the two-sided level of the interval."""
    one, other, drawn_one, drawn_other = _drawn(champion, challenger, value, seed)
    drawn = spread(drawn_one - drawn_other, one - other, len(champion))
    low, high = np.percentile(drawn, (50 * alpha, 100 - 50 * alpha))
    return Gain(len(champion), one, other, one - other, (float(low), float(high)), needed)


def fewest(guards: int, alpha: float) -> int:
    """Items that each of so many guards is measured on at the least: fewer can show nothing, and would bar every challenger.

    >>> fewest(12, 0.05), fewest(12, 0.001)
    (10, 14)
    """
    return max(FEWEST, math.ceil(math.log2(guards / alpha)))


def draws_for(guards: int, alpha: float) -> int:
    """So many draws that the smallest p there can be survives the correction over so many guards."""
    return max(DRAWS, math.ceil(2 * guards / alpha))


def guarded(
    champion: Floats, challenger: Floats, value: Value, better: Better, margin: float, share: bool, seed: int, draws: int = DRAWS
) -> Guarded:
    """One guard's test by [n, k] statistics of the same n items, not corrected as yet. ``share``: the margin is one of the champion's
    value, not an amount."""
    one, other, drawn_one, drawn_other = _drawn(champion, challenger, value, seed, draws)
    sign = 1.0 if better == "lower" else -1.0

    worse = sign * (other - one) / (one if share else 1.0)
    found = spread(sign * (drawn_other - drawn_one) / (drawn_one if share else 1.0), worse, len(champion))
    low, high = np.percentile(found, (2.5, 97.5))
    # Of few items, each of which may go the one way or the other, no more can be told than that.
    p = max((1 + int((found >= margin).sum())) / (1 + draws), 2.0 ** -len(champion))
    return Guarded(len(champion), one, other, worse, (float(low), float(high)), margin, p, p)


def corrected(found: Sequence[Guarded]) -> list[Guarded]:
    """The same tests, corrected over all of them."""
    return [replace(one, corrected=p) for one, p in zip(found, holm([one.p for one in found]), strict=True)]


def _drawn(champion: Floats, challenger: Floats, value: Value, seed: int, draws: int = DRAWS) -> tuple[float, float, Floats, Floats]:
    if champion.shape != challenger.shape or not len(champion):
        raise ValueError(f"statistics are {champion.shape} against {challenger.shape}: a gate wants the same items, one or more")
    width = champion.shape[1]
    sums = resampled(np.hstack([champion, challenger]), seed, draws)
    return float(value(champion.sum(0))), float(value(challenger.sum(0))), value(sums[:, :width]), value(sums[:, width:])


def spread(drawn: Floats, value: float, n: int) -> Floats:
    """Values of draws of n items, as far apart as those of so few are: around that of all items."""
    freedom, z = max(n - 1, 1), 1.959964
    # Student's t at 95 %, by the expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5).
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return value + (drawn - value) * (t / z) * math.sqrt((freedom + 1) / freedom)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of the difference between two seeds, from one value of each."""
    return math.sqrt(2) * float(np.std(values, ddof=1))


def needed_of(values: Sequence[float]) -> float:
    """The gain that is needed, from the bits per byte of two or more challengers that differ by their seeds.

    >>> round(needed_of([1.0, 1.1]), 3), round(needed_of([1.0, 1.1, 1.05]), 3)
    (0.631, 0.206)
    """
    freedom = len(values) - 1
    times = max(2.0, STUDENT[freedom - 1] if freedom <= len(STUDENT) else 2.0)
    return times * deviation(values)
