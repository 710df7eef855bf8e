"""The model: a *verdict* is a comparison in words. Metrics that are shares of one are told as such and differ by points of a hundred; BLEU
and its like are of a hundred already; losses have no points."""

from __future__ import annotations

from model.metrics.comparison import Comparison

OF_A_HUNDRED = ("bleu", "chrf", "ter")
_AMOUNTS = ("loss", "perplexity", "bits_per_byte")
_COUNTS = ("operations", "seconds", "tokens", "peak_bytes", "tries")


def verdict(found: Comparison, a: str, b: str) -> str:
    """One sentence; `a` and `b` are the names of the systems."""
    one, other = told(found.metric, found.a), told(found.metric, found.b)
    if found.winner == "b":
        head = f"{b} is better than {a} on {found.task}: {found.metric} {other} against {one}"
    elif found.winner == "a":
        head = f"{a} is better than {b} on {found.task}: {found.metric} {one} against {other}"
    else:
        head = f"no difference can be told between {a} and {b} on {found.task}: {found.metric} {one} against {other}"
    low, high = found.interval
    difference = found.difference
    if found.winner == "b":  # told from the better one's side
        difference, low, high = -difference, -high, -low
    scale, digits, unit = _points(found.metric)
    numbers = [_signed(number * scale, digits) for number in (difference, low, high)]
    return f"{head}, difference {numbers[0]}{unit}, 95 % interval {numbers[1]} to {numbers[2]}, {found.test} {_p(found)}"


def told(metric: str, value: float) -> str:
    """A value as it is shown everywhere.

    >>> told("accuracy", 0.86143), told("bleu", 23.456), told("perplexity", 1234.5678)
    ('0.861', '23.5', '1234.57')
    """
    if metric in OF_A_HUNDRED:
        return f"{value:.1f}"
    if metric in _COUNTS:
        return f"{value:.3g}" if value >= 1e9 else f"{value:,.0f}"
    if metric == "kilowatt_hours":
        return f"{value:.3g}"
    return f"{value:.2f}" if metric == "perplexity" else f"{value:.3f}"


def _points(metric: str) -> tuple[float, int, str]:
    """What a difference is multiplied by, its digits after the point, and its unit."""
    if metric in _AMOUNTS:
        return 1, 2 if metric == "perplexity" else 3, ""
    return (1 if metric in OF_A_HUNDRED else 100), 1, " points"


def _signed(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text


def _p(found: Comparison) -> str:
    p, corrected = told_p(found.p), told_p(found.corrected)
    said = f"p {p}" if p.startswith("<") else f"p = {p}"
    return said if p == corrected else f"{said} ({corrected} after Holm's correction)"


def told_p(p: float) -> str:
    """
    >>> told_p(0.0123), told_p(0.0002)
    ('0.012', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
