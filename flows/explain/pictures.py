"""The model: the pictures of an explanation. A *map* shows where one head looks: a row for each token that reads, from above, a square for
each token that it attends to, from the left. A *habit* says in words what most of its rows have in common.

Squares of one *step* of darkness are one path, so that a page of a hundred heads stays small. Colours are the style sheet's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from flows.report.svg import drawing, element, label, number
from flows.report.tongues import Say
from flows.report.wording import percent
from model.probes.explain import Floats

STEPS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
"""The least weight of each step; what weighs less is not drawn."""
HABITUAL = 0.4
"""Share of the weight from which on a habit has a name."""
_CELL = 15.0
_LETTERS = 9


def head_map(key: str, title: str, weights: Floats, say: Say) -> Markup:
    """One head's map: float [token, token attended to]."""
    size = len(weights)
    steps = np.searchsorted(STEPS, weights, "right")
    marks = [element("rect", x=0, y=0, width=size, height=size, class_="ground")]
    for step in range(1, len(STEPS) + 1):
        if cells := "".join(f"M{x} {y}h1v1h-1z" for y, x in zip(*np.nonzero(steps == step), strict=True)):
            marks.append(element("path", d=cells, class_=f"ink-{step}"))
    return drawing(key, size, size, title, f"{say('Rows read, columns are attended to.')} {habit(weights, say)}", marks)


def layer_map(key: str, title: str, weights: Floats, tokens: Sequence[str], say: Say) -> Markup:
    """The same, larger, with tokens at its sides and a tip at each square."""
    side = max((len(_cut(token)) for token in tokens), default=1) * 7.4 + 8
    size = len(tokens)
    marks = [element("rect", x=side, y=side, width=size * _CELL, height=size * _CELL, class_="ground")]
    for row, token in enumerate(tokens):
        marks.append(label(side - 5, side + (row + 0.72) * _CELL, _cut(token), "code", "end"))
        x, y = side + (row + 0.72) * _CELL, side - 5
        marks.append(element("text", _cut(token), transform=f"translate({number(x)} {number(y)}) rotate(-90)", class_="code"))
    said = say("{reader} attends to {read}: {share}")
    for y, x in zip(*np.nonzero(weights >= STEPS[0]), strict=True):
        tip = element("title", said.format(reader=tokens[y], read=tokens[x], share=percent(float(weights[y, x]))))
        step = int(np.searchsorted(STEPS, weights[y, x], "right"))
        place = {"x": side + x * _CELL, "y": side + y * _CELL, "width": _CELL, "height": _CELL}
        marks.append(element("rect", [tip], **place, class_=f"cell ink-{step}"))
    return drawing(key, side + size * _CELL + 2, side + size * _CELL + 2, title, say("Mean of the layer's heads."), marks)


def legend(key: str, say: Say) -> Markup:
    """What the steps of darkness mean."""
    marks: list[Markup] = []
    for step, least in enumerate(STEPS, 1):
        x = (step - 1) * 44.0
        marks += [element("rect", x=x, y=0, width=44, height=10, class_=f"ink-{step}"), label(x, 24, f"{least:.0%}", "tick")]
    return drawing(key, 44.0 * len(STEPS), 28, say("Shades"), say("From faint to full: the weight that a square has at least."), marks)


def habit(weights: Floats, say: Say) -> str:
    """What rows have in common, leaving out the first, which may have no choice."""
    rows = weights[1:]
    if not len(rows):
        return say("one token")
    places = np.arange(1, len(weights))
    shares = {
        "the first token": rows[:, 0],
        "the token before": rows[places - 1, places - 1],
        "itself": rows[places - 1, places],
        "the token behind": rows[places[:-1] - 1, places[:-1] + 1],
    }
    name, share = max(((name, float(values.mean())) for name, values in shares.items() if len(values)), key=lambda one: one[1])
    if share >= HABITUAL:
        return f"{say(name)} {percent(share, 0)}"
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = -np.where(rows > 0, rows * np.log(rows), 0).sum(1)
    return say("over {n} tokens").format(n=f"{np.exp(nats).mean():.1f}")


def _cut(token: str) -> str:
    return token if len(token) <= _LETTERS else token[: _LETTERS - 1] + "…"
