"""The model: SQuAD files have articles of paragraphs, and each paragraph a context with its questions (Rajpurkar et al. 2016; version 2.0
has some without an answer). A context is the group of its questions. Answers are checked where examples are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from model.examples.rows import Fault, Row, as_text
from schemas.errors import RequestError
from schemas.recipe.task import TaskData


def read(content: bytes, data: TaskData) -> Iterator[Row | Fault]:
    """The questions. Raises `RequestError` if the file is no JSON of SQuAD's form: nothing tells where its questions begin."""
    try:
        value = json.loads(as_text(content))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"is not valid JSON: {error}") from error
    articles = value.get("data") if isinstance(value, dict) else None
    if not isinstance(articles, list):
        raise RequestError('has no list `data` of articles, as SQuAD has it: set data.format: jsonl if it is a list of {"question": ...}')
    for number, article in enumerate(articles):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield Fault(f"data[{number}]", "missing_field", "has no list `paragraphs`")
            continue
        for position, paragraph in enumerate(paragraphs):
            yield from _questions(f"data[{number}].paragraphs[{position}]", paragraph)


def _questions(at: str, paragraph: Any) -> Iterator[Row | Fault]:
    questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
    if not isinstance(questions, list):
        yield Fault(at, "missing_field", "has no list `qas` of questions")
        return
    context = paragraph.get("context")
    for number, question in enumerate(questions):
        if not isinstance(question, dict):
            yield Fault(f"{at}.qas[{number}]", "not_an_object", f"is a {type(question).__name__}, where a question belongs")
            continue
        name = question.get("id")
        place = (
            f"question {str(name).encode('utf-8', 'backslashreplace').decode()}"
            if isinstance(name, str | int) and name != ""
            else f"{at}.qas[{number}]"
        )
        group = context if isinstance(context, str) else None
        yield Row(place, {"context": context, **question}, group)
