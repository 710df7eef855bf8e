"""The model: a *dialogue* is read as *turns* in plain text, each behind a *header* that says whose it is, and before an eos:

    <bos><|user|>
    Where is Peking?<eos><|assistant|>
    In China.<eos>

Headers are ordinary text, so any tokenizer can spell them. What stands in a turn is encoded as text, too: who writes `<eos>` in it has
not ended it. White space at the ends of a turn is left out. Of a dialogue that is too long, the oldest turns are left out, but for a
system's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from model.examples.kinds import Message

ASSISTANT = "<|assistant|>\n"


@dataclass(frozen=True)
class Turn:
    """A message as a model reads it, its eos included."""

    role: str
    ids: list[int]
    said: list[bool]
    """Of each id, whether it is of what was said: no header; the eos is."""


class Dialogues:
    """How a model reads dialogues."""

    def __init__(self, tokenizer: Tokenizer, bos: int | None, eos: int) -> None:
        """`tokenizer`: is told to encode special tokens as the text that they are."""
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        self._asks: list[int] = tokenizer.encode(ASSISTANT, add_special_tokens=False).ids
        self._tokenizer, self._eos = tokenizer, eos
        self._begin = [] if bos is None else [bos]

    def turn(self, message: Message) -> Turn:
        header = f"<|{message.role}|>\n"
        read = self._tokenizer.encode(header + message.content.strip(), add_special_tokens=False)
        return Turn(message.role, [*read.ids, self._eos], [*(begin >= len(header) for begin, _ in read.offsets), True])

    def read(self, messages: Iterable[Message], room: int) -> tuple[list[int], list[Turn]]:
        """What stands before the turns, and the turns: all that there are, or if there is no room, a system's and so many of the last, from
        a user's on; those from the last user's on, at least."""
        turns = [self.turn(message) for message in messages]
        system = [turn for turn in turns[:1] if turn.role == "system"]
        kept = turns
        users = (place for place, turn in enumerate(turns) if turn.role == "user" and place > len(system))
        for begin in (len(system), *users):
            kept = [*system, *turns[begin:]]
            if len(self._begin) + sum(len(turn.ids) for turn in kept) <= room:
                break
        return self._begin, kept

    def prompt(self, messages: Sequence[Message], room: int) -> list[int]:
        """The ids that an assistant's next turn follows: `room` of them at the most. What has no room is cut off: see `fits`."""
        begin, turns = self.read(messages, room - len(self._asks))
        ids = [*begin, *(number for turn in turns for number in turn.ids)]
        return [*ids[: max(room - len(self._asks), 0)], *self._asks]

    def fits(self, messages: Iterable[Message], room: int) -> bool:
        """Whether a prompt of `room` ids holds the turns from the last user's on, and a system's, to their ends."""
        begin, turns = self.read(messages, room - len(self._asks))
        return len(begin) + sum(len(turn.ids) for turn in turns) + len(self._asks) <= room


def chat_template(bos: str | None, eos: str) -> str:
    """The Jinja template by which `transformers` writes a dialogue as it is read here."""
    turn = "'<|' + message['role'] + '|>\\n' + (message['content'] | trim)"
    begin = "" if bos is None else f"{{{{ {_quoted(bos)} }}}}"
    turns = f"{{% for message in messages %}}{{{{ {turn} + {_quoted(eos)} }}}}{{% endfor %}}"
    return f"{begin}{turns}{{% if add_generation_prompt %}}{{{{ '<|assistant|>\\n' }}}}{{% endif %}}"


def _quoted(token: str) -> str:
    """A token as a text in Jinja."""
    return json.dumps(token, ensure_ascii=False)
