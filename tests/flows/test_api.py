"""The model: `gristmill api` as a process, asked by OpenAI's own client, by clients that leave or mean harm, and by many at a time."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from flows.retraining.judging import Bundle
from flows.retraining.promoting import promote_models, roll_back
from model.checkpoint import load_model
from model.encoder import EncoderModel
from model.generate import Asked, Drawing, Writer
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.store import Store
from tests.flows.served import CONTEXT, ENCODER, Server, serving, small_tokenizer, small_version
from tests.model.served import commit_model, random_model

pytestmark = pytest.mark.slow

TOKEN = "a token that nobody guesses"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    tokenizer = small_tokenizer(folder)
    small_version(folder, tokenizer, 1)
    commit_model(folder, "vectors", random_model(ENCODER, 600, 2), tokenizer)
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--slots", "8", "--max-tokens", "200", "--max-body", "100000", "--waiting", "100", "--max-prompts", "20")
    with serving(store, "small", tmp_path_factory.mktemp("log") / "log", *options) as server:
        yield server
        assert server.end() == 0, server.said


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def artifact(store: Path) -> Artifact:
    return Store(store).find("model/small")


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what must come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_completions_are_what_generate_writes(client: openai.OpenAI, artifact: Artifact) -> None:
    prompts = ["def main(", "他说", "The river"]
    expected = Writer(artifact.path).write(prompts, Asked(24, 2, Drawing(0.7, top_p=0.9), seed=5))
    found = client.completions.create(model="small", prompt=prompts, max_tokens=24, n=2, temperature=0.7, top_p=0.9, seed=5)
    assert [choice.text for choice in found.choices] == [one.text for one in expected]
    assert [choice.index for choice in found.choices] == list(range(6))
    assert {choice.finish_reason for choice in found.choices} <= {"length", "stop"}
    assert found.model == artifact.reference and found.usage is not None
    read = sum(len(Writer(artifact.path).ids(prompt)) for prompt in prompts)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (read, sum(one.tokens for one in expected))

    whole = Writer(artifact.path).write(["The river"], Asked(40, 1, Drawing(0)))[0].text
    stop = whole[7:10]
    cut = client.completions.create(model="small", prompt="The river", max_tokens=40, temperature=0, stop=stop, echo=True)
    assert cut.choices[0].text == "The river" + whole[: whole.index(stop)] and cut.choices[0].finish_reason == "stop"
    ids = Writer(artifact.path).ids("The river")
    assert client.completions.create(model="small", prompt=ids, max_tokens=40, temperature=0).choices[0].text == whole

    told = client.completions.create(model="small", prompt="The river", max_tokens=5, temperature=0, logprobs=3).choices[0].logprobs
    assert told is not None and told.tokens is not None and told.top_logprobs is not None and told.token_logprobs is not None
    assert len(told.tokens) == 5 and all(
        len(top) <= 3 and max(top.values()) == chance for top, chance in zip(told.top_logprobs, told.token_logprobs, strict=True)
    )


def test_a_stream_is_the_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "small", "prompt": ["他说", "The"], "max_tokens": 60, "seed": 3, "n": 2}
    whole = client.completions.create(**asked)
    texts, finished, usage = [""] * 4, [None] * 4, None
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            finished[choice.index] = choice.finish_reason or finished[choice.index]
        usage = chunk.usage or usage
    assert texts == [choice.text for choice in whole.choices]
    assert finished == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage and chunks[-1].choices == [] and len(chunks) > 20


def test_chat(client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Who "}, {"type": "text", "text": "are you?"}]},
    ]
    asked: dict[str, Any] = {"model": "small", "messages": messages, "temperature": 0, "max_completion_tokens": 30}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    (choice,) = whole.choices
    assert choice.message.role == "assistant" and choice.message.content and whole.usage is not None
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert len(choice.logprobs.content) == whole.usage.completion_tokens and len(choice.logprobs.content[0].top_logprobs) == 2
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == choice.finish_reason
    unlimited = client.chat.completions.create(model="small", messages=messages[:1], temperature=0)
    assert unlimited.usage is not None and unlimited.usage.total_tokens <= CONTEXT


def test_models_are_listed(client: openai.OpenAI, artifact: Artifact) -> None:
    assert [model.id for model in client.models.list()] == ["small", artifact.reference]
    assert client.models.retrieve("small").owned_by == "gristmill"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"temperature": 1e-40, "top_p": 1e-46}, None, ""),
        ({"extra_body": {"repetition_penalty": 1e-39}}, "repetition_penalty", "greater than or equal to 0.01"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 201}, "max_tokens", "more than this server makes"),
        ({"prompt": "word " * 300}, "prompt", "don't fit the context of 256"),
        ({"prompt": "word", "max_tokens": 200}, None, ""),
        ({"prompt": [[5] * 100], "max_tokens": 190}, "max_tokens", "100 tokens of the prompt and 190"),
        ({"prompt": ["x"] * 10_000}, "prompt", "has 10000; this server takes 1 to 20"),
        ({"prompt": ["x"] * 100_000}, None, "larger than this server reads"),
        ({"prompt": ["x"] * 21}, "prompt", "this server takes 1 to 20"),
        ({"prompt": []}, "prompt", "has 0"),
        ({"prompt": [[]]}, "prompt", "a list of no tokens"),
        ({"prompt": [600]}, "prompt", "id 600 is no token"),
        ({"prompt": [-1]}, "prompt", ""),
        ({"prompt": [2**70]}, "prompt", ""),
        ({"prompt": ["x"] * 20, "n": 6}, "n", "120 texts"),
        ({"n": 129}, "n", "less than or equal to 128"),
        ({"stop": ""}, "stop", "leave the empty string out"),
        ({"seed": 2**63}, "seed", ""),
        ({"logprobs": 2, "echo": True}, "echo", "leave out logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "is not known here"),
        ({"extra_body": {"temprature": 1}}, "temprature", "is not known here"),
        ({"extra_body": {"max_tokens": "5"}}, "max_tokens", "valid integer"),
        ({"extra_body": {"stream_options": {"what": 1}}}, "stream_options", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said_by_key(client: openai.OpenAI, change: dict[str, Any], param: str | None, told: str) -> None:
    asked: dict[str, Any] = {"model": "small", "prompt": "x", "max_tokens": 2, "user": "me", "frequency_penalty": 0, **change}
    if param is None and not told:
        assert client.completions.create(**asked).choices
        return
    with pytest.raises(openai.APIStatusError) as error:
        client.completions.create(**asked)
    assert error.value.status_code == (413 if param is None else 400)
    assert told in str(error.value) and error.value.body["param"] == param  # type: ignore[index,call-overload]


def raw(server: Server, body: bytes, path: str = "/v1/completions", method: str = "POST", **headers: str) -> tuple[int, Any]:
    """Status and answer of a request that no decent client sends."""
    address, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    connection = http.client.HTTPConnection(address, int(port), timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **given})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


GOOD = b'{"model": "small", "prompt": "x", "max_tokens": 1}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"model": "small", "prompt": "\xff\xfe"}', 400),
        (b'{"model": "small", "prompt": "\\ud800"}', 400),
        (b'{"model": "small", "prompt": "x", "temperature": NaN}', 400),
        (b'{"model": "small", "prompt": "x", "temperature": 1e999}', 400),
        (b'{"model": "small", "prompt": "x", "top_p": -0.5}', 400),
        (b'{"model": "small", "prompt": ' + b"[" * 9000 + b"]" * 9000 + b"}", 400),
        (b'{"model": "small"}', 400),
        (b'{"prompt": "x"}', 400),
        (b'{"model": "../../etc/passwd", "prompt": "x"}', 404),
        (b'{"model": "small", "prompt": "a\\u0000b<|eos|>", "max_tokens": 1}', 200),
        (GOOD, 200),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_bodies(server: Server, body: bytes, status: int) -> None:
    found, answer = raw(server, body)
    assert found == status
    assert status == 200 or answer["error"]["message"]


def test_hostile_requests(server: Server) -> None:
    assert raw(server, GOOD, Content_Type="text/plain")[0] == 415
    assert raw(server, GOOD, path="/v1/nothing")[0] == 404
    assert raw(server, b"", method="DELETE")[0] == 405
    assert raw(server, b"x" * 100_001)[0] == 413
    assert raw(server, b"x" * 10, Content_Length="99999999999")[0] == 413
    assert raw(server, b'{"model": "small", "input": "x"}', path="/v1/embeddings")[0] == 400
    address, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    with socket.create_connection((address, int(port)), timeout=60) as connection:  # more than it says, in pieces
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + 13 * (b"2000\r\n" + b" " * 0x2000 + b"\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection((address, int(port)), timeout=60) as connection:
        connection.sendall(b"\x00\xff garbage\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert raw(server, GOOD)[0] == 200
    assert "Traceback" not in server.said


def test_a_client_that_goes_away_frees_its_slots(server: Server, client: openai.OpenAI) -> None:
    before = server.metrics()
    stream = client.completions.create(model="small", prompt=["a", "b"], max_tokens=200, n=50, stream=True)
    next(iter(stream))
    stream.close()
    until(lambda: server.metrics()["texts_cancelled_total"] > before["texts_cancelled_total"])
    until(lambda: server.metrics()["texts_running"] == 0 and server.metrics()["texts_waiting"] == 0)
    address, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    cancelled = server.metrics()["texts_cancelled_total"]
    body = json.dumps({"model": "small", "prompt": "a", "max_tokens": 200, "n": 100}).encode()
    with socket.create_connection((address, int(port)), timeout=60) as connection:  # one that waits for the whole
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: server.metrics()["texts_running"] > 0)
    until(lambda: server.metrics()["texts_cancelled_total"] > cancelled)
    until(lambda: server.metrics()["texts_running"] == 0 and server.metrics()["texts_waiting"] == 0)
    made = server.metrics()["tokens_total"] - before["tokens_total"]
    assert made < 200 * 200, "as many tokens were made as if they had stayed"


def test_fifty_streams_share_steps(server: Server, client: openai.OpenAI) -> None:
    before = server.metrics()
    alone = {n: client.completions.create(model="small", prompt=f"{n} is", max_tokens=30, temperature=0).choices[0].text for n in range(5)}

    def stream(number: int) -> str:
        asked: dict[str, Any] = {"model": "small", "prompt": f"{number % 5} is", "max_tokens": 30, "temperature": 0, "stream": True}
        return "".join(chunk.choices[0].text for chunk in client.completions.create(**asked))

    with ThreadPoolExecutor(50) as many:
        texts = list(many.map(stream, range(50)))
    assert texts == [alone[number % 5] for number in range(50)]
    after = server.metrics()
    assert after["step_rows_most"] == 8
    steps, rows = (after[key] - before[key] for key in ("steps_total", "step_rows_total"))
    assert rows / steps > 2, f"{rows} tokens took {steps} steps"


def test_a_full_line_is_said(store: Path, tmp_path: Path) -> None:
    options = ("--slots", "1", "--waiting", "2", "--follow", "0")
    with (
        serving(store, "small", tmp_path / "log", *options) as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        codes: list[int] = []
        barrier = threading.Barrier(12)

        def ask(number: int) -> None:
            barrier.wait()
            while not codes:
                try:
                    client.completions.create(model="small", prompt="a", max_tokens=200, n=2)
                except openai.APIStatusError as error:
                    codes.append(error.status_code)

        with ThreadPoolExecutor(12) as many:
            list(many.map(ask, range(12)))
        assert codes and set(codes) == {429}


def test_time_is_limited(store: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "small", "prompt": "a", "max_tokens": 200, "n": 128}
    with (
        serving(store, "small", tmp_path / "log", "--slots", "1", "--seconds", "0.3") as server,
        openai.OpenAI(base_url=server.url, api_key="none") as client,
    ):
        with pytest.raises(openai.InternalServerError, match="there was no time") as late:
            client.completions.create(**asked)
        assert late.value.status_code == 504
        with pytest.raises(openai.APIError, match="there was no time"):
            list(client.completions.create(**asked, stream=True))
        until(lambda: server.metrics()["texts_running"] == 0 and server.metrics()["texts_waiting"] == 0)
        assert server.metrics()['requests_total{route="/v1/completions",status="504"}'] == 1, "the client was told not to ask again"


def test_embeddings(store: Path, tmp_path: Path) -> None:
    found = Store(store).find("model/vectors")
    with serving(store, found.reference, tmp_path / "log", token=TOKEN) as server:
        with openai.OpenAI(base_url=server.url, api_key=TOKEN, max_retries=0) as client:
            texts = ["The river", "他说", "The river and the stone"]
            told = client.embeddings.create(model="vectors", input=texts)
            plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
            vectors = torch.tensor([one.embedding for one in told.data])
            torch.testing.assert_close(vectors, torch.tensor([one.embedding for one in plain.data]))
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
            model, _ = load_model(found.path)
            assert isinstance(model, EncoderModel)
            with torch.no_grad():
                ids = client.embeddings.create(model="vectors", input=[0, 40, 41, 1]).data[0].embedding
                mean = model.hidden(torch.tensor([[0, 40, 41, 1]]))[0].mean(0)
            torch.testing.assert_close(torch.tensor(ids), mean / mean.norm(), rtol=1e-3, atol=1e-4)
            for wrong, told_of in (({"input": "word " * 400}, "the model reads 256"), ({"input": ["a", ""]}, "input.1: is empty")):
                with pytest.raises(openai.BadRequestError, match=told_of):
                    client.embeddings.create(model="vectors", **wrong)
            with pytest.raises(openai.BadRequestError, match="is an encoder, which writes no text"):
                client.completions.create(model="vectors", prompt="x")
        for wrong_token in ("", "another", TOKEN + "x", "\u00e9"):
            assert raw(server, b"{}", Authorization=f"Bearer {wrong_token}".encode("latin-1").decode("latin-1"))[0] == 401
        assert raw(server, b"", path="/metrics", method="GET")[0] == 401
        assert raw(server, b"", path="/health", method="GET") == (200, {"status": "ok"})
        assert server.end() == 0 and TOKEN not in server.said


def test_the_newest_version_is_followed_and_one_that_cannot_be_loaded_is_not(store: Path, tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path)
    first = small_version(tmp_path, tokenizer, 1)
    asked: dict[str, Any] = {"model": "small", "prompt": "The", "max_tokens": 200, "temperature": 0}
    with serving(tmp_path, "small", tmp_path / "log", "--follow", "0.2") as server:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            before = client.completions.create(**asked)
            running = client.completions.create(**asked, n=8, stream=True)
            beginning = next(iter(running))
            small_version(tmp_path, tokenizer, 7, broken=True)
            until(lambda: server.metrics()["versions_refused_total"] == 1)
            assert client.completions.create(**asked).model == before.model == first.reference
            second = small_version(tmp_path, tokenizer, 2)
            until(lambda: server.metrics()["versions_taken_in_total"] == 1)
            after = client.completions.create(**asked)
            assert after.model == second.reference and after.choices[0].text != before.choices[0].text
            texts = [""] * 8
            for chunk in [beginning, *running]:
                texts[chunk.choices[0].index] += chunk.choices[0].text
                assert chunk.model == first.reference
            assert texts == [before.choices[0].text] * 8, "what the old version had begun, it finishes"
            with pytest.raises(openai.NotFoundError):
                client.completions.create(**{**asked, "model": first.reference})
        assert server.end() == 0
        assert "is refused" in server.said and f"{second.reference} takes the place of {first.reference}" in server.said


def test_the_champion_is_followed_over_promotions_and_rollbacks(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path)
    opened, (first, second) = Store(tmp_path), (small_version(tmp_path, tokenizer, seed) for seed in (1, 2))
    promote_models(opened, "small", Bundle(first), "first", "it is the first")
    asked: dict[str, Any] = {"model": "small@champion", "prompt": "The", "max_tokens": 8, "temperature": 0}
    with serving(tmp_path, "small@champion", tmp_path / "log", "--follow", "0.2") as server:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            assert client.completions.create(**asked).model == first.reference, "and not the newest version"
            assert next(one.id for one in client.models.list()) == "small@champion"
            promote_models(opened, "small", Bundle(second), "hand", "a test")
            until(lambda: server.metrics()["versions_taken_in_total"] == 1)
            assert client.completions.create(**asked).model == second.reference
            roll_back(opened, "small", None, "a test")
            until(lambda: server.metrics()["versions_taken_in_total"] == 2)
            assert client.completions.create(**asked).model == first.reference
        assert server.end() == 0


def listens(server: Server) -> bool:
    address, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    with socket.socket() as connection:
        return connection.connect_ex((address, int(port))) == 0


def test_told_to_end_it_finishes_what_it_has_begun(store: Path, tmp_path: Path) -> None:
    with serving(store, "small", tmp_path / "log") as server:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            stream = client.completions.create(model="small", prompt="a", max_tokens=200, n=32, seed=1, stream=True)
            chunks = [next(iter(stream))]
            server.process.terminate()
            until(lambda: not listens(server))
            chunks += list(stream)
            finished = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
            assert sorted(finished) == list(range(32))
        assert server.process.wait(120) == 0


def test_addresses_that_cannot_be_are_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRISTMILL_API_TOKEN", raising=False)
    command = ["api", "small", "--store", str(store), "--threads", "1"]
    for options, told in (
        (("--host", "0.0.0.0", "--port", "0"), "set GRISTMILL_API_TOKEN"),
        (("--host", "no.such.host.invalid"), "can't listen there"),
    ):
        with pytest.raises(RequestError, match=told):
            CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
    monkeypatch.setenv("GRISTMILL_API_TOKEN", " ")
    with pytest.raises(RequestError, match="is empty"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_told_twice_it_ends_at_once(store: Path, tmp_path: Path) -> None:
    with (
        serving(store, "small", tmp_path / "log", "--slots", "1", "--waiting", "2000") as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        stream = client.completions.create(model="small", prompt=["a"] * 15, max_tokens=200, n=128, seed=1, stream=True)
        next(iter(stream))
        server.process.terminate()
        until(lambda: not listens(server))
        server.process.terminate()
        with pytest.raises(openai.APIError, match="the server is ending"):
            list(stream)
        assert server.process.wait(120) == 0 and server.said == ""
