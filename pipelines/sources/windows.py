"""The model: a *window* slides over a decoded stream, forward only: it holds what a record may need, and what is taken from
its front is let go. Damage lies where its data end; a stream that can go on behind it is read on when the damage is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.sources.compression import BadStream, Item
from pipelines.sources.records import Gathering


class Window:
    """A part of a stream."""

    def __init__(self, items: Iterator[Item], at: int) -> None:
        self._items = items
        self.at = at
        """Offset in the stream of the first byte that is held."""
        self.data = bytearray()
        self.damage: BadStream | None = None
        """What comes behind the data, if it isn't more of them."""

    def more(self) -> bool:
        """Read on; False at the end and at damage."""
        item = next(self._items, None) if self.damage is None else None
        if isinstance(item, BadStream):
            self.damage = item
        elif item is not None:
            self.data += item
            return True
        return False

    def fill(self, size: int) -> bool:
        """Have `size` bytes, if there are so many."""
        while len(self.data) < size:
            if not self.more():
                return False
        return True

    def take(self, size: int) -> bytes:
        taken = bytes(memoryview(self.data)[:size])
        del self.data[:size]
        self.at += len(taken)
        return taken

    def told(self) -> BadStream | None:
        """The damage that was met, if there is any at the end of the data; it can be read on behind it."""
        damage, self.damage = self.damage, None
        return damage

    def take_until(self, pattern: re.Pattern[bytes], start: int, reach: int, into: Gathering | None) -> bytes | None:
        """Take all up to where `pattern` matches, from `start` on, and return the match, which stays; or take all, and return None.

        `reach` is the most bytes that a match may have. What is taken goes into a gathering, or away.
        """
        while True:
            if (match := pattern.search(self.data, start)) is not None:
                found = match.group()
                self._give(match.start(), into)
                return found
            searched = len(self.data)
            if not self.more():
                self._give(len(self.data), into)
                return None
            if (passed := searched - reach) > start:
                self._give(passed, into)
                start = 0

    def _give(self, size: int, into: Gathering | None) -> None:
        taken = self.take(size)
        if into is not None and taken:
            into.add(taken)
