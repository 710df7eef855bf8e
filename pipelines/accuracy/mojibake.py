"""The model: a *damage* is a way in which text turns into mojibake: it was written in one encoding and read in another one. A text
is *damaged* by writing and reading it so; repair is right if it gives the text back, and right about a sound text if it leaves it alone.

cp1252 is read as browsers do (WHATWG): its five bytes that mean nothing are control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.clean.text import clean_text
from schemas.recipe import Clean

DAMAGES = (
    ("utf-8", "cp1252"), ("utf-8", "latin-1"), ("utf-8", "cp1252", "utf-8", "cp1252"), ("utf-8", "cp1250"), ("utf-8", "cp1251"),
    ("utf-8", "mac_roman"), ("utf-8", "cp437"), ("utf-8", "gb18030"), ("gb18030", "cp1252"), ("big5", "cp1252"), ("cp1252", "gb18030"),
)  # fmt: skip
"""Written, read, and so on."""

_REPAIR = Clean(control_characters=False, nfc=False)


@dataclass(frozen=True)
class OfDamage:
    """Of the texts that a damage changes."""

    damaged: int
    repaired: int
    left: int
    """Left as they were."""

    @property
    def worse(self) -> int:
        """Changed into something else."""
        return self.damaged - self.repaired - self.left


@dataclass(frozen=True)
class Scores:
    sound: int
    left_alone: int
    damages: dict[str, OfDamage]
    """By name, as `utf-8 as cp1252`; those that no text can suffer are left out."""


def evaluate(texts: Sequence[str]) -> Scores:
    """What repair makes of texts, which must be sound, and of each of them damaged in every way."""
    scores = {}
    for damage in DAMAGES:
        pairs = [(text, bad) for text in texts if (bad := damaged(text, damage)) is not None and bad != text]
        if pairs:
            after = [(text, bad, _repaired(bad)) for text, bad in pairs]
            repaired = sum(found == text for text, _, found in after)
            scores[name_of(damage)] = OfDamage(len(pairs), repaired, sum(found == bad for _, bad, found in after))
    return Scores(len(texts), sum(_repaired(text) == text for text in texts), scores)


def name_of(damage: Sequence[str]) -> str:
    """As `utf-8 as cp1252`; `twice` if it is the same once more."""
    return f"{damage[0]} as {damage[1]}" + (", twice" if len(damage) > 2 else "")


def damaged(text: str, damage: Sequence[str]) -> str | None:
    """The text after it was written and read so; None if it can't be."""
    for written, read in zip(damage[::2], damage[1::2], strict=True):
        try:
            raw = text.encode(written)
            text = _read_1252(raw) if read == "cp1252" else raw.decode(read)
        except UnicodeError:
            return None
    return text


def _read_1252(raw: bytes) -> str:
    return "".join(bytes([byte]).decode("cp1252" if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else "latin-1") for byte in raw)


def _repaired(text: str) -> str:
    return clean_text(text, _REPAIR)[0]
