"""The model: the report's charts, each a pure function of figures: *lines* over steps, *lengths* (one histogram a
language on one axis), *dots* (shares by category), *intervals* (a measure with its error beside baselines), *bar*.

Series are labelled where they are drawn. Sizes are in units of the view box; a chart is drawn 460 units wide and scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flows.report.facts import Curve, Lengths
from flows.report.svg import Scale, drawing, element, label, path, spread, ticks, tone, x_axis, y_axis
from flows.report.wording import count, decimals, percent, short, three_digits

WIDTH = 460.0
_LEFT = 52.0


@dataclass(frozen=True)
class Series:
    """A named curve in one of the page's tones."""

    name: str
    tone: int
    curve: Curve


@dataclass(frozen=True)
class Estimate:
    """A row of `intervals`: a measure, its interval, and other measures by the name that they are marked with."""

    name: str
    tone: int
    value: float
    interval: tuple[float, float] | None
    others: Sequence[tuple[str, float]]


def lines(
    key: str,
    title: str,
    series: Sequence[Series],
    y_name: str,
    *,
    write: Callable[[float], str] = three_digits,
    from_zero: bool = False,
    band: bool = False,
    named: bool = True,
    x_name: str = "step",
    height: float = 260.0,
) -> Markup:
    """Curves over steps; `band` draws the range of the values behind each mean, `named` writes names at the line ends.

    Without a band, the axis covers the means. The first tenth of the steps may rise above the axis of a loss: it is cut
    at the highest mean, never at the lowest.
    """
    shown = [s for s in series if s.curve.steps]
    if not shown:
        raise ValueError(f"chart {key!r} has no values to draw")
    right = WIDTH - (max(len(s.name) for s in shown) * 6.6 + 18 if named else 14)
    low = min(min(s.curve.lows if band else s.curve.means) for s in shown)
    high = max(max(s.curve.means) for s in shown)
    low = min(0.0, low) if from_zero else low
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    x = Scale(0.0, max(max(s.curve.steps) for s in shown), _LEFT, right)
    y = Scale(low - (0.0 if from_zero and low == 0 else margin), high + margin, height - 46, 34.0)
    marks = [
        *y_axis(y, _LEFT, right, ticks(y.low, y.high), write, y_name),
        *x_axis(x, height - 46, ticks(x.low, x.high, 4), count, x_name),
    ]
    for s in shown:
        points = [(x(a), y(b)) for a, b in zip(s.curve.steps, s.curve.means, strict=True)]
        if band:
            upper = [(x(a), y(min(b, y.high))) for a, b in zip(s.curve.steps, s.curve.highs, strict=True)]
            lower = [(x(a), y(b)) for a, b in zip(s.curve.steps, s.curve.lows, strict=True)]
            marks.append(path([*upper, *reversed(lower)], f"band {tone(s.tone)}"))
        marks.append(path(points, f"line {tone(s.tone)}"))
        if len(points) <= 24:
            marks += [element("circle", cx=a, cy=b, r=2.6, class_=f"dot {tone(s.tone)}") for a, b in points]
    if named:
        ends = spread([y(s.curve.means[-1]) for s in shown], 15.0, 40.0, height - 52)
        marks += [label(right + 8, end + 4, s.name, f"series {tone(s.tone)}") for s, end in zip(shown, ends, strict=True)]
    said = "; ".join(
        f"{s.name}: {write(s.curve.means[0])} at step {count(s.curve.steps[0])}, {write(s.curve.means[-1])} at step {count(s.curve.steps[-1])}"
        for s in shown
    )
    return drawing(key, WIDTH, height, title, f"{y_name} over {x_name}. {said}.", marks)


def lengths(key: str, title: str, rows: Sequence[tuple[str, int, Lengths]]) -> Markup:
    """Histograms of document lengths, one row a language, on one logarithmic axis; the median is marked and named."""
    row_height, top = 84.0, 6.0
    used = [i for _, _, row in rows for i, n in enumerate(row.bins) if n]
    first, last = min(used), max(used) + 1
    x = Scale(first, last, 8.0, WIDTH - 8)
    marks, said = [], []
    for index, (name, colour, row) in enumerate(rows):
        base = top + (index + 1) * row_height
        documents = sum(row.bins)
        y = Scale(0.0, max(row.bins), base, base - row_height + 34)
        for i, n in enumerate(row.bins):
            if n:
                note = element("title", f"{name}, {count(2**i)} to {count(2 ** (i + 1) - 1)} characters: {count(n)} documents")
                box = {"x": x(i) + 0.75, "y": min(y(n), base - 1), "width": x(i + 1) - x(i) - 1.5}
                marks.append(element("rect", [note], **box, height=base - box["y"], class_=f"fill {tone(colour)}"))
        middle = x(_log2(row.median))
        marks += [
            element("line", x1=middle, x2=middle, y1=base - row_height + 28, y2=base, class_="marker"),
            label(middle, base - row_height + 22, f"median {count(row.median)}", "value", _anchor(middle)),
            element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="axis"),
            label(8 if middle > WIDTH / 2.6 else WIDTH - 8, base - row_height + 22, name, f"series {tone(colour)}", _side(middle)),
        ]
        said.append(
            f"{name}: {count(documents)} documents, median {count(row.median)}, "
            f"four fifths between {count(row.tenth)} and {count(row.ninetieth)}, longest {count(row.longest)}"
        )
    bottom = top + len(rows) * row_height
    step = 1 if last - first <= 7 else 2 if last - first <= 14 else 4
    values = [i for i in range(first, last + 1) if i % step == 0]
    marks += x_axis(x, bottom, values, lambda i: _power(int(i)), "characters in a document (each bar doubles the length)")
    return drawing(key, WIDTH, bottom + 42, title, "Characters a document. " + "; ".join(said) + ".", marks)


def _log2(value: int) -> float:
    """Where a length lies on the axis of bins: exact powers of two at the bin edges, linear inside a bin."""
    exponent = max(value, 1).bit_length() - 1
    return exponent + (max(value, 1) / 2**exponent - 1)


def _anchor(x: float) -> str:
    return "start" if x < 60 else "end" if x > WIDTH - 60 else "middle"


def _side(middle: float) -> str:
    return "start" if middle > WIDTH / 2.6 else "end"


def _power(exponent: int) -> str:
    if exponent < 10:
        return str(2**exponent)
    return f"{2 ** (exponent % 10)}{' kM'[exponent // 10]}" if exponent < 30 else f"2^{exponent}"


def dots(key: str, title: str, categories: Sequence[str], series: Sequence[tuple[str, int, Sequence[float]]], x_name: str) -> Markup:
    """Shares by category, one row each, a dot a series; the first row's dots carry the names of the series."""
    row_height, left, top = 20.0, 62.0, 30.0
    high = max(max(shares) for _, _, shares in series)
    x = Scale(0.0, high * 1.04 or 1.0, left, WIDTH - 16)
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
            marks.append(element("circle", [note], cx=position, cy=y, r=4.5, class_=f"dot {tone(colour)}"))
    wide = max(len(name) for name, _, _ in series) * 7.4 + 8
    names = spread([x(shares[0]) for _, _, shares in series], wide, left + wide / 2, WIDTH - wide / 2)
    marks += [label(at, top - 6, name, f"series {tone(colour)}", "middle") for (name, colour, _), at in zip(series, names, strict=True)]
    marks += x_axis(x, bottom + 4, ticks(0, x.high), lambda value: f"{value * 100:.3g} %", x_name)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{c} {percent(s)}" for c, s in zip(categories, shares, strict=True)) for name, _, shares in series
    )
    return drawing(key, WIDTH, bottom + 46, title, f"{x_name}. {said}.", marks)


def intervals(key: str, title: str, rows: Sequence[Estimate], x_name: str) -> Markup:
    """A measure a row, as a dot with its interval; the others as open marks, named in the first row."""
    row_height, left, top = 34.0, 12.0 + max(len(row.name) for row in rows) * 6.9, 34.0
    values = [v for row in rows for v in (row.value, *(row.interval or ()), *(value for _, value in row.others))]
    margin = (max(values) - min(values)) * 0.06 or 0.1
    x = Scale(min(values) - margin, max(values) + margin, left, WIDTH - 14)
    bottom = top + row_height * len(rows)
    marks, said = [], []
    for index, row in enumerate(rows):
        y = top + row_height * (index + 0.5)
        marks += [label(left - 10, y + 4, row.name, f"series {tone(row.tone)}", "end")]
        marks += [element("line", x1=left, x2=x.end, y1=y, y2=y, class_="grid")]
        for name, value in row.others:
            note = element("title", f"{row.name}, {name}: {decimals(value, 3)}")
            marks.append(element("rect", [note], x=x(value) - 4.5, y=y - 4.5, width=9.0, height=9.0, class_="open"))
        if row.interval:
            marks.append(element("line", x1=x(row.interval[0]), x2=x(row.interval[1]), y1=y, y2=y, class_=f"whisker {tone(row.tone)}"))
        note = element("title", f"{row.name}: {decimals(row.value, 3)}")
        marks.append(element("circle", [note], cx=x(row.value), cy=y, r=5.0, class_=f"dot {tone(row.tone)}"))
        said.append(f"{row.name} {decimals(row.value, 3)}" + "".join(f", {name} {decimals(value, 3)}" for name, value in row.others))
    first = rows[0]
    named = [("ours", first.value), *first.others]
    wide = max(len(name) for name, _ in named) * 6.6 + 10
    for (name, value), at in zip(named, spread([x(v) for _, v in named], wide, left + 10, WIDTH - wide / 2), strict=True):
        marks.append(label(at, top - 12, name, "value", "middle"))
        marks.append(element("line", x1=at, x2=x(value), y1=top - 8, y2=top + row_height / 2 - 7, class_="leader"))
    marks += x_axis(x, bottom + 2, ticks(x.low, x.high), lambda v: f"{v:.3g}", x_name)
    return drawing(key, WIDTH, bottom + 44, title, f"{x_name}. " + "; ".join(said) + ".", marks)


def bar(start: float, share: float, class_: str) -> Markup:
    """A bar for a table cell: `share` of the cell's width from `start` (both of one); the number beside it says the same."""
    box = element("rect", x=start * 1000, y=0.0, width=max(share * 1000, 3.0 if share else 0.0), height=10.0, class_=class_)
    attributes = {"viewBox": "0 0 1000 10", "preserveAspectRatio": "none", "class_": "bar", "aria_hidden": "true"}
    return element("svg", [box], **attributes)


def tokens_axis(value: float) -> str:
    return short(value)
