"""The model: what goes because an earlier document has it: documents, paragraphs and lines."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.recipe.section import Positive, Section


class Near(Section):
    """When a document counts as a near duplicate of an earlier one, by MinHash over words (over characters where no spaces are written)."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of the two sets of n-grams; it is estimated, and an estimate passes down to one standard deviation below."""
    ngram: Positive = 5
    """Words, or characters, of an n-gram. A shorter document is never a near duplicate."""
    bands: Positive = 16
    """Documents that agree in all rows of a band are compared: with 16 x 7, 0.977 of the pairs at 0.8."""
    rows: Positive = 7
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 1

    @property
    def hashes(self) -> int:
        """Hash functions of a signature."""
        return self.bands * self.rows


class Repeats(Section):
    """Which parts of documents go because earlier documents have them."""

    min_characters: Positive
    """Shorter parts stay, white space at their ends aside."""
    documents: Positive = 1
    """In so many documents a part stays: the first that have it, in canonical order."""


class Dedup(Section):
    """Which repeated texts go; the first in canonical order stays."""

    LATER: ClassVar[frozenset[str]] = frozenset({"paragraphs", "lines"})

    exact: bool = True
    near: Near | None = None
    """Drop near duplicates, too (`near: {}` takes the defaults); null: only equal texts go."""
    paragraphs: Repeats | None = None
    """Drop paragraphs (lines between blank ones) that earlier documents have; null: they stay."""
    lines: Repeats | None = None
    """Drop lines that earlier documents have; null: they stay."""
    conflict_field: str | None = None
    """Key of `extra`; equal texts with different values there are all rejected as `label_conflict`."""
    memory: Positive = 256 << 20
    """Bytes that one merge of digests may take; decides the number of hash partitions."""
