"""The model: a page is a list of *sections*; a section has a title, a lead sentence that says what its figures say, and
*blocks*: balances, tables, figures, excerpts of foreign text. Blocks are values; the template alone knows HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

Text = str | Markup
"""Plain text is escaped by the template; only charts are markup already."""


@dataclass(frozen=True)
class Balance:
    """An equation of a ledger: `total = sum of terms`, each with its name; `problem` is empty if it holds."""

    name: str
    total: tuple[str, str]
    terms: Sequence[tuple[str, str]]
    problem: str
    kind: str = "balance"


@dataclass(frozen=True)
class Row:
    """A row header and its cells; `style` is a class: `total`, `part`, `check` or `group`."""

    name: str
    cells: Sequence[Text] = ()
    style: str = ""
    lang: str | None = None
    """Language that the row's name is written in, if not the page's."""


@dataclass(frozen=True)
class Table:
    """`columns` name the cells of each row, the row's own header first; a name that starts with `|` is of text, not numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    caption: str
    chart: Markup
    kind: str = "figure"


@dataclass(frozen=True)
class Excerpt:
    """Foreign text with where it comes from. `lead` is a part of the text to set apart, such as a prompt."""

    title: str
    origin: Sequence[str]
    note: str
    lead: str
    text: str | None
    truncated: bool
    kind: str = "excerpt"


@dataclass(frozen=True)
class Grid:
    """Blocks beside each other where there is room, `wide` ones two abreast and others three."""

    blocks: Sequence[Balance | Table | Figure | Excerpt | Disclosure]
    wide: bool = True
    kind: str = "grid"


@dataclass(frozen=True)
class Heading:
    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Disclosure:
    """Preformatted text that opens on demand."""

    summary: str
    text: str
    kind: str = "disclosure"


Block = Balance | Table | Figure | Excerpt | Grid | Heading | Disclosure


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default=())


@dataclass(frozen=True)
class Tile:
    """A headline figure: what it is, the figure, and what it is measured in or against."""

    name: str
    value: str
    notes: Sequence[str]
