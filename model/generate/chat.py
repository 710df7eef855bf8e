"""The model: a *chat* is a dialogue with a saved model that was taught dialogues (`model.dialogue`), of which it is the assistant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from model.checkpoint import Mismatch
from model.decoder import DecoderModel
from model.dialogue import Dialogues
from model.examples.kinds import Message
from model.generate.writer import Asked, Writer, Written
from model.hf.export import framing_bos


class Chat:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        """Raises `Mismatch` for a model that wasn't taught dialogues here."""
        self._writer = Writer(folder)
        model = self._writer.model
        if self._writer.taught.get("kind") != "chat" or not isinstance(model, DecoderModel):
            raise Mismatch(
                f"{folder}: was not taught dialogues: fine-tune a decoder with task.kind chat; `gristmill generate` goes on from texts"
            )
        self._context, tokenizer = model.limit, self._writer.tokenizer
        self._dialogues = Dialogues(tokenizer, framing_bos(tokenizer, self._writer.bos), min(self._writer.eos))

    def say(self, messages: Sequence[Message], asked: Asked, tell: Callable[[str], None] | None = None) -> Written:
        """The assistant's next turn; `tell` hears it in pieces. Raises ValueError if the model can't see so many tokens."""
        room = self._context - asked.max_tokens
        if room < 1:
            raise ValueError(f"max_tokens {asked.max_tokens} leaves nothing of the model's context of {self._context}: ask for less")
        if not self._dialogues.fits(messages, room):
            raise ValueError(f"what was said last has no room in {room} tokens, the model's context of {self._context} less max_tokens")
        prompt = self._dialogues.prompt(messages, room)

        def hear(row: int, piece: str) -> None:
            if tell is not None:
                tell(piece)

        (written,) = self._writer.write_after([messages[-1].content], [prompt], asked, hear)
        return written
