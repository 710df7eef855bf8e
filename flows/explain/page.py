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
from flows.report.tongues import ENGLISH, Say, filled, sayer
from flows.report.wording import decimals, percent, plain
from model.probes.explain import Candidate, Explanation
from schemas.files import replace

_TEMPLATES = templates("flows.explain")
_VISIBLE = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


WORDS = {
    "skip": "Skip to the pictures",
    "kicker": "Gristmill · what a model makes of a text",
    "sections": "Sections",
    "nats": "nats",
    "adds": "What each token adds",
    "layers": "What each layer would say",
    "attention": "Where attention goes",
    "lens": "The logit lens. Stronger colour: likelier. Layers were not trained to be read like this, so early rows say less than they "
    "know.",
    "attends": "A square for each token (row) and each token that it attends to (column), for every head. Attention shows where a head may "
    "take content from, not what the answer depends on.",
    "visible": "Spaces are shown as ·, ends of lines as ⏎. All figures are of one model and one text; nothing here says that the text is "
    "true, or why people would write so.",
    "alone": "This page holds all it shows: it loads nothing, and runs no script.",
}
"""What the template itself says."""
SHARES = (
    "The model gives {target} a log-probability of {value} ({chance}), and {start} where every token is {baseline}. Columns share out the "
    "difference: above the line a token makes it likelier, below less likely."
)
GRADIENTS = (
    "Integrated gradients (Sundararajan et al. 2017) in nats, over {steps} steps; the columns sum to {sum}, which misses the difference by "
    "{error}. Special tokens stay in place, so they add nothing. Another baseline shares out another difference."
)
SAYS = {"label": "says:", "next": "expects next:", "mask": "expects at the mask:"}
WOULD_SAY = {
    "next": "The likeliest token behind each token of the text, if the model's head stood on each layer. The lowest row is what the model "
    "says.",
    "mask": "The likeliest token at each token of the text, if the model's head stood on each layer. The lowest row is what the model "
    "says.",
}


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
    summary: str
    whole: Markup


def visible(token: str) -> str:
    """A token with its white space to be seen.

    >>> visible(" a\\n")
    '·a⏎'
    """
    return "".join(_VISIBLE.get(character, character) for character in token) or "∅"


def render(explanation: Explanation, model: str, tongue: str = ENGLISH) -> str:
    """The page as HTML, in a tongue; ``model`` names it."""
    say, shared = sayer(tongue), explanation.attributions
    asked = "label" if explanation.place is None else "next" if explanation.next_token else "mask"
    told = {
        "target": _token(explanation.target),
        "value": decimals(shared.value, 2),
        "chance": percent(math.exp(shared.value)),
        "start": decimals(shared.baseline, 2),
        "baseline": _token(explanation.baseline),
    }
    sums = {"steps": str(shared.steps), "sum": decimals(sum(shared.tokens), 2), "error": decimals(abs(shared.error), 3)}
    names = [visible(token) for token in explanation.tokens]
    page = _TEMPLATES.get_template("page.html.j2")
    return page.render(
        policy=POLICY,
        style=own_text("flows.report", "style.css") + own_text("flows.explain", "style.css"),
        model=model,
        text=explanation.text,
        words={key: say(text) for key, text in WORDS.items()} | {"lang": tongue},
        says=say(SAYS[asked]),
        would_say=say(WOULD_SAY.get(asked, "")),
        shares=filled(say(SHARES), **told),
        gradients=filled(say(GRADIENTS), **sums),
        expected=[_cell(one, explanation.expected) for one in explanation.expected],
        tokens=(tokens := _tokens(explanation, names)),
        depth=max((token.height for token in tokens if not token.adds), default=0),
        names=names,
        lens=[(say("below" if n == 0 else f"layer {n}"), [_cell(c[0], c) for c in row]) for n, row in enumerate(explanation.layers)],
        layers=_layers(explanation, names, say),
        legend=legend("shades", say),
    )


def write_page(path: Path, explanation: Explanation, model: str, tongue: str = ENGLISH) -> None:
    """Write the page to a file, replacing what was there at once; its folder must exist."""
    replace(path, render(explanation, model, tongue).encode("utf-8"))


def _token(token: str) -> Markup:
    return Markup('<span class="token">{}</span>').format(plain(visible(token)))


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


def _layers(explanation: Explanation, names: Sequence[str], say: Say) -> list[_Layer]:
    found = []
    for number, heads in enumerate(explanation.attention, 1):
        name = say(f"Layer {number}")
        maps = [
            (say(f"head {head}"), head_map(f"map-{number}-{head}", say(f"Layer {number}, head {head}"), weights, say), habit(weights, say))
            for head, weights in enumerate(heads, 1)
        ]
        summary = say(f"Layer {number}, mean of its heads, token by token")
        found.append(_Layer(name, maps, summary, layer_map(f"map-{number}", name, heads.mean(0), names, say)))
    return found
