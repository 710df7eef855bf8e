"""The model: a request to *write* becomes rows of the current version's engine, `n` of each prompt; what they grow by becomes an
answer, or *events* of a stream.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from model.generate import Drawing
from model.serving import told
from model.serving.engine import Closing, Full, Row
from model.serving.hearing import Hearing, unless_gone
from model.serving.house import House, Version
from model.serving.wanted import Refused, Writing, closing, full, too_long

Prompts = tuple[list[list[int]], told.Answer]
"""Prompts as the model reads them, and how what is written of them is told."""


async def write(
    request: Request,
    house: House,
    wanted: Writing,
    read: Callable[[Version], Prompts],
    most: int | None,
    usual: int,
    likeliest: int | None,
) -> Response:
    """Have `n` texts written of each prompt, of `most` tokens; unless that was asked for, of the `usual` number that there is room for."""
    limits, texts = house.limits, wanted.n or 1
    if not all(wanted.stops):
        raise Refused(400, "stop: a text can't end before nothing: leave the empty string out", "stop")
    if most is not None and most > limits.tokens:
        raise Refused(400, f"max_tokens: {most} is more than this server makes: {limits.tokens}", "max_tokens")
    deadline = time.monotonic() + limits.seconds
    temperature = 1.0 if wanted.temperature is None else wanted.temperature
    drawing = Drawing(temperature, wanted.top_k, wanted.top_p, wanted.min_p, wanted.repetition_penalty or 1.0)
    seed = secrets.randbits(62) if wanted.seed is None else wanted.seed
    while True:
        version = version_named(house, wanted.model)
        engine = version.engine
        if engine is None:
            raise Refused(400, f"{version.artifact.reference} is an encoder, which writes no text: use /v1/embeddings", "model")
        prompts, answer = await asyncio.to_thread(read, version)
        if (rows := len(prompts) * texts) > limits.waiting:
            raise Refused(400, f"n: {rows} texts are more than this server takes on: {limits.waiting}", "n")
        hearing = Hearing()
        for prompt in prompts:
            room = _room(prompt, most, version, min(usual, limits.tokens))
            for _ in range(texts):
                number = len(hearing.rows)
                row = Row(tuple(prompt), room, drawing, seed + number, hearing.hear(number), wanted.stops)
                row.streams, row.likeliest, row.deadline = bool(wanted.stream), likeliest, deadline
                hearing.rows.append(row)
        try:
            engine.submit(hearing.rows)
            break
        except Full:
            raise full() from None
        except Closing:  # another version has taken its place meanwhile, unless all ends
            if house.closing:
                raise closing() from None
    read_tokens = sum(map(len, prompts))
    if wanted.stream:
        with_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        return _Stream(_events(hearing, answer, read_tokens, with_usage), hearing)
    try:
        found = await unless_gone(request, hearing.all())
    finally:
        hearing.cancel()
    choices = [answer.choice(number, piece, chunk=False) for number, piece in sorted(found.items())]
    made = sum(piece.made for piece in found.values())
    return as_response({**answer.head(chunk=False), "choices": choices, "usage": told.usage(read_tokens, made)})


async def _events(hearing: Hearing, answer: told.Answer, read_tokens: int, with_usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events of texts as they grow."""
    head = {**answer.head(chunk=True), **({"usage": None} if with_usage else {})}
    made = 0
    try:
        for number in range(len(hearing.rows)):
            if (opening := answer.opening(number)) is not None:
                yield _event({**head, "choices": [opening]})
        async for number, piece in hearing.pieces():
            yield _event({**head, "choices": [answer.choice(number, piece, chunk=True)]})
            made += piece.made if piece.ended else 0
        if with_usage:
            yield _event({**head, "choices": [], "usage": told.usage(read_tokens, made)})
        yield b"data: [DONE]\n\n"
    except Refused as refused:  # the status is out already
        yield _event(refused.as_json())


def version_named(house: House, name: str) -> Version:
    """The version that is served, if it may be called so. Raises `Refused`."""
    if name not in house.names():
        there = ", ".join(house.names())
        raise Refused(404, f"model {name!r} is not served here; there is {there}", "model", "model_not_found")
    return house.current


class _Stream(StreamingResponse):
    """Events; if nobody takes them any more, their texts are not gone on with."""

    def __init__(self, events: AsyncIterator[bytes], hearing: Hearing) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._hearing = hearing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hearing.cancel()


def _room(prompt: list[int], most: int | None, version: Version, limit: int) -> int:
    """Tokens that may follow a prompt. Raises `Refused` if prompt and text don't fit the context."""
    left = version.room(len(prompt))
    if (most or 1) > left:
        wrong, asked = "max_tokens" if left > 0 else "prompt", f" and {most} of the text" if most else ""
        told = f"{len(prompt)} tokens of the prompt{asked} don't fit the context of {version.context}"
        if version.reads_apart:
            told = f"prompt and text may have {version.context} tokens each, not {len(prompt)}{f' and {most}' if most else ''}"
        raise too_long(told, wrong)
    return most or min(left, limit)


def as_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def _event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
