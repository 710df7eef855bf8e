"""The model: an *example* is an *input* with its *reference*, the answer that is wanted. Each kind of task has its own form; `id` names
an example within its task.

What an input is decides which examples are copies of each other, and which subset one is drawn into.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from schemas.fingerprint import canonical_json


@dataclass(frozen=True)
class Classified:
    """A text, or a pair of texts, with its label. Sentences with a relation keep the marks <e1>...</e1> and <e2>...</e2>."""

    id: str
    text: str
    second: str | None
    label: str


@dataclass(frozen=True)
class Tagged:
    """Words with a tag each; tags of entities are in IOB2."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """A piece of a context: `context[start : start + len(text)] == text`."""

    text: str
    start: int


@dataclass(frozen=True)
class Asked:
    """A question about a context; without answers, the context has none."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Written:
    """A prompt, and the texts each of which is a good answer to it; one at least."""

    id: str
    prompt: str
    targets: tuple[str, ...]


Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """What one side of a dialogue says."""

    role: Role
    content: str


@dataclass(frozen=True)
class Chatted:
    """A dialogue: perhaps a system's message, then user and assistant in turns; the assistant has the last word."""

    id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Coded:
    """A problem, code that solves it, and the statements that hold for what solves it, to be run after `setup`."""

    id: str
    prompt: str
    solution: str
    tests: tuple[str, ...]
    setup: str


Example = Classified | Tagged | Asked | Written | Chatted | Coded


def input_of(example: Example) -> tuple[str, ...]:
    """The texts that a model is given."""
    match example:
        case Classified():
            return (example.text,) if example.second is None else (example.text, example.second)
        case Tagged():
            return example.words
        case Asked():
            return (example.question, example.context)
        case Written():
            return (example.prompt,)
        case Chatted():
            return tuple(message.content for message in example.messages[:-1])
        case Coded():  # problems that read alike differ by their tests
            return (example.prompt, *example.tests)


def reference_of(example: Example) -> Any:
    """What is wanted of a model, as a JSON value."""
    match example:
        case Classified():
            return example.label
        case Tagged():
            return list(example.tags)
        case Asked():
            return [asdict(answer) for answer in example.answers]
        case Written():
            return list(example.targets)
        case Chatted():
            return example.messages[-1].content
        case Coded():
            return example.solution


def labels_of(example: Example) -> tuple[str, ...]:
    """The label of a text, the tags of words; nothing for other kinds."""
    match example:
        case Classified():
            return (example.label,)
        case Tagged():
            return example.tags
        case _:
            return ()


def folded(text: str) -> str:
    """Text in NFC with each run of white space as one space, none at the ends: what differs no more than that is equal."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key_of(example: Example) -> str:
    """Equal for examples whose inputs are equal but for white space and composition."""
    return "\x1f".join(folded(text) for text in input_of(example))


def opening_of(example: Example) -> str | None:
    """Of a dialogue, what it begins with, up to the assistant's first turn; None of other kinds. Dialogues that are grown from one, turn by
    turn, have one opening, and who learned one learned what the others are judged by."""
    if not isinstance(example, Chatted):
        return None
    first = next(number for number, message in enumerate(example.messages, 1) if message.role == "assistant")
    return "\x1f".join(folded(message.content) for message in example.messages[:first])


def data_digest(examples: Iterable[Example]) -> str:
    """SHA-256, in hex, of inputs and references in their order. Ids don't count: they may come from names of files."""
    hasher = hashlib.sha256()
    for example in examples:
        hasher.update(canonical_json([type(example).__name__, input_of(example), reference_of(example)]) + b"\n")
    return hasher.hexdigest()
