"""The model: a page is a list of *sections*; a section has a title, a lead sentence that says what its figures say, and
*blocks*: balances, tables, figures, excerpts of foreign text. Blocks are values; the template alone knows HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

Best = Literal["ascending", "descending"]
Text = str | Markup
"""Plain text is escaped by the template; only charts are markup already."""


class Foreign(str):
    """A name or a word from outside, that stands where ours do: it is the same in every tongue."""


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
    of: str | None = None
    """Language that the row is about: the page's filter hides the rows of a language."""
    values: Sequence[float | None] = ()
    """Of the cells, to sort by; a row without any stays below the others."""


@dataclass(frozen=True)
class Words:
    """Name of a column of words or drawings, set to the left; other columns hold numbers and are set to the right."""

    name: str = ""


@dataclass(frozen=True)
class Table:
    """`columns` are the heads over each row's cells, the one over the row's own header first."""

    caption: str
    columns: Sequence[str | Words]
    rows: Sequence[Row]
    note: str = ""
    best: Sequence[Best] = ()
    """Which end of each column is the best: it is sorted by that first. Empty: the table isn't sorted."""
    kind: str = "table"

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """Name of each column, and whether it holds words."""
        return [(c.name, True) if isinstance(c, Words) else (c, False) for c in self.columns]


@dataclass(frozen=True)
class Figure:
    """A chart below its caption, and what a reader needs to know about it."""

    caption: str
    chart: Markup
    note: str = ""
    steps: bool = False
    """Whether it is drawn over steps, so that the page's script can look into it."""
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
class Note:
    text: str
    kind: str = "note"


@dataclass(frozen=True)
class Disclosure:
    """Preformatted text that opens on demand."""

    summary: str
    text: str
    kind: str = "disclosure"


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    text: str
    kind: str = "code"


Block = Balance | Table | Figure | Excerpt | Grid | Heading | Note | Disclosure | Code


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
    unit: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Page:
    """A whole page; `name` is what it is about, `title` follows that in the window's title."""

    name: str
    kicker: str
    title: str
    sections: Sequence[Section]
    tiles: Sequence[Tile]
    note: str
    footer: Sequence[Text]
    languages: Sequence[tuple[str, str]] = ()
    """What rows and series can be about, and its name."""
