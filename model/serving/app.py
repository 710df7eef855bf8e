"""The model: the *routes*: what is asked by HTTP is checked (who asks, how much, of which model), given to the house's current version, and
told as OpenAI's API tells it. A client that goes away lets go of all that was begun for it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from model.examples import Message
from model.serving import told
from model.serving.hearing import Gone, too_slow, unless_gone
from model.serving.house import House, Version
from model.serving.metrics import as_text
from model.serving.wanted import ChatCompletion, Completion, Embeddings, Refused, Wanted, closing, full, parse, several, too_long
from model.serving.writing import Prompts, as_response, version_named, write

Handler = Callable[[Request], Awaitable[Response]]
_BODY_SECONDS = 60.0
_TOKENS = 16
"""Of a completion that is asked for without a number, as OpenAI has it."""
_GONE = 499
"""What proxies log for a client that went away; nobody is told."""


class Routes:
    """See the module."""

    def __init__(self, house: House, token: str | None) -> None:
        """With a token, whoever asks must know it. Without, the server is for this machine, and is asked by its address or as localhost."""
        self._house, self._token, self._limits = house, None if token is None else token.encode(), house.limits
        self.app = FastAPI(openapi_url=None)
        for path, handler, method in (
            ("/v1/models", self._models, "GET"),
            ("/v1/models/{name:path}", self._model, "GET"),
            ("/v1/completions", self._completions, "POST"),
            ("/v1/chat/completions", self._chat, "POST"),
            ("/v1/embeddings", self._embeddings, "POST"),
            ("/metrics", self._metrics, "GET"),
        ):
            self.app.add_route(path, self._guarded(path, handler), methods=[method])
        self.app.add_route("/health", self._health, methods=["GET"])
        for status in (404, 405):
            self.app.add_exception_handler(status, self._no_such_route)

    def _guarded(self, path: str, handler: Handler) -> Handler:
        """Ask for the token, tell what goes wrong as OpenAI does, and count."""

        async def guarded(request: Request) -> Response:
            try:
                self._authorise(request)
                response = await handler(request)
            except Refused as refused:
                response = as_response(refused.as_json(), refused.status, dict(refused.headers))
            except Gone:
                response = Response(status_code=_GONE)
            except Exception as error:  # ours, not the client's: it is told that, and the log tells what
                print(f"gristmill api: {path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                response = as_response(Refused(500, "the server failed; its log says why").as_json(), 500)
            counted = self._house.totals.requests
            counted[path, response.status_code] = counted.get((path, response.status_code), 0) + 1
            return response

        return guarded

    def _authorise(self, request: Request) -> None:
        if self._token is None:
            if not _is_local(host := request.headers.get("host", "")):
                raise Refused(421, f"the header `Host: {host}` is another's name: ask by an address, or localhost", None, "wrong_host")
        else:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                wanted, challenge = "`Authorization: Bearer TOKEN`, with the server's token", {"www-authenticate": "Bearer"}
                raise Refused(401, f"want the header {wanted}", None, "invalid_api_key", challenge)

    async def _no_such_route(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return as_response(Refused(status, f"{request.method} {request.url.path} is no route of this server").as_json(), status)

    async def _health(self, request: Request) -> Response:
        return as_response({"status": "closing" if self._house.closing else "ok"}, 503 if self._house.closing else 200)

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(as_text(self._house))

    async def _models(self, request: Request) -> Response:
        return as_response({"object": "list", "data": [self._described(name) for name in self._house.names()[:2]]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        version_named(self._house, name)
        return as_response(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._house.current.created, "owned_by": "gristmill"}

    async def _completions(self, request: Request) -> Response:
        wanted = await self._wanted(request, Completion)
        if wanted.echo and wanted.logprobs is not None:
            raise Refused(400, "echo: log probabilities of a prompt are not told: leave out logprobs", "echo")
        given = several(wanted.prompt)
        self._count("prompt", len(given))
        texts = wanted.n or 1

        def read(version: Version) -> Prompts:
            prompts = [self._ids(version, one) for one in given]
            spelled = [one if isinstance(one, str) else version.tokenizer.decode(one) for one in given]
            echo = [text for text in spelled for _ in range(texts)] if wanted.echo else []
            return prompts, told.CompletionAnswer(version.artifact.reference, version.fingerprint, version.tokenizer, echo=echo)

        return await write(request, self._house, wanted, read, wanted.max_tokens, _TOKENS, wanted.logprobs)

    async def _chat(self, request: Request) -> Response:
        wanted = await self._wanted(request, ChatCompletion)
        if wanted.top_logprobs is not None and not wanted.logprobs:
            raise Refused(400, "top_logprobs: wants logprobs to be true", "top_logprobs")
        turns = [Message("system" if one.role == "developer" else one.role, one.text) for one in wanted.messages]

        def read(version: Version) -> Prompts:
            try:
                ids = version.chat.ids(turns)
            except ValueError as error:
                raise Refused(400, str(error), "messages") from error
            return [ids], told.ChatAnswer(version.artifact.reference, version.fingerprint, version.tokenizer)

        most = wanted.max_completion_tokens or wanted.max_tokens
        likeliest = (wanted.top_logprobs or 0) if wanted.logprobs else None
        return await write(request, self._house, wanted, read, most, self._limits.tokens, likeliest)

    async def _embeddings(self, request: Request) -> Response:
        wanted = await self._wanted(request, Embeddings)
        given = several(wanted.input)
        self._count("input", len(given))
        house, version = self._house, version_named(self._house, wanted.model)
        embedder, worker = version.embedder, version.worker
        if embedder is None or worker is None:
            raise Refused(
                400,
                f"{version.artifact.reference} goes on with texts, and makes no vectors of them: serve an encoder, or an encoder-decoder",
                "model",
            )
        texts = await asyncio.to_thread(lambda: [embedder.ids(one) if isinstance(one, str) else one for one in given])
        for number, (text, ids) in enumerate(zip(given, texts, strict=True)):
            if not text or not ids or max(ids) >= embedder.vocab_size:
                raise Refused(400, f"input.{number}: is empty, or has an id that is no token", "input")
            if len(ids) > embedder.context:
                raise too_long(f"input.{number} has {len(ids)} tokens; the model reads {embedder.context}", "input")
        if house.embedding + len(texts) > max(self._limits.waiting, self._limits.prompts):
            raise full()
        house.embedding += len(texts)
        try:
            made = asyncio.get_running_loop().run_in_executor(worker, embedder.vectors, texts)
            vectors = await unless_gone(request, asyncio.wait_for(made, self._limits.seconds))
        except TimeoutError as error:
            raise too_slow() from error
        finally:
            house.embedding -= len(texts)
        house.totals.texts += len(texts)
        return as_response(
            told.embeddings(version.artifact.reference, vectors, sum(map(len, texts)), as_base64=wanted.encoding_format == "base64")
        )

    async def _wanted(self, request: Request, kind: type[Wanted]) -> Wanted:
        """The body of a request. Raises `Refused` for one that is too large, or not as it should be."""
        if self._house.closing:
            raise closing()
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refused(415, "want the header `Content-Type: application/json`")  # which a foreign web page can't send unasked
        told_length = request.headers.get("content-length", "0")
        too_large = Refused(413, f"the body is larger than this server reads: {self._limits.body:,} bytes")
        if told_length.isdigit() and int(told_length) > self._limits.body:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._limits.body:
                        raise too_large
        except TimeoutError as error:
            raise Refused(408, f"the body did not come within {_BODY_SECONDS:.0f} seconds") from error
        return parse(kind, bytes(body))

    def _count(self, key: str, count: int) -> None:
        if not 1 <= count <= self._limits.prompts:
            raise Refused(400, f"{key}: has {count}; this server takes 1 to {self._limits.prompts} of a request", key)

    def _ids(self, version: Version, prompt: str | list[int]) -> list[int]:
        ids = version.ids(prompt) if isinstance(prompt, str) else prompt
        if not ids:
            why = ", and the model has no bos token to begin with" if isinstance(prompt, str) else ": a list of no tokens"
            raise Refused(400, f"prompt: is empty{why}", "prompt")
        if max(ids) >= version.vocab_size:
            raise Refused(400, f"prompt: id {max(ids)} is no token: the vocabulary has {version.vocab_size}", "prompt")
        return ids


def _is_local(host: str) -> bool:
    """Whether a Host is an address, or localhost: a web page can have a name of its own point at this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in ("localhost", "localhost.localdomain") or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
