"""The model: a *chat* is *turns*, each with a role and a text, which a model reads as one row of tokens, ready to answer. A model's own
*template* says how, a Jinja file beside its weights, as `transformers` has it; else they are read as the house's dialogues
(`model.dialogue`).

Texts of turns are not to be trusted: what a special token is spelled like is encoded as plain text there, so that nobody can end a
turn, or begin another's, by writing so.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from model.checkpoint import Mismatch
from model.dialogue import Dialogues
from model.examples import Message
from model.hf.export import TOKENIZER, TOKENIZER_CONFIG

TEMPLATE = "chat_template.jinja"
_MARK = re.compile("(turn[0-9a-f]{32})")


class _Generation(Extension):
    """The tag of `transformers` around what an assistant says, which marks what is learned: to a reader, it is what is inside."""

    tags = {"generation"}  # noqa: RUF012 (as jinja2 has it)

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class Chat:
    """How a saved model reads turns."""

    def __init__(self, folder: Path, bos: int | None, eos: int | None, house: bool = True) -> None:
        """``bos``: what a dialogue begins with that no template tells of. ``house``: whether one is read as the house's if there is no
        template. Raises `Mismatch` naming the template that can't be read."""
        self._has_house, self._knowing, self._plain = house, _reading(folder, as_text=False), _reading(folder, as_text=True)
        self._bos, self._eos = bos, eos
        beside = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8")) if (folder / TOKENIZER_CONFIG).is_file() else {}
        named = {name: _spelled(beside.get(name)) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
        self._named = {name: token for name, token in named.items() if token is not None}
        self._template = _template(folder, beside)

    def ids(self, turns: Sequence[Message]) -> list[int]:
        """Turns as the model reads them, up to where the assistant begins. Raises ValueError if the template refuses them, or if there is
        none and the model reads no dialogue without."""
        if self._template is None:
            return self._house(turns)
        if any(self._encode(self._knowing, turn.content) != self._encode(self._plain, turn.content) for turn in turns):
            return self._held_apart(self._template, turns)
        return self._encode(self._knowing, self._render(self._template, turns))

    def _house(self, turns: Sequence[Message]) -> list[int]:
        if not self._has_house:
            raise ValueError("the model answers texts, not dialogues, as it has no chat template: use /v1/completions")
        if self._eos is None:
            raise ValueError("the model has no eos token to end a turn with, and no chat template: use /v1/completions")
        return Dialogues(self._plain, self._bos, self._eos).prompt(turns, sys.maxsize)

    def _held_apart(self, template: jinja2.Template, turns: Sequence[Message]) -> list[int]:
        """Where a text spells a special token: the template is rendered around *marks* that nobody can guess, in place of texts, which
        are then encoded by themselves. Otherwise all is encoded as one, as `transformers` does it."""
        marks = {f"turn{secrets.token_hex(16)}": turn.content for turn in turns}
        rendered = self._render(template, [Message(turn.role, mark) for turn, mark in zip(turns, marks, strict=True)])
        ids: list[int] = []
        for part in _MARK.split(rendered):
            ids += self._encode(self._plain, marks[part].strip()) if part in marks else self._encode(self._knowing, part)
        return ids

    def _render(self, template: jinja2.Template, turns: Sequence[Message]) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True, **self._named)
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"the model's chat template refuses these messages: {error}") from error

    @staticmethod
    def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _reading(folder: Path, as_text: bool) -> Tokenizer:
    """The model's tokenizer, which reads a special token that is spelled in a text as that token, or as text."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = as_text
    return tokenizer


def _template(folder: Path, beside: dict[str, Any]) -> jinja2.Template | None:
    """The model's own template: its file, or what `tokenizer_config.json` says, of several the default one."""
    told = (folder / TEMPLATE).read_text(encoding="utf-8") if (folder / TEMPLATE).is_file() else beside.get("chat_template")
    if isinstance(told, list):
        told = next((one["template"] for one in told if one.get("name") == "default"), None)
    if told is None:
        return None
    # As `transformers` has it, from which templates come; the sandbox, as they may be anybody's.
    world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    world.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    world.globals["raise_exception"] = _refuse
    try:
        return world.from_string(told)
    except (jinja2.TemplateError, TypeError) as error:
        raise Mismatch(f"{folder / TEMPLATE}: is no template that can be read: {error}") from error


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _spelled(token: Any) -> str | None:
    return token["content"] if isinstance(token, dict) else token
