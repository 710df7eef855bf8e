"""The model: the lineage is drawn as an arc diagram: artifacts from top to bottom in order of making, an arc on the
left from each artifact to every one that was made from it. Inputs are matched by content digest, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from flows.report.charts import WIDTH
from flows.report.facts import Node
from flows.report.svg import cut, drawing, element, label, number
from flows.report.wording import plural, size

_ROW = 58.0
_X = 118.0


def edges(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Pairs (made from, made) of positions in `nodes`; inputs that are not among them have no edge."""
    place = {node.content_digest: index for index, node in enumerate(nodes)}
    return sorted({(place[d], made) for made, node in enumerate(nodes) for d in node.inputs.values() if d in place})


def lineage(key: str, title: str, nodes: Sequence[Node]) -> Markup:
    """The arc diagram of `nodes`."""
    height = _ROW * len(nodes) + 6
    y = [_ROW * (index + 0.5) for index in range(len(nodes))]
    marks = []
    for source, target in edges(nodes):
        if target - source == 1:
            marks.append(element("line", x1=_X, x2=_X, y1=y[source], y2=y[target], class_="edge"))
        else:
            bulge = _X - min(_X - 8, 26.0 * (target - source))
            d = f"M{number(_X)} {number(y[source])}C{number(bulge)} {number(y[source])} {number(bulge)} {number(y[target])}"
            marks.append(element("path", d=f"{d} {number(_X)} {number(y[target])}", class_="edge"))
    for node, at in zip(nodes, y, strict=True):
        files = f"{plural(node.files, 'file')}, {size(node.bytes)}"
        marks += [
            element("circle", cx=_X, cy=at, r=6.0, class_="node"),
            label(_X + 18, at - 4, node.role, "series"),
            label(_X + 18, at + 13, f"{node.kind}/{cut(node.name)}", "tick"),
            label(WIDTH - 4, at - 4, node.fingerprint[:8], "code", "end"),
            label(WIDTH - 4, at + 13, files, "tick", "end"),
        ]
    said = "; ".join(
        f"{node.role} from {', '.join(nodes[s].role for s, t in edges(nodes) if t == index) or 'the sources'}"
        for index, node in enumerate(nodes)
    )
    return drawing(key, WIDTH, height, title, f"What was made from what: {said}.", marks)
