"""The model: *chatting* is writing in turns. A dialogue is learned as one text (`model.dialogue`), of which only what assistants say, and
their eos, is wanted. It is judged by what the assistants' words cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.dialogue import Dialogues
from model.examples import Chatted
from model.finetune.kinds import Forward
from model.finetune.reading import Reading
from model.finetune.samples import NOTHING, Sample
from model.finetune.writing import Frame, Writing, shifted
from schemas.errors import RequestError


class Chatting(Writing):
    """See the module and `model.finetune.kinds`."""

    def __init__(self, reading: Reading, frame: Frame, learned: Sequence[Chatted]) -> None:
        """Raises `RequestError` for an encoder-decoder."""
        if frame.start is not None:
            raise RequestError(
                "task.kind chat: an encoder-decoder doesn't go on from a dialogue: fine-tune a decoder, or take kind generation"
            )
        self._dialogues = Dialogues(reading.tokenizer, frame.bos, frame.eos)
        super().__init__(reading, frame, learned)

    @property
    def own(self) -> dict[str, Any]:
        return {"max_new_tokens": self.room}

    def samples(self, examples: Sequence[Chatted]) -> list[Sample]:
        """One a dialogue; none of what leaves no room for a word of an assistant's. Raises `RequestError` if that is all."""
        found = [sample for sample in map(self.sample, examples) if (sample.target != NOTHING).any()]
        if not found:
            raise RequestError(f"finetune.max_tokens {self.reading.max_tokens} leaves no room for a word of an assistant's: raise it")
        return found

    def sample(self, example: Chatted) -> Sample:
        """The last turns, as many as `max_tokens` has room for."""
        begin, turns = self._dialogues.read(example.messages, self.reading.max_tokens + 1)
        ids, wanted = list(begin), [False] * len(begin)
        for turn in turns:
            ids += turn.ids
            wanted += turn.said if turn.role == "assistant" else [False] * len(turn.ids)
        room = self.reading.max_tokens + 1  # the last id is wanted, and not read
        return shifted(ids[:room], wanted[:room])

    def prompt(self, example: Chatted) -> list[int]:
        return self._dialogues.prompt(example.messages[:-1], self.reading.max_tokens - self.room)

    def judged(self, model: Forward, examples: Sequence[Chatted]) -> tuple[list[float], list[tuple[int, int]]]:
        """The nats that assistants' words cost in each dialogue, and how many tokens and bytes they are: those that had room."""
        samples = [self.sample(example) for example in examples]
        found = self.likelihoods(model, samples)
        sizes = [self._bytes(sample) for sample in samples]
        return [one.nats for one in found], [(one.tokens, size) for one, size in zip(found, sizes, strict=True)]

    def _bytes(self, sample: Sample) -> int:
        said = [number for number in sample.target.tolist() if number not in (NOTHING, self.frame.eos)]
        return len(self.reading.tokenizer.decode(said, skip_special_tokens=False).encode())

    def _targets(self, example: Any) -> Sequence[str]:
        return [message.content.strip() for message in example.messages if message.role == "assistant"]
