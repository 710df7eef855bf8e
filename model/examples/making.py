"""The model: a row *makes* an example if it has what its kind needs, in the form that it needs; else it is `Unusable`, for a reason.

An answer that doesn't stand where its row says is moved to the nearest place where its text does stand, and told as *mended*.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from model.examples.kinds import Answer, Asked, Chatted, Classified, Coded, Example, Message, Role, Tagged, Written
from model.examples.rows import Row, Unusable
from schemas.recipe.task import FIELDS, Kind

_ALSO: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "chat": {"messages": ("conversations",)},  # ShareGPT's
    "code": {
        "id": ("task_id",),
        "prompt": ("text",),
        "solution": ("code",),
        "tests": ("test_list",),
        "setup": ("test_setup_code",),
    },  # MBPP's
}
"""Names under which published data has a field, tried after its own."""
_SHAREGPT: Mapping[Role, str] = {"system": "system", "user": "human", "assistant": "gpt"}
"""Its names of roles."""


class Made(NamedTuple):
    """An example, and what was mended in it."""

    example: Example
    mended: str | None = None


class _Values:
    """What a row has, by field."""

    def __init__(self, row: Row, kind: Kind, fields: Mapping[str, str]) -> None:
        self._row, self._kind, self._fields = row.values, kind, fields

    def take(self, field: str) -> Any:
        """The value of a field. Raises `Unusable` if the row has none."""
        for key in self._keys(field):
            if self._row.get(key) is not None:
                return self._row[key]
        key = self._keys(field)[0]
        near = difflib.get_close_matches(key, [name for name in self._row if name], n=1)
        there = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, self._row)) or 'nothing'}"
        raise Unusable("missing_field", f"has no {key!r}: {there} (data.fields.{field} names the key that holds it)")

    def has(self, field: str) -> bool:
        return any(self._row.get(key) is not None for key in self._keys(field))

    def text(self, field: str, *, may_be_empty: bool = False) -> str:
        return _text(self.take(field), field, may_be_empty=may_be_empty)

    def label(self, field: str) -> str:
        return _label(self.take(field), field)

    def _keys(self, field: str) -> tuple[str, ...]:
        return (self._fields[field],) if field in self._fields else (field, *_ALSO.get(self._kind, {}).get(field, ()))


def make(row: Row, kind: Kind, fields: Mapping[str, str], fallback: str) -> Made:
    """The example of a row; `fallback` is its id if it has none. Raises `Unusable`."""
    values = _Values(row, kind, fields)
    name = _label(values.take("id"), "id") if values.has("id") else fallback
    return _MAKERS[kind](name, values)


def default_fields(kind: Kind) -> dict[str, str]:
    """Columns of a file without header, if nobody says otherwise: the fields in the order in which a kind has them."""
    return {field: str(column) for column, field in enumerate(FIELDS[kind])}


def _classified(name: str, values: _Values) -> Made:
    return Made(Classified(name, values.text("text"), None, values.label("label")))


def _pair(name: str, values: _Values) -> Made:
    return Made(Classified(name, values.text("first"), values.text("second"), values.label("label")))


def _tagged(name: str, values: _Values) -> Made:
    words, tags = (_list(values.take(field), field, str.split) for field in ("words", "tags"))
    if len(words) != len(tags):
        raise Unusable("wrong_length", f"has {len(words)} words and {len(tags)} tags")
    if not words:
        raise Unusable("empty_text", "has no words")
    return Made(Tagged(name, tuple(_text(word, "words") for word in words), tuple(_label(tag, "tags") for tag in tags)))


def _asked(name: str, values: _Values) -> Made:
    question, context = values.text("question"), values.text("context")
    found = []
    for text, start in _answers(values.take("answers")):
        at = _nearest(context, text, start)
        if at is None:
            raise Unusable("answer_not_found", f"the context does not hold the answer {_short(text)}")
        found.append((Answer(text, at), start not in (None, at)))
    mended = "answer_moved" if any(moved for _, moved in found) else None
    return Made(Asked(name, question, context, tuple(answer for answer, _ in found)), mended)


def _answers(value: Any) -> list[tuple[str, int | None]]:
    """Texts and starts, of lists of both (as `datasets` has them), of a list of objects or of texts, or of one text."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise Unusable("wrong_type", "'answers' has not as many in its list 'answer_start' as in its list 'text'")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    found = []
    for answer in _list(value, "answers", lambda text: [text]):
        text, start = (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (answer, None)
        if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
            raise Unusable("wrong_type", f"'answer_start' is {start!r}, where a whole number belongs")
        found.append((_text(text, "answers"), start))
    return found


def _nearest(context: str, text: str, start: int | None) -> int | None:
    """Where the text stands in the context: at `start`, else as near to it as can be."""
    if start is None:
        start = 0
    elif start >= 0 and context.startswith(text, start):
        return start
    before = context.rfind(text, 0, max(start, 0) + len(text))
    after = context.find(text, max(start, 0))
    there = [at for at in (before, after) if at >= 0]
    return min(there, key=lambda at: abs(at - start), default=None)


def _written(name: str, values: _Values) -> Made:
    targets = _list(values.take("target"), "target", lambda text: [text])
    if not targets:
        raise Unusable("empty_text", "'target' has no text")
    return Made(Written(name, values.text("prompt"), tuple(dict.fromkeys(_text(target, "target") for target in targets))))


def _chatted(name: str, values: _Values) -> Made:
    messages = _list(values.take("messages"), "messages", _json_list)
    said = []
    expected: tuple[Role, ...] = ("system", "user")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            raise Unusable("wrong_type", f"message {number} is a {type(message).__name__}, where an object belongs")
        by, content = (message.get(key) for key in (("role", "content") if "role" in message else ("from", "value")))
        role = next((known for known in expected if by in (known, _SHAREGPT[known])), None)
        if role is None:
            raise Unusable("wrong_role", f"message {number} is by {by!r}, where {' or '.join(expected)} belongs")
        said.append(Message(role, _text(content, f"messages[{number}]")))
        expected = ("assistant",) if role == "user" else ("user",)
    if not said or said[-1].role != "assistant":
        raise Unusable("wrong_role", "the assistant does not have the last word, so there is nothing to learn")
    return Made(Chatted(name, tuple(said)))


def _coded(name: str, values: _Values) -> Made:
    tests = _list(values.take("tests"), "tests", _json_list)
    if not tests:
        raise Unusable("empty_text", "'tests' has no statement")
    setup = values.text("setup", may_be_empty=True) if values.has("setup") else ""
    code = values.text("solution")
    return Made(Coded(name, values.text("prompt"), code, tuple(_text(test, "tests") for test in tests), setup))


def _list(value: Any, field: str, of_text: Callable[[str], list[Any]]) -> Sequence[Any]:
    """A list as it is, or made of a text."""
    if isinstance(value, str):
        value = of_text(value)
    if not isinstance(value, list):
        raise Unusable("wrong_type", f"{field!r} is a {type(value).__name__}, where a list belongs")
    return value


def _json_list(text: str) -> list[Any]:
    """What a cell of a table holds: a list in JSON, or one text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return value if isinstance(value, list) else [text]


def _text(value: Any, field: str, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str):
        raise Unusable("wrong_type", f"{field!r} is {_short(value)}, where a text belongs")
    if not may_be_empty and not value.strip():
        raise Unusable("empty_text", f"{field!r} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unusable("undecodable", f"{field!r} is not UTF-8 at character {error.start}: convert the file") from error
    return value


def _label(value: Any, field: str) -> str:
    if isinstance(value, int):  # a number of stars, or true and false
        return str(value)
    if not isinstance(value, str):
        raise Unusable("wrong_type", f"{field!r} is {_short(value)}, where a text or a whole number belongs")
    return _text(value, field).strip()


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:57]}..."


_MAKERS: Mapping[Kind, Callable[[str, _Values], Made]] = {
    "classification": _classified,
    "pairs": _pair,
    "relation": _classified,
    "tagging": _tagged,
    "answers": _asked,
    "generation": _written,
    "chat": _chatted,
    "code": _coded,
}
