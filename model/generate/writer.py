"""The model: a *writer* is a saved model with its tokenizer: prompts in, *written* texts out. A text ends at an eos, before a *stop*
string, or when as many tokens were made as were asked for. It can be told while it grows, in *pieces* that are never taken back.

A model that was pretrained here reads a prompt behind its bos. One that was imported has a tokenizer that knows how to frame a prompt.
An encoder-decoder reads it before its eos; what it writes *answers* the prompt, and doesn't go on from it. Sentinels stay in an answer.
A decoder answers, too, if it was fine-tuned to: it reads a prompt with the *separator* behind it that it was taught with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from model.checkpoint import Mismatch, load_model, read_config
from model.encoder_decoder import EncoderDecoderModel
from model.families import Causal
from model.generate.answering import Answering, Continues
from model.generate.beams import beam_search
from model.generate.drawing import Drawing
from model.generate.prompts import Prompts
from model.generate.rows import continue_rows
from model.hf.heads import class_named

Tell = Callable[[int, str], None]
"""Hears the number of a text and a piece of it."""

_BROKEN = "\ufffd"
"""What bytes become that are not, or not yet, a character."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a writer. Raises ValueError for a value out of range."""

    max_tokens: int = 64
    samples: int = 1
    """Texts for each prompt."""
    drawing: Drawing = field(default_factory=Drawing)
    seed: int = 0
    """Of the first text; each other has the next one."""
    stop: tuple[str, ...] = ()
    beams: int = 1
    """More than one: the `samples` best texts that beam search finds; of `drawing`, the repetition penalty counts alone."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.samples < 1 or self.beams < 1 or not all(self.stop):
            raise ValueError("max_tokens, samples and beams want to be 1 or more, and a stop string not empty")
        if 1 < self.beams < self.samples:
            raise ValueError(f"{self.samples} samples of {self.beams} beams: ask for as many beams, at least")


@dataclass(frozen=True)
class Written:
    """A text that was made after a prompt."""

    prompt: str
    text: str
    """Bytes that are not UTF-8 show as U+FFFD."""
    tokens: int
    """How many were made, an eos and what a stop string cut off included."""
    ended: Literal["eos", "stop", "length"]


class Writer:
    """A saved model that writes; see the module."""

    def __init__(self, folder: Path) -> None:
        """Raises `Mismatch` naming the file that is not as it should be."""
        if class_named(read_config(folder).config) is not None:
            raise Mismatch(f"{folder}: was fine-tuned to tell labels or spans, and writes no text")
        model, config = load_model(folder)
        if not isinstance(model, Causal | EncoderDecoderModel):
            raise Mismatch(f"{folder}: is {config['model_type']}, which writes no text: this needs a decoder, or an encoder-decoder")
        self.model = model
        self._prompts = Prompts(folder, config)
        self.tokenizer, self.taught, self.bos = self._prompts.tokenizer, self._prompts.taught, self._prompts.bos
        self.eos = frozenset(self._prompts.eos)

    @property
    def answers(self) -> bool:
        """Whether texts answer their prompts; else they go on from them."""
        return self._prompts.start is not None or self._prompts.separator is not None

    def ids(self, prompt: str) -> list[int]:
        """A prompt as the model reads it. Raises ValueError for an empty one if the model knows no bos."""
        ids = self._prompts.ids(prompt)
        if not ids:
            raise ValueError("the prompt is empty, and the model has no bos token to begin with: give it a prompt")
        return ids

    def write(self, prompts: Sequence[str], asked: Asked, tell: Tell | None = None) -> list[Written]:
        """For each prompt in order, as many texts as were asked for. Raises ValueError as `ids` and `beam_search` do."""
        return self.write_after(prompts, [self.ids(prompt) for prompt in prompts], asked, tell)

    def write_after(self, prompts: Sequence[str], begun: Sequence[list[int]], asked: Asked, tell: Tell | None = None) -> list[Written]:
        """As `write`, of prompts that were read already."""
        read = [ids for ids in begun for _ in range(asked.samples)]
        start = self._prompts.start
        texts = [Growing(self.tokenizer, ids if start is None else [start], self.eos, asked.stop, start) for ids in read]
        if asked.beams > 1:
            for first in range(0, len(texts), asked.samples):
                model, (begin,) = self._begin(read[first : first + 1])
                found = beam_search(model, begin, asked.max_tokens, asked.beams, self.eos, asked.drawing.repetition_penalty)
                for text, new in zip(texts[first : first + asked.samples], found, strict=False):
                    all(text.add(token) for token in new)
        else:

            def hear(row: int, token: int) -> bool:
                goes_on = texts[row].add(token)
                if tell is not None and (piece := texts[row].piece(last=not goes_on)):
                    tell(row, piece)
                return goes_on

            seeds = [asked.seed + number for number in range(len(texts))]
            model, starts = self._begin(read)
            continue_rows(model, starts, asked.max_tokens, asked.drawing, seeds, hear)
        if tell is not None:
            for row, text in enumerate(texts):
                if piece := text.piece(last=True):
                    tell(row, piece)
        return [Written(prompts[row // asked.samples], text.text(), text.made, text.ended) for row, text in enumerate(texts)]

    def _begin(self, read: list[list[int]]) -> tuple[Continues, list[list[int]]]:
        """What goes on, and from which tokens, when these prompts are read."""
        if isinstance(self.model, EncoderDecoderModel):
            return Answering(self.model, read), [[self.start] for _ in read]
        return self.model, read

    @property
    def start(self) -> int:
        """What an encoder-decoder begins to write with."""
        assert self._prompts.start is not None, "a decoder has none"
        return self._prompts.start


class Growing:
    """A text in the making."""

    def __init__(
        self, tokenizer: Tokenizer, begun: list[int], eos: frozenset[int], stop: tuple[str, ...], start: int | None = None
    ) -> None:
        """``begun`` is what the text goes on from: its prompt, or what an encoder-decoder starts with. Of that one's answers, start and eos
        alone are left out; of others', all special tokens."""
        self._tokenizer, self._begun, self._eos, self._stop = tokenizer, begun, eos, stop
        self._unsaid = None if start is None else eos | {start}
        self._before = self._decode(begun)
        self._new: list[int] = []
        self._cut: str | None = None
        self._said = 0
        self.made = 0
        self.ended: Literal["eos", "stop", "length"] = "length"

    def add(self, token: int) -> bool:
        """Take a token; whether the text goes on."""
        self.made += 1
        if token in self._eos:
            self.ended = "eos"
            return False
        self._new.append(token)
        if self._stop:
            text = self.text()
            if places := [place for stop in self._stop if (place := text.find(stop)) >= 0]:
                self._cut, self.ended = text[: min(places)], "stop"
                return False
        return True

    def text(self) -> str:
        """What follows the prompt. Decoded with it, as some tokenizers drop the space before a text's first word."""
        if self._cut is not None:
            return self._cut
        whole = self._decode([*self._begun, *self._new])
        if whole.startswith(self._before):
            return whole[len(self._before) :]
        return self._decode(self._new)

    def _decode(self, ids: list[int]) -> str:
        if self._unsaid is None:
            told: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        else:
            told = self._tokenizer.decode([number for number in ids if number not in self._unsaid], skip_special_tokens=False)
        return told

    def piece(self, last: bool) -> str:
        """What can be told now and was not; unless it is the last, without what the next token may complete or cut off."""
        text = self.text()
        if not last:
            text = text.rstrip(_BROKEN)
            held = [n for stop in self._stop for n in range(1, len(stop)) if text.endswith(stop[:n])]
            text = text[: len(text) - max(held, default=0)]
        piece, self._said = text[self._said :], max(self._said, len(text))
        return piece
