"""The model: the report's charts, each a pure function of figures: *lines* over steps, *lengths* (one histogram a
language on one axis), *dots* (shares by category), *intervals* (a measure with its error beside baselines), *bar*.

Series are labelled where they are drawn. Sizes are in units of the view box: a chart is `WIDTH` units wide and scales.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flows.report.facts import Curve, Lengths
from flows.report.svg import Scale, cut, drawing, element, group, label, path, spread, tick_labels, ticks, tone, x_axis, y_axis
from flows.report.wording import count, decimals, percent, plural, three_digits

WIDTH = 460.0
_LETTER = 7.9
"""Units that a letter of a label takes at most; phones show labels larger."""


@dataclass(frozen=True)
class Series:
    """A named curve in one of the page's tones."""

    name: str
    tone: int
    curve: Curve
    of: str | None = None
    """Language that it is about."""


@dataclass(frozen=True)
class Estimate:
    """A row of `intervals`: a measure, its interval, and other measures by the name that they are marked with."""

    name: str
    tone: int
    value: float
    interval: tuple[float, float]
    others: Sequence[tuple[str, float]]
    of: str | None = None
    """Language that it is about."""


def _room(names: Iterable[str]) -> float:
    """Units that the longest of the names takes, as it is drawn."""
    return max(len(cut(name)) for name in names) * _LETTER


def lines(
    key: str, title: str, series: Sequence[Series], y_name: str, *, from_zero: bool = False, band: bool = False, named: bool = True
) -> Markup:
    """Curves over steps; `band` draws the range of the values behind each mean, `named` writes names at the line ends.

    The vertical axis ends a quarter above the means, so that one outlier does not flatten the rest: what a band has above
    that is cut. Raises `ValueError` if there is nothing to draw.
    """
    shown = [s for s in series if s.curve.steps]
    if not shown:
        raise ValueError(f"chart {key!r} has no values to draw")
    left, bottom, right = 54.0, 190.0, WIDTH - (_room(s.name for s in shown) + 14 if named else 12)
    low = min(min(s.curve.lows if band else s.curve.means) for s in shown)
    high = max(max(s.curve.means) for s in shown)
    if band:
        high = min(max(max(s.curve.highs) for s in shown), high + (high - low) / 4)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    x = Scale(0.0, max(s.curve.steps[-1] for s in shown), left, right)
    y = Scale(0.0 if from_zero and low >= 0 else low - margin, high + margin, bottom, 28.0)
    across = ticks(y.low, y.high, 4)
    marks = [*y_axis(y, left, right, across, tick_labels(across), y_name), *x_axis(x, bottom, ticks(x.low, x.high), count, "step")]
    clip = element("rect", x=left - 4, y=y.end - 6, width=right - left + 8, height=y.start - y.end + 8)
    marks.append(element("clipPath", [clip], id=f"{key}-clip"))
    drawn = [group(_curve(s, x, y, band), s.of) for s in shown]
    marks.append(element("g", drawn, class_="plot", clip_path=f"url(#{key}-clip)"))
    if named:
        ends = spread([y(s.curve.means[-1]) for s in shown], 16.0, 34.0, bottom - 4)
        marks += [
            group([label(right + 8, end + 4, cut(s.name), f"series {tone(s.tone)}")], s.of) for s, end in zip(shown, ends, strict=True)
        ]
    said = "; ".join(f"{s.name} {_end(s.curve, 0)}, {_end(s.curve, -1)}" for s in shown)
    return drawing(key, WIDTH, bottom + 42, title, f"{y_name} over steps. {said}.", marks, _plot(shown, x, y))


def _curve(s: Series, x: Scale, y: Scale, band: bool) -> list[Markup]:
    at, marks = [x(step) for step in s.curve.steps], []
    if band:
        upper = [(a, y(min(b, y.high))) for a, b in zip(at, s.curve.highs, strict=True)]
        lower = [(a, y(b)) for a, b in zip(at, s.curve.lows, strict=True)]
        marks.append(path([*upper, *reversed(lower)], f"band {tone(s.tone)}"))
    points = [(a, y(b)) for a, b in zip(at, s.curve.means, strict=True)]
    marks.append(path(points, f"line {tone(s.tone)}"))
    if len(points) <= 24:
        marks += [element("circle", cx=a, cy=b, r=2.8, class_=f"dot {tone(s.tone)}") for a, b in points]
    return marks


def _plot(series: Sequence[Series], x: Scale, y: Scale) -> str:
    """The figures of `lines`, and where they are drawn, as the page's script reads them."""
    told = [
        {"name": s.name, "of": s.of, "steps": s.curve.steps, "values": [float(f"{value:.6g}") for value in s.curve.means]} for s in series
    ]
    where = {"left": x.start, "right": x.end, "low": x.low, "high": x.high, "top": y.end, "bottom": y.start}
    return json.dumps({**where, "series": told}, ensure_ascii=False, separators=(",", ":"))


def _end(curve: Curve, place: int) -> str:
    return f"{three_digits(curve.means[place])} at step {count(curve.steps[place])}"


def lengths(key: str, title: str, rows: Sequence[tuple[str, int, Lengths]]) -> Markup:
    """Histograms of document lengths, one row a language, on one logarithmic axis; the median is marked and named."""
    row_height, left = 66.0, 14.0 + _room(name for name, _, _ in rows)
    used = [i for _, _, row in rows for i, n in enumerate(row.bins) if n]
    first, last = min(used), max(used) + 1
    x = Scale(first, last, left, WIDTH - 10)
    marks, said = [], []
    for index, (name, colour, row) in enumerate(rows):
        base = (index + 1) * row_height
        y = Scale(0.0, max(row.bins), base, base - row_height + 24)
        for i, n in enumerate(row.bins):
            if n:
                note = f"{name}, {count(2**i if i else 0)} to {count(2 ** (i + 1) - 1)} characters: {plural(n, 'document')}"
                top = min(y(n), base - 1)
                box = {"x": x(i) + 0.6, "y": top, "width": x(i + 1) - x(i) - 1.2, "height": base - top}
                marks.append(element("rect", [element("title", note)], class_=f"fill {tone(colour)}", **box))
        middle = x(_log2(row.median))
        anchor = "start" if middle < left + 44 else "end" if middle > WIDTH - 56 else "middle"
        marks += [
            element("line", x1=middle, x2=middle, y1=base - row_height + 19, y2=base, class_="marker"),
            label(middle, base - row_height + 15, f"median {count(row.median)}", "value", anchor),
            element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="axis"),
            label(left - 12, base - 4, cut(name), f"series {tone(colour)}", "end"),
        ]
        four_fifths = f"four fifths from {count(row.tenth)} to {count(row.ninetieth)}, longest {count(row.longest)}"
        said.append(f"{name}: {plural(sum(row.bins), 'document')}, median {count(row.median)}, {four_fifths}")
    step = 1 if last - first <= 6 else 2 if last - first <= 12 else 4
    values = [i for i in range(first, last + 1) if i % step == 0]
    bottom = len(rows) * row_height
    marks += x_axis(x, bottom, values, lambda i: _power(int(i)), "characters in a document")
    return drawing(key, WIDTH, bottom + 40, title, "Characters a document. " + "; ".join(said) + ".", marks)


def _log2(value: int) -> float:
    """Where a length lies on the axis of bins: powers of two at the edges, linear between them."""
    exponent = max(value, 1).bit_length() - 1
    return exponent + (max(value, 1) / 2**exponent - 1)


def _power(exponent: int) -> str:
    """
    >>> [_power(i) for i in (0, 4, 10, 16, 20)]
    ['1', '16', '1,024', '65,536', '1 Mi']
    """
    return count(2**exponent) if exponent < 20 else f"{count(2 ** (exponent - 20))} Mi"


def dots(key: str, title: str, categories: Sequence[str], series: Sequence[tuple[str, int, Sequence[float]]], x_name: str) -> Markup:
    """Shares by category, one row each, a dot a series; the names of the series stand above their dots of the first row."""
    row_height, left, top = 19.0, 66.0, 26.0
    x = Scale(0.0, max(max(shares) for _, _, shares in series) * 1.04 or 1.0, left, WIDTH - 18)
    bottom = top + row_height * len(categories)
    marks = []
    for index, category in enumerate(categories):
        y = top + row_height * (index + 0.5)
        at = [x(shares[index]) for _, _, shares in series]
        marks += [
            label(left - 10, y + 4, category, "tick", "end"),
            element("line", x1=left, x2=x.end, y1=y, y2=y, class_="grid"),
            element("line", x1=min(at), x2=max(at), y1=y, y2=y, class_="range"),
        ]
        for (name, colour, shares), position in zip(series, at, strict=True):
            note = element("title", f"{category} in {name}: {percent(shares[index])}")
            marks.append(element("circle", [note], cx=position, cy=y, r=4.6, class_=f"dot {tone(colour)}"))
    wide = _room(name for name, _, _ in series) + 8
    names = spread([x(shares[0]) for _, _, shares in series], wide, left + wide / 2, WIDTH - wide / 2)
    marks += [
        label(at, top - 6, cut(name), f"series {tone(colour)}", "middle") for (name, colour, _), at in zip(series, names, strict=True)
    ]
    marks += x_axis(x, bottom + 3, ticks(0, x.high), lambda value: f"{value * 100:.3g} %", x_name)
    said = (f"{name}: " + ", ".join(f"{c} {percent(s)}" for c, s in zip(categories, shares, strict=True)) for name, _, shares in series)
    return drawing(key, WIDTH, bottom + 44, title, f"{x_name}. {'; '.join(said)}.", marks)


def intervals(key: str, title: str, rows: Sequence[Estimate], x_name: str, named: bool = True) -> Markup:
    """A measure a row, as a dot with its interval; the others as open squares; `named`: all of them above the first row."""
    row_height, left, top = 32.0 if named else 24.0, 14.0 + _room(row.name for row in rows), 30.0 if named else 4.0
    values = [v for row in rows for v in (row.value, *row.interval, *(value for _, value in row.others))]
    margin = (max(values) - min(values)) * 0.06 or 0.1
    x = Scale(min(values) - margin, max(values) + margin, left, WIDTH - 12)
    bottom = top + row_height * len(rows)
    marks, said = _names_above(rows[0], x, top + row_height / 2) if named else [], []
    for index, row in enumerate(rows):
        y = top + row_height * (index + 0.5)
        own = [label(left - 12, y + 4, cut(row.name), f"series {tone(row.tone)}", "end")]
        own += [element("line", x1=left, x2=x.end, y1=y, y2=y, class_="grid")]
        for name, value in row.others:
            note = element("title", f"{row.name}, {name}: {decimals(value, 3)}")
            own.append(element("rect", [note], x=x(value) - 4.5, y=y - 4.5, width=9.0, height=9.0, class_="open"))
        own.append(element("line", x1=x(row.interval[0]), x2=x(row.interval[1]), y1=y, y2=y, class_=f"whisker {tone(row.tone)}"))
        note = element("title", f"{row.name}: {decimals(row.value, 3)}")
        own.append(element("circle", [note], cx=x(row.value), cy=y, r=5.0, class_=f"dot {tone(row.tone)}"))
        marks.append(group(own, row.of))
        said.append(f"{row.name} {decimals(row.value, 3)}" + "".join(f", {name} {decimals(value, 3)}" for name, value in row.others))
    values = ticks(x.low, x.high)
    marks += x_axis(x, bottom + 2, values, tick_labels(values), x_name)
    return drawing(key, WIDTH, bottom + 44, title, f"{x_name}. " + "; ".join(said) + ".", marks)


def _names_above(row: Estimate, x: Scale, y: float) -> list[Markup]:
    named = [("ours", row.value), *row.others]
    wide = _room(name for name, _ in named) + 8
    places = spread([x(value) for _, value in named], wide, x.start + wide / 2, WIDTH - wide / 2)
    marks = []
    for (name, value), at in zip(named, places, strict=True):
        marks.append(element("line", x1=at, x2=x(value), y1=18.0, y2=y - 7, class_="leader"))
        marks.append(label(at, 13, cut(name), "value", "middle"))
    return marks


def bar(start: float, share: float, class_: str) -> Markup:
    """A bar for a table cell: `share` of the cell's width from `start` (both of one); the number beside it says the same."""
    box = element("rect", x=start * 1000, y=0.0, width=max(share * 1000, 3.0 if share else 0.0), height=10.0, class_=class_)
    return element("svg", [box], viewBox="0 0 1000 10", preserveAspectRatio="none", class_="bar", aria_hidden="true")
