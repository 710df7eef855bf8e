"""The model: what is *wanted* is the body of a request, validated key by key; what can't be had is *refused*, with a status, and the key.

Keys are OpenAI's, and besides `top_k`, `min_p` and `repetition_penalty`. A key that changes no answer (`user`) is passed over. One that
would, and is not known here (`tools`), is refused, unless it is null: an answer that leaves it out silently would be another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.generate.drawing import LEAST_PENALTY

_PASSED_OVER = {"metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user"}
_WITHOUT_EFFECT: dict[str, list[Any]] = {
    "best_of": [1],
    "frequency_penalty": [0],
    "logit_bias": [{}],
    "modalities": [["text"]],
    "presence_penalty": [0],
    "response_format": [{"type": "text"}],
    "suffix": [""],
    "tools": [[]],
}
"""Values with which keys that are not known here ask for nothing."""


@dataclass
class Refused(Exception):
    """Why a request is not answered."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The shape of OpenAI's errors."""
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, "invalid_request_error")
        kind = "server_error" if self.status >= 500 else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: str


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False
    """Of other servers, which pad what they send: passed over."""


Count = Annotated[int, Field(ge=1)]
_One = TypeVar("_One")
Several = Annotated[list[_One], Field(fail_fast=True)]
"""The first of many that is wrong is enough to refuse them all."""
Ids = Several[Annotated[int, Field(ge=0)]]


class Writing(_Body):
    """What completions and chats have in common."""

    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Annotated[Several[str], Field(max_length=16)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Count | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(ge=LEAST_PENALTY, le=10, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**62), le=2**62)] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        return tuple([self.stop] if isinstance(self.stop, str) else self.stop or ())


class Completion(Writing):
    """Texts that go on from prompts."""

    prompt: str | Several[str] | Ids | Several[Ids]
    max_tokens: Count | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Several[TextPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatCompletion(Writing):
    """An answer to the last of some messages."""

    messages: Annotated[Several[Message], Field(min_length=1)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


class Embeddings(_Body):
    """Vectors of texts."""

    input: str | Several[str] | Ids | Several[Ids]
    encoding_format: Literal["float", "base64"] | None = None


Wanted = TypeVar("Wanted", bound=_Body)


def parse(kind: type[Wanted], body: bytes) -> Wanted:
    """A body as JSON. Raises `Refused` naming the key."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, "the body is no JSON object: want keys and values")
    kept = {key: one for key, one in value.items() if key not in _PASSED_OVER and one not in _WITHOUT_EFFECT.get(key, [])}
    known = kind.model_fields
    kept = {key: one for key, one in kept.items() if key in known or one is not None}
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1] if isinstance(part, str))
        inside = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        message = "is not known here: leave it out" if unknown else first["msg"]
        raise Refused(400, f"{inside}: {message}", where or None, "unknown_parameter" if unknown else None) from error


def several(given: str | list[str] | list[int] | list[list[int]]) -> Sequence[str | list[int]]:
    """One prompt or several, as several."""
    if isinstance(given, str):
        return [given]
    numbers = [one for one in given if isinstance(one, int)]
    return [numbers] if numbers else [one for one in given if not isinstance(one, int)]


def too_long(message: str, param: str) -> Refused:
    """For more tokens than the model can see."""
    return Refused(400, message, param, "context_length_exceeded")


def full() -> Refused:
    """While as many wait as may."""
    return Refused(429, "as many texts wait as may: try again later", None, "queue_full", {"retry-after": "1"})


def closing() -> Refused:
    """While the server finishes what it has begun."""
    return Refused(503, "the server is ending: ask another", None, "closing", {"connection": "close"})
