"""The model: a chart is a string of SVG made from numbers. *Marks* (lines, bars, dots, labels) take their colours from
the page's style sheet by class: `tone-0`, `tone-1`, ... are the series, so light, dark and print need no new drawing.

Everything is rounded to a tenth of a unit: equal figures give equal bytes. Labels are escaped here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from flows.report.wording import decimals, plain

TONES = 6
"""Colours that the style sheet knows."""
LETTERS = 20
"""Letters of a name that fit beside a chart."""


def tone(index: int) -> str:
    return f"tone-{index % TONES}"


def element(name: str, content: Iterable[Markup] | str = "", **attributes: object) -> Markup:
    """One SVG element; an underscore in an attribute's name stands for a hyphen (a last one is dropped: `class_`)."""
    inside = Markup("").join(content) if not isinstance(content, str) else escape(plain(content))
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), plain(_attribute(value)))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), pairs, inside) if inside else Markup("<{}{}/>").format(Markup(name), pairs)


def _attribute(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """A coordinate: at most one decimal, never `-0`.

    >>> number(3.04), number(-0.01), number(7.25)
    ('3', '0', '7.2')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def cut(name: str) -> str:
    """A name short enough to stand beside a chart; the chart's description has the whole one."""
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def label(x: float, y: float, text: str, class_: str = "", anchor: str = "start") -> Markup:
    return element("text", text, x=float(x), y=float(y), class_=class_ or None, text_anchor=None if anchor == "start" else anchor)


def path(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    return element("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points), class_=class_)


def group(marks: Iterable[Markup], of: str | None) -> Markup:
    """Marks that are about one language: the page's filter hides them."""
    return element("g", marks, data_of=of) if of is not None else Markup("").join(marks)


def drawing(
    key: str, width: float, height: float, title: str, description: str, marks: Iterable[Markup], plot: str | None = None
) -> Markup:
    """A whole chart, named and described for those who can't see it; `key` makes its ids unique on the page. `plot`: its figures as JSON,
    for the page's script."""
    return element(
        "svg",
        [element("title", title, id=f"{key}-title"), element("desc", description, id=f"{key}-desc"), *marks],
        class_="chart",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        data_plot=plot,
    )


@dataclass(frozen=True)
class Scale:
    """A map from a domain of values to a range of units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) from `low` to `high`.

    >>> ticks(0, 1150)
    [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
    >>> ticks(1.3, 2.1)
    [1.4, 1.6, 1.8, 2.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart to at least `gap`, inside [low, high] if they fit, keeping their order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    edge = low
    for i in order:
        placed[i] = edge = max(wanted[i], edge)
        edge += gap
    edge = max(high, low + gap * (len(wanted) - 1))
    for i in reversed(order):
        placed[i] = edge = min(placed[i], edge)
        edge -= gap
    return placed


def tick_labels(values: Sequence[float]) -> Callable[[float], str]:
    """A writer of axis labels with as many decimals as the step between ticks needs.

    >>> [tick_labels([0, 0.5, 1])(v) for v in (0, 0.5, 1)], tick_labels([0, 2000])(2000)
    (['0', '0.5', '1.0'], '2,000')
    """
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    digits = min(max(0, -math.floor(math.log10(step) + 1e-9)), 8)
    return lambda value: decimals(value, digits) if value else "0"


def x_axis(scale: Scale, y: float, values: Iterable[float], write: Callable[[float], str], name: str) -> list[Markup]:
    """Ticks with labels below a line at `y`, and the name of the axis below these."""
    marks = [element("line", x1=scale.start, x2=scale.end, y1=y, y2=y, class_="axis")]
    for value in values:
        x = scale(value)
        marks += [element("line", x1=x, x2=x, y1=y, y2=y + 4.0, class_="axis"), label(x, y + 17, write(value), "tick x-tick", "middle")]
    return [*marks, label((scale.start + scale.end) / 2, y + 35, name, "name", "middle")]


def y_axis(scale: Scale, x: float, right: float, values: Iterable[float], write: Callable[[float], str], name: str) -> list[Markup]:
    """Faint lines from `x` to `right` with labels left of them, and the name of the axis above, set level."""
    marks = [label(0, scale.end - 14, name, "name")]
    for value in values:
        y = scale(value)
        marks += [element("line", x1=x, x2=right, y1=y, y2=y, class_="grid"), label(x - 7, y + 4, write(value), "tick", "end")]
    return marks
