"""The model: the page of an explanation. Like the report it is one file without a script, and a content security policy forbids any
request. A text and what a model says of it are foreign: escaped by the template, and made `plain`.

What can be pointed at tells more: by a pointer as a tip, by the keyboard where it opens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from flows.explain.pictures import habit, head_map, layer_map, legend
from flows.report.page import POLICY, own_text, templates
from flows.report.wording import decimals, percent
from model.probes.explain import Candidate, Explanation
from schemas.files import replace

_TEMPLATES = templates("flows.explain")
_VISIBLE = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


@dataclass(frozen=True)
class _Token:
    """A token of the text, with its column: how high, from 0 to 1, above or below the line."""

    text: str
    value: str
    height: float
    adds: bool
    is_place: bool


@dataclass(frozen=True)
class _Cell:
    """What a layer would say at a token."""

    text: str
    chance: float
    percent: str
    tip: str


@dataclass(frozen=True)
class _Layer:
    name: str
    heads: Sequence[tuple[str, Markup, str]]
    """Name, map, habit."""
    whole: Markup


def visible(token: str) -> str:
    """A token with its white space to be seen.

    >>> visible(" a\\n")
    '·a⏎'
    """
    return "".join(_VISIBLE.get(character, character) for character in token) or "∅"


def render(explanation: Explanation, model: str) -> str:
    """The page as HTML; ``model`` names it."""
    names = [visible(token) for token in explanation.tokens]
    page = _TEMPLATES.get_template("page.html.j2")
    return page.render(
        policy=POLICY,
        style=own_text("flows.report", "style.css") + own_text("flows.explain", "style.css"),
        model=model,
        text=explanation.text,
        target=visible(explanation.target),
        label=explanation.place is None,
        next_token=explanation.next_token,
        baseline=visible(explanation.baseline),
        expected=[_cell(one, explanation.expected) for one in explanation.expected],
        tokens=(tokens := _tokens(explanation, names)),
        depth=max((token.height for token in tokens if not token.adds), default=0),
        value=decimals(explanation.attributions.value, 2),
        chance=percent(math.exp(explanation.attributions.value)),
        start=decimals(explanation.attributions.baseline, 2),
        sum=decimals(sum(explanation.attributions.tokens), 2),
        error=decimals(abs(explanation.attributions.error), 3),
        steps=explanation.attributions.steps,
        names=names,
        lens=[("below" if n == 0 else f"layer {n}", [_cell(c[0], c) for c in row]) for n, row in enumerate(explanation.layers)],
        layers=_layers(explanation, names),
        legend=legend("shades"),
    )


def write_page(path: Path, explanation: Explanation, model: str) -> None:
    """Write the page to a file, replacing what was there at once; its folder must exist."""
    replace(path, render(explanation, model).encode("utf-8"))


def _tokens(explanation: Explanation, names: Sequence[str]) -> list[_Token]:
    values = explanation.attributions.tokens
    highest = max(map(abs, values)) or 1.0
    return [
        _Token(name, _signed(value), round(abs(value) / highest, 3), value >= 0, number == explanation.place)
        for number, (name, value) in enumerate(zip(names, values, strict=True))
    ]


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + decimals(value, 2) if abs(value) >= 0.005 else "0"


def _cell(one: Candidate, all_of_them: Sequence[Candidate]) -> _Cell:
    tip = "\n".join(f"{percent(c.probability)} {visible(c.token)}" for c in all_of_them)
    return _Cell(visible(one.token), round(one.probability, 3), percent(one.probability), tip)


def _layers(explanation: Explanation, names: Sequence[str]) -> list[_Layer]:
    found = []
    for number, heads in enumerate(explanation.attention, 1):
        maps = [
            (f"head {head}", head_map(f"map-{number}-{head}", f"Layer {number}, head {head}", weights), habit(weights))
            for head, weights in enumerate(heads, 1)
        ]
        found.append(_Layer(f"Layer {number}", maps, layer_map(f"map-{number}", f"Layer {number}", heads.mean(0), names)))
    return found
