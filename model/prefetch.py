"""The model: a *prefetch* has the batches of the next steps ready, assembled by threads while the caller computes. It changes
when a batch is made, never what is in it: batches come in order of step, whatever the number of threads.

Threads serve where processes would copy: assembling is numpy's work, which lets other threads run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from model.data import Batch, Batches

TOKENS = 1 << 17
"""Tokens that are assembled at a time at least: small batches cost little more together than one does."""


Made = TypeVar("Made")


class Prefetch(Generic[Made]):
    """Iterates over one rank's batches of the steps ``first`` to ``end``, each as what is ``made`` of it."""

    def __init__(
        self, batches: Batches, made: Callable[[Batch], Made], first: int, end: int, rank: int, ranks: int, workers: int = 1, ahead: int = 2
    ) -> None:
        """``ahead``: groups of steps that are assembled before they are asked for."""
        self._batches, self._made, self._end, self._rank, self._ranks = batches, made, end, rank, ranks
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
        self._next, self._ahead = first, ahead
        self._waiting: deque[Future[list[Made]]] = deque()

    def __iter__(self) -> Iterator[Made]:
        self._send()
        while self._waiting:
            group = self._waiting.popleft().result()
            self._send()
            yield from group

    def _send(self) -> None:
        while self._next < self._end and len(self._waiting) < self._ahead:
            count = min(self._batches.alike(self._next, TOKENS // self._ranks), self._end - self._next)
            self._waiting.append(self._pool.submit(self._make, self._next, count))
            self._next += count

    def _make(self, first: int, count: int) -> list[Made]:
        return [self._made(batch) for batch in self._batches.batches_at(first, count, self._rank, self._ranks)]

    def __enter__(self) -> Prefetch[Made]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
