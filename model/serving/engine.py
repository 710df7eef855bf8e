"""The model: an *engine* is a thread that owns a model. *Rows* wait in line until a slot is free, *join* the running batch at any step,
get a token each at a step, and *leave* when they end, are *cancelled*, or have no time left. What a row grows by is told to whoever
asked, in *pieces*, which are never taken back.

At a step all rows share the cost of reading the weights: so many rows cost little more than one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.encoder_decoder import EncoderDecoderModel
from model.families import Causal
from model.generate import Drawing
from model.generate.writer import Growing
from model.serving.slots import slots_of

_READ_AT_ONCE = 512
"""Tokens of prompts after which rows that go on get their step before another prompt is read."""
_BEFORE = 16
"""Tokens of the prompt that new ones are decoded behind: what a tokenizer drops before a text's first word needs no more."""

Ended = Literal["eos", "stop", "length", "time", "failed", "closing"]


class Full(Exception):
    """As many rows wait as may."""


class Closing(Exception):
    """The engine takes no more rows: it ends when those that it has have ended."""


@dataclass(frozen=True)
class Likely:
    """A token that was drawn, its log probability, and the likeliest in its place, each as (id, log probability)."""

    token: int
    logprob: float
    others: list[tuple[int, float]]


@dataclass(frozen=True)
class Piece:
    """What a row grew by."""

    text: str
    made: int
    """Tokens of the row so far, an eos and what a stop string cut off included."""
    likely: list[Likely]
    """Of the tokens since the last piece, if they were asked for."""
    ended: Ended | None = None


@dataclass
class Row:
    """A text to be written."""

    prompt: tuple[int, ...]
    max_tokens: int
    drawing: Drawing
    seed: int
    hear: Callable[[Piece], None]
    """Called by the engine's thread."""
    stop: tuple[str, ...] = ()
    streams: bool = False
    """Whether pieces are told as they come; else there is one, at the end."""
    likeliest: int | None = None
    """Log probabilities to tell of each token, besides its own; None: not even that."""
    deadline: float = float("inf")
    """By `time.monotonic`."""
    cancelled: bool = False
    """Set it, and the row leaves before the next step; nothing more is told."""


@dataclass(eq=False)
class _Going:
    """A row in its slot."""

    row: Row
    text: Growing
    generator: torch.Generator
    tokens: list[int]
    """What a repetition penalty counts: the prompt and what was written, of an encoder-decoder what was written alone."""
    likely: list[Likely] = field(default_factory=list)


@dataclass
class Counts:
    """What an engine has done; `row_steps / steps` is how many rows shared a step."""

    steps: int = 0
    row_steps: int = 0
    most_rows: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    cancelled: int = 0


class Engine:
    """See the module. `submit` and `close` may be called by any thread."""

    def __init__(
        self,
        model: Causal | EncoderDecoderModel,
        tokenizer: Tokenizer,
        eos: frozenset[int],
        slots: int,
        waiting: int,
        counts: Counts,
        start: int | None = None,
    ) -> None:
        """At most so many rows are in slots, and so many wait. ``start``: what an encoder-decoder begins to write with."""
        self._model, self._tokenizer, self._eos, self._most, self._may_wait = model, tokenizer, eos, slots, waiting
        self.counts, self._start = counts, start
        self._slots, self._going = slots_of(model, start), list[_Going]()
        self._waiting: deque[Row] = deque()
        self._changed = threading.Condition()
        self._closing = self._lets_go = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> tuple[int, int]:
        """How many are in slots, and how many wait."""
        return len(self._going), len(self._waiting)

    def submit(self, rows: Sequence[Row]) -> None:
        """Put rows in line, all or none. Raises `Full` or `Closing`."""
        with self._changed:
            if self._closing:
                raise Closing
            if len(self._waiting) + len(rows) > self._may_wait:
                raise Full
            self._waiting.extend(rows)
            self._changed.notify()

    def close(self, now: bool = False) -> None:
        """Take no more rows. The thread ends, and lets go of the model, when those that it has have ended; `now` ends them."""
        with self._changed:
            self._closing, self._lets_go = True, self._lets_go or now
            self._changed.notify()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end; whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with torch.no_grad():
            while self._work():
                try:
                    self._drop()
                    self._admit()
                    if self._going:
                        self._step()
                except Exception as error:  # as when torch has no memory left: the next rows may ask for less
                    failed, self._going, self._slots = self._going, [], slots_of(self._model, self._start)
                    self._fail(failed, error)

    def _work(self) -> bool:
        """Wait until there is something to do; False if there never will be."""
        with self._changed:
            while not self._waiting and not self._going:
                if self._closing:
                    return False
                self._changed.wait()
        return True

    def _drop(self) -> None:
        """Rows that were cancelled or have no time left go, from slots and from the line."""
        now = time.monotonic()
        for slot in reversed(range(len(self._going))):
            if self._is_over(self._going[slot].row, self._going[slot], now):
                self._leave(slot)
        with self._changed:
            line = list(self._waiting)
            self._waiting.clear()
            self._waiting.extend(row for row in line if not self._is_over(row, None, now))

    def _is_over(self, row: Row, going: _Going | None, now: float) -> bool:
        if row.cancelled:
            self.counts.cancelled += 1
            return True
        if now <= row.deadline and not self._lets_go:
            return False
        ended: Ended = "closing" if self._lets_go else "time"
        row.hear(self._last(going, ended) if going else Piece("", 0, [], ended))
        return True

    def _admit(self) -> None:
        """Read prompts of rows in line while there are slots; equal ones that follow each other are read once."""
        done, before, read = 0, None, None
        while len(self._going) < self._most and done < _READ_AT_ONCE:
            with self._changed:
                if not self._waiting:
                    return
                row = self._waiting.popleft()
            begun = list(row.prompt) if self._start is None else [self._start]
            text = Growing(self._tokenizer, begun[-_BEFORE:], self._eos, row.stop, self._start)
            going = _Going(row, text, torch.Generator().manual_seed(row.seed), begun)
            try:
                if read is None or row.prompt != before:
                    read = self._slots.read(row.prompt)
                    before = row.prompt
                    done += len(row.prompt)
                    self.counts.prompt_tokens += len(row.prompt)
            except Exception as error:  # the batch was left alone
                self._fail([going], error)
                continue
            if self._goes_on(going, read.logits):
                self._going.append(going)
                self._slots.join(read)

    def _leave(self, slot: int) -> None:
        self._slots.leave(slot)
        last = self._going.pop()
        if slot < len(self._going):
            self._going[slot] = last

    def _step(self) -> None:
        """A token for each row."""
        count = len(self._going)
        logits = self._slots.step([going.tokens[-1] for going in self._going])
        self.counts.steps += 1
        self.counts.row_steps += count
        self.counts.most_rows = max(self.counts.most_rows, count)
        ended = [slot for slot, going in enumerate(self._going) if not self._goes_on(going, logits[slot])]
        for slot in reversed(ended):
            self._leave(slot)

    def _goes_on(self, going: _Going, logits: Tensor) -> bool:
        """As `_take`; a row whose token can't be drawn or told fails alone."""
        try:
            return self._take(going, logits)
        except Exception as error:
            self._fail([going], error)
            return False

    def _take(self, going: _Going, logits: Tensor) -> bool:
        """Draw the next token of a row and tell what it gives; whether the row goes on."""
        row, logits = going.row, logits.float().cpu()
        if not bool(logits.isfinite().all()):
            raise ArithmeticError("what the model computes of it is not finite: its weights are broken")
        token = row.drawing.draw(logits, going.tokens, going.generator)
        self.counts.tokens += 1
        if row.likeliest is not None:
            going.likely.append(_likely(logits, token, row.likeliest))
        goes_on = going.text.add(token)
        if not goes_on or going.text.made == row.max_tokens:
            row.hear(self._last(going, going.text.ended))
            return False
        going.tokens.append(token)
        if row.streams and (text := going.text.piece(last=False)):
            row.hear(Piece(text, going.text.made, going.likely))
            going.likely = []
        return True

    def _last(self, going: _Going, ended: Ended) -> Piece:
        return Piece(going.text.piece(last=True), going.text.made, going.likely, ended)

    def _fail(self, failed: Sequence[_Going], error: Exception) -> None:
        """Tell rows, and the log, that they failed."""
        print(f"gristmill api: {len(failed)} texts failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        for one in failed:
            one.row.hear(Piece("", one.text.made, [], "failed"))


def _likely(logits: Tensor, token: int, count: int) -> Likely:
    """Log probabilities by float [vocab], whatever the temperature."""
    chances = logits.log_softmax(-1)
    found = chances.topk(min(count, len(chances)))
    return Likely(token, float(chances[token]), list(zip(found.indices.tolist(), found.values.tolist(), strict=True)))
