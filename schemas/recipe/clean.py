"""The model: how the text of one record is repaired, which of its lines go, and in which form it is kept."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from schemas.recipe.section import Positive, Section


class Boilerplate(Section):
    """Lists of lines that pages say about themselves: cookies, buttons, rights."""

    own_lists: bool = True
    """Use the small lists that ship, for English and Chinese."""
    lists: tuple[str, ...] = ()
    """Files, a line of boilerplate a line, `*` for anything, in UTF-8. Their content counts, not their place."""
    max_characters: Positive = 200
    """Longer lines stay."""

    @model_validator(mode="after")
    def _there_is_a_list(self) -> Boilerplate:
        if not self.own_lists and not self.lists:
            raise ValueError("there is no list: name some in lists, or leave own_lists on")
        return self


class Clean(Section):
    """How text is repaired, and in which form it is kept. CJK text keeps its full-width punctuation unless `strip_punctuation` is set."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"width", "chinese", "boilerplate_lines", "duplicate_lines", "lower_case", "strip_punctuation"}
    )

    ftfy: bool = True
    """Repair mojibake with ftfy (width, quote and normalisation fixes off)."""
    nfc: bool = True
    """Unicode normalisation form C."""
    control_characters: bool = True
    """Remove control characters other than tab and new line; CR LF becomes LF."""
    max_document_bytes: Positive = 64 << 20
    """A longer record is rejected as `too_long`."""
    width: Literal["keep", "half"] = "keep"
    """half: full-width letters and digits (Ａ, １) become ASCII; full-width punctuation stays."""
    chinese: Literal["traditional", "simplified"] | None = None
    """Write Chinese in these characters, by OpenCC; null: as it came. Towards traditional, lines that are mostly so already stay."""
    boilerplate_lines: Boilerplate | None = None
    """Drop lines of boilerplate (`boilerplate_lines: {}` takes the defaults); null: they stay."""
    duplicate_lines: Positive | None = None
    """Drop lines of at least so many characters that stood earlier in the same document; null: they stay (poems, tables, code)."""
    lower_case: bool = False
    """Write all in lower case, after redaction; placeholders stay."""
    strip_punctuation: bool = False
    """Take punctuation away, after redaction: rules on line ends and the finding of sentences then have nothing to go by."""

    @property
    def takes_a_form(self) -> bool:
        """Whether case or punctuation goes."""
        return self.lower_case or self.strip_punctuation
