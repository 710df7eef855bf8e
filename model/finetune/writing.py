"""The model: *writing* is to say, behind a *prompt*, the *target* that is wanted of it, and then an eos. Only these are learned.

    decoder           reads  bos prompt separator target eos
    encoder-decoder   reads  prompt eos           and writes  target eos

What an answer may take is its *room*: somewhat more than the longest target of the training subset. A decoder's prompt has what the room
leaves of `max_tokens`, the same when it learns and when it answers, and loses its end; a target that has no room loses its end and its
eos. Texts are encoded as text: special tokens that are spelled in them are none. Answers are greedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.examples import Written
from model.families import start_of
from model.finetune.kinds import ANSWER_BATCH, Forward, Said, WritingPurpose, in_order
from model.finetune.reading import Reading, Special
from model.finetune.samples import NOTHING, Batch, Sample, batch_of, by_length
from model.finetune.written import WritingModel
from model.generate.answering import Answering, Continues
from model.generate.drawing import Drawing
from model.generate.rows import continue_rows
from model.hf.export import framing_bos
from schemas.errors import RequestError

SLACK = 1.2
"""The room of an answer, over the longest target."""
GREEDY = Drawing(temperature=0)


@dataclass(frozen=True)
class Frame:
    """What stands around a prompt and a target."""

    bos: int | None
    eos: int
    start: int | None
    """What an encoder-decoder begins to write with; None: a decoder."""
    separator: str
    """Of a decoder."""

    @classmethod
    def of(cls, reading: Reading, config: dict[str, Any], separator: str) -> Self:
        """By a `config.json`, and how the tokenizer frames. Raises `RequestError` for a model without an eos."""
        special = Special.of(config)
        if special.eos is None:
            raise RequestError("the model has no eos token (eos_token_id in its config.json): it could not end what it writes")
        return cls(framing_bos(reading.tokenizer, special.bos), special.eos, start_of(config), separator)


@dataclass(frozen=True)
class Likelihood:
    """What wanted tokens cost a model."""

    nats: float
    tokens: int


class Writing:
    """See the module and `model.finetune.kinds`."""

    purpose: WritingPurpose = "writing"
    labels: tuple[str, ...] = ()

    def __init__(self, reading: Reading, frame: Frame, learned: Sequence[Any]) -> None:
        """`learned`: examples of the training subset. Raises `RequestError` if `max_tokens` leaves no room."""
        self.reading, self.frame = reading, frame
        reading.tokenizer.encode_special_tokens = True
        self._separator = [] if frame.start is not None else self._encode(frame.separator)
        longest = max((len(self._encode(target)) for example in learned for target in self._targets(example)), default=0) + 1
        self.room = min(int(longest * SLACK) + 1, reading.max_tokens if frame.start is not None else reading.max_tokens // 2)
        if self._prompt_room < 1:
            raise RequestError(f"finetune.max_tokens {reading.max_tokens} leaves no room for prompts: raise it")

    @property
    def own(self) -> dict[str, Any]:
        """What whoever asks the saved model must know, for its `config.json`."""
        told = {} if self.frame.start is not None else {"separator": self.frame.separator}
        return {**told, "max_new_tokens": self.room}

    def samples(self, examples: Sequence[Any]) -> list[Sample]:
        """One a target."""
        return [self._sample(self.prompt(example), target) for example in examples for target in self._targets(example)]

    def loss(self, model: Forward, batch: Batch) -> Tensor:
        return F.cross_entropy(*self._predicted(model, batch))

    def answer(self, model: Forward, examples: Sequence[Any]) -> list[Said]:
        return list(self.texts(model, [self.prompt(example) for example in examples]))

    @torch.no_grad()
    def texts(self, model: Forward, prompts: Sequence[list[int]]) -> list[str]:
        """What is written behind prompts."""
        assert isinstance(model, WritingModel)
        found: dict[int, list[int]] = {number: [] for number in range(len(prompts))}
        order = sorted(found, key=lambda number: -len(prompts[number]))
        for begin in range(0, len(order), ANSWER_BATCH):
            numbers = order[begin : begin + ANSWER_BATCH]
            read = [prompts[number] for number in numbers]

            def hear(row: int, token: int, numbers: list[int] = numbers) -> bool:
                if token == self.frame.eos:
                    return False
                found[numbers[row]].append(token)
                return True

            base: Any = model.base
            goes_on: Continues = base if self.frame.start is None else Answering(base, read)
            begun = read if self.frame.start is None else [[self.frame.start]] * len(read)
            continue_rows(goes_on, begun, self.room, GREEDY, [0] * len(read), hear)
        return [self.reading.tokenizer.decode(found[number], skip_special_tokens=True) for number in range(len(prompts))]

    @torch.no_grad()
    def likelihoods(self, model: Forward, samples: Sequence[Sample]) -> list[Likelihood]:
        """What the wanted tokens of each sample cost."""
        found: dict[int, Likelihood] = {}
        for numbers in by_length(samples, ANSWER_BATCH):
            batch = batch_of([samples[number] for number in numbers], self.reading.pad, self.reading.max_tokens)
            with sdpa_kernel(SDPBackend.MATH):
                nats = F.cross_entropy(*self._predicted(model, batch), reduction="none")
            counts = (batch.target != NOTHING).sum(1).tolist()
            for number, of_sample, tokens in zip(numbers, nats.split(counts), counts, strict=True):
                found[number] = Likelihood(float(of_sample.double().sum()), tokens)
        return in_order(iter(found.items()), len(samples))

    def prompt(self, example: Any) -> list[int]:
        """What a model reads before it writes."""
        return self._framed(example.prompt)

    def _targets(self, example: Written) -> Sequence[str]:
        return example.targets

    def _framed(self, text: str) -> list[int]:
        """A prompt with what stands around it."""
        if self.frame.start is not None:
            return [*self._encode(text)[: self._prompt_room], self.frame.eos]
        ids, room = self._encode(text + self.frame.separator), self._prompt_room + len(self._separator)
        if len(ids) > room:
            ids = [*self._encode(text)[: self._prompt_room], *self._separator]
        return ids if self.frame.bos is None else [self.frame.bos, *ids]

    @property
    def _prompt_room(self) -> int:
        if self.frame.start is not None:
            return self.reading.max_tokens - 1
        return self.reading.max_tokens - self.room - len(self._separator) - (self.frame.bos is not None)

    def _sample(self, prompt: list[int], target: str) -> Sample:
        wanted = [*self._encode(target), self.frame.eos][: self.room]
        return _encoder_decoder_sample(prompt, wanted) if self.frame.start is not None else decoder_sample(prompt, wanted)

    def _predicted(self, model: Forward, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the wanted tokens, float32 [tokens, vocab], and their ids; row by row."""
        written = batch.ids
        if self.frame.start is not None:
            begun = torch.full_like(batch.target[:, :1], self.frame.start)
            written = torch.cat([begun, batch.target[:, :-1].clamp(min=0)], 1)
        wanted = batch.target != NOTHING
        rows, positions = wanted.nonzero(as_tuple=True)
        logits = model(batch.ids, written, batch.lengths, rows * written.shape[1] + positions)
        return logits.float(), batch.target[wanted]

    def _encode(self, text: str) -> list[int]:
        self.reading.tokenizer.no_truncation()
        ids: list[int] = self.reading.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def decoder_sample(prompt: Sequence[int], wanted: Sequence[int]) -> Sample:
    """Each place wants the id behind it, if that is wanted at all."""
    return shifted([*prompt, *wanted], [False] * len(prompt) + [True] * len(wanted))


def shifted(ids: Sequence[int], wanted: Sequence[bool]) -> Sample:
    """Ids, of which some are wanted, as a decoder learns them: each place wants the id behind it."""
    read = np.asarray(ids, dtype=np.int64)
    target = np.where(np.asarray(wanted[1:], dtype=bool), read[1:], NOTHING)
    return Sample(read[:-1], np.zeros(len(read) - 1, dtype=np.int64), target)


def _encoder_decoder_sample(prompt: Sequence[int], wanted: Sequence[int]) -> Sample:
    read = np.asarray(prompt, dtype=np.int64)
    return Sample(read, np.zeros(len(read), dtype=np.int64), np.asarray(wanted, dtype=np.int64))
