"""The model: a *hearing* is where pieces that an engine's thread tells of a request's rows wait in line for the loop that serves it; and
what becomes of a request whose client is *gone*.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from model.serving.engine import Piece, Row
from model.serving.wanted import Refused, closing

_T = TypeVar("_T")


class Gone(Exception):
    """The client went away."""


class Hearing:
    """See the module."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._loop, self._line = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Piece]]()

    def hear(self, number: int) -> Callable[[Piece], None]:
        """What the engine tells pieces of a row to."""

        def tell(piece: Piece) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._line.put_nowait, (number, piece))

        return tell

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """All pieces with their row's number, until all rows have ended. Raises `Refused` if one fails."""
        left = len(self.rows)
        while left:
            number, piece = await self._line.get()
            if piece.ended == "time":
                raise too_slow()
            if piece.ended == "closing":
                raise closing()
            if piece.ended == "failed":
                raise Refused(500, "the server failed; its log says why")
            left -= piece.ended is not None
            yield number, piece

    async def all(self) -> dict[int, Piece]:
        """The last piece of each row."""
        return {number: piece async for number, piece in self.pieces() if piece.ended is not None}

    def cancel(self) -> None:
        """Let go of rows that have not ended."""
        for row in self.rows:
            row.cancelled = True


def too_slow() -> Refused:
    """What is told when a request's time is over; OpenAI's client would ask again, unless it is told not to."""
    return Refused(
        504, "there was no time to answer: ask for less, or when less is asked for", None, "timeout", {"x-should-retry": "false"}
    )


async def unless_gone(request: Request, work: Awaitable[_T]) -> _T:
    """What comes of the work. Raises `Gone`, and lets go of the work, if the client goes away before."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
