"""The model: a *prompt* asks an example in words, of a model that has no head for its kind. It ends where the answer goes, which stands
behind a space, on one line. *Shots*, examples with their answers, stand before it, an empty line behind each.

    classification, relation   Text: TEXT            pairs   First: FIRST           answers   CONTEXT            generation   PROMPT
                               Label:                        Second: SECOND                   Question: QUESTION
                                                             Label:                           Answer:

A task's `prompt` takes the place of these. Fields are filled in all at once, so a text that holds a brace is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from model.examples import Asked, Classified, Written
from schemas.recipe import Task

TEMPLATES: Mapping[str, str] = {
    "classification": "Text: {text}\nLabel:",
    "relation": "Text: {text}\nLabel:",
    "pairs": "First: {first}\nSecond: {second}\nLabel:",
    "answers": "{context}\nQuestion: {question}\nAnswer:",
    "generation": "{prompt}",
}
"""By kind; others can't be asked in words."""
STOP = "\n"
"""What ends a written answer."""


def prompt_of(task: Task, example: Any, shots: Sequence[Any] = ()) -> str:
    """The prompt of an example, behind others with their answers."""
    template = task.prompt if task.prompt is not None else TEMPLATES[task.kind]
    shown = [f"{_filled(template, _fields(shot))}{behind(answer_of(task, shot))}\n\n" for shot in shots]
    return "".join(shown) + _filled(template, _fields(example))


def answer_of(task: Task, example: Any) -> str:
    """What is wanted, as a prompt shows it: the first of several answers."""
    match example:
        case Classified():
            return choice_of(task, example.label)
        case Asked():
            return example.answers[0].text if example.answers else ""
        case Written():
            return example.targets[0]
    raise TypeError(type(example).__name__)


def choice_of(task: Task, label: str) -> str:
    """What a label is called in a prompt."""
    return task.choices.get(label, label)


def behind(answer: str) -> str:
    """An answer as it stands behind a prompt."""
    return f" {answer}"


def _fields(example: Any) -> dict[str, str]:
    match example:
        case Classified():
            return {"text": example.text, "first": example.text, "second": example.second or ""}
        case Asked():
            return {"question": example.question, "context": example.context}
        case Written():
            return {"prompt": example.prompt}
    raise TypeError(type(example).__name__)


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """
    >>> _filled("{text} {other}", {"text": "{second}", "second": ""})
    '{second} {other}'
    """
    return re.sub(r"\{(\w+)\}", lambda found: fields.get(found[1], found[0]), template)
