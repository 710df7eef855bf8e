"""The model: `gristmill api` with an encoder-decoder, asked by OpenAI's own client: its answers are those of `gristmill generate`."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
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
from model.encoder_decoder import EncoderDecoderModel
from model.families import build_model
from model.finetune.__main__ import main
from model.generate import Asked, Drawing, Writer
from schemas import recipe
from schemas.artifact import Artifact
from schemas.fingerprint import Identity
from schemas.store import Store
from tests.flows.served import Server, serving, small_tokenizer
from tests.flows.test_api import until
from tests.model.served import commit_model, random_model

pytestmark = pytest.mark.slow

T5 = recipe.EncoderDecoder(family="t5", layers=1, width=64, heads=2, ffn=128, context=64)
WORDS = "red white blue stone river cloud paper north".split()
PROMPTS = ["7: river", "blue paper north", "stone " * 40, "他说 red"]


def taught(store: Path, base: Artifact, folder: Path) -> Artifact:
    """What learned to write words in capitals."""
    draw, rows = random.Random(1), folder / "rows.jsonl"
    words = draw.choices(WORDS, k=300)
    rows.write_text("".join(json.dumps({"prompt": f"{n}: {word}", "target": word.upper()}) + "\n" for n, word in enumerate(words)))
    task = recipe.Task(name="small", kind="generation", metrics=["exact_match"], data={"train": str(rows)})
    section = recipe.Finetune(task=task, epochs=4, batch=16, max_tokens=48, lr=3e-3, precision="float32", dropout=0.0)
    draft = Store(store).start("model", "capitals", Identity("finetune", 2, section.as_json(), {"pretrain": "0"}, {}))
    draft.assign(inputs={"pretrain": base.path}, roots={"train": str(rows)}, run={"ranks": 1, "threads_per_rank": 1})
    assert main([str(draft.path)]) == 0
    return draft.commit(["finetune"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    torch.manual_seed(0)
    made = taught(folder, commit_model(folder, "base", build_model(T5, 600), small_tokenizer(folder)), folder)
    assert made.facts("finetune")["test"]["exact_match"] > 0.5
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--slots", "8", "--max-tokens", "200", "--context", "150")
    with serving(store, "capitals", tmp_path_factory.mktemp("log") / "log", *options) as server:
        yield server
        assert server.end() == 0, server.said


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def writer(store: Path) -> Writer:
    return Writer(Store(store).find("model/capitals").path)


def test_completions_are_what_generate_writes(client: openai.OpenAI, store: Path, writer: Writer) -> None:
    options = [
        "--samples",
        "2",
        "--max-tokens",
        "24",
        "--temperature",
        "0.7",
        "--top-p",
        "0.9",
        "--seed",
        "5",
        "--repetition-penalty",
        "1.3",
    ]
    ran = CliRunner().invoke(app, ["generate", "capitals", *PROMPTS, *options, "--json", "--store", str(store)], catch_exceptions=False)
    expected = json.loads(ran.stdout)["texts"]
    asked: dict[str, Any] = {"model": "capitals", "prompt": PROMPTS, "max_tokens": 24, "n": 2, "temperature": 0.7, "top_p": 0.9, "seed": 5}
    found = client.completions.create(**asked, extra_body={"repetition_penalty": 1.3}, logprobs=0)
    assert [choice.text for choice in found.choices] == [one["text"] for one in expected] and found.usage is not None
    assert [choice.finish_reason for choice in found.choices] == ["stop" if one["ended"] == "eos" else one["ended"] for one in expected]
    counts = [len(choice.logprobs.tokens or []) for choice in found.choices if choice.logprobs]
    assert counts == [one["tokens"] for one in expected]
    assert found.usage.prompt_tokens == sum(len(writer.ids(prompt)) for prompt in PROMPTS)

    (whole,) = writer.write(["8: blue"], Asked(24, drawing=Drawing(0)))
    assert whole.text == "BLUE"
    stop = whole.text[2:4]
    cut = client.completions.create(model="capitals", prompt="8: blue", max_tokens=24, temperature=0, stop=stop, echo=True)
    assert cut.choices[0].text == "8: blue" + whole.text[: whole.text.index(stop)] and cut.choices[0].finish_reason == "stop"
    for prompt in (writer.ids("8: blue"), "8: blue"):
        told = client.completions.create(model="capitals", prompt=prompt, max_tokens=24, temperature=0)
        assert told.choices[0].text == whole.text


def test_a_stream_is_the_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "capitals", "prompt": PROMPTS, "max_tokens": 60, "seed": 3, "n": 2, "temperature": 1.6}
    whole, texts = client.completions.create(**asked), [""] * 8
    for chunk in client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


def test_many_streams_share_steps_and_know_nothing_of_each_other(server: Server, client: openai.OpenAI) -> None:
    prompts = [" ".join(WORDS[: 1 + number % 8]) * (1 + number % 3) for number in range(12)]

    def asked(number: int) -> dict[str, Any]:
        return {"model": "capitals", "prompt": prompts[number % 12], "max_tokens": 30, "seed": number % 12, "temperature": 1.6}

    before = server.metrics()
    alone = [client.completions.create(**asked(number)).choices[0].text for number in range(12)]

    def stream(number: int) -> str:
        return "".join(chunk.choices[0].text for chunk in client.completions.create(**asked(number), stream=True))

    with ThreadPoolExecutor(36) as many:
        assert list(many.map(stream, range(36))) == alone * 3
    after = server.metrics()
    steps, rows = (after[key] - before[key] for key in ("steps_total", "step_rows_total"))
    assert after["step_rows_most"] == 8 and rows / steps > 1.5, f"{rows} tokens took {steps} steps"


def test_what_it_cannot_answer_is_said(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no chat template: use /v1/completions"):
        client.chat.completions.create(model="capitals", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError, match="may have 150 tokens each, not 151"):
        client.completions.create(model="capitals", prompt=[5] * 151)
    with pytest.raises(openai.BadRequestError, match="id 600 is no token"):
        client.completions.create(model="capitals", prompt=[600])
    with pytest.raises(openai.BadRequestError, match="the model reads 64"):
        client.embeddings.create(model="capitals", input="word " * 200)


def test_vectors_are_means_of_what_was_read(client: openai.OpenAI, store: Path, writer: Writer) -> None:
    model, _ = load_model(Store(store).find("model/capitals").path)
    assert isinstance(model, EncoderDecoderModel)
    texts = ["river", "blue paper north"]
    for text, told in zip(texts, client.embeddings.create(model="capitals", input=texts).data, strict=True):
        with torch.no_grad():
            mean = model.read(torch.tensor([writer.ids(text)])).states[0].mean(0)
        torch.testing.assert_close(torch.tensor(told.embedding), mean / mean.norm(), rtol=1e-3, atol=1e-4)


def test_the_champion_is_followed(store: Path, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    shutil.copyfile(Store(store).find("model/capitals").path / "tokenizer.json", tokenizer)
    versions = [commit_model(tmp_path, "small", random_model(T5, 600, seed), tokenizer, seed) for seed in (1, 2)]
    opened, asked = Store(tmp_path), {"model": "small@champion", "prompt": "The", "max_tokens": 8, "temperature": 0, "seed": 0}
    promote_models(opened, "small", Bundle(versions[0]), "first", "it is the first")
    with (
        serving(tmp_path, "small@champion", tmp_path / "log", "--follow", "0.2") as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):

        def answered(version: Artifact) -> None:
            found = client.completions.create(**asked)  # type: ignore[call-overload]
            assert found.model == version.reference
            assert found.choices[0].text == Writer(version.path).write(["The"], Asked(8, drawing=Drawing(0)))[0].text

        answered(versions[0])
        promote_models(opened, "small", Bundle(versions[1]), "hand", "a test")
        until(lambda: server.metrics()["versions_taken_in_total"] == 1)
        answered(versions[1])
        roll_back(opened, "small", None, "a test")
        until(lambda: server.metrics()["versions_taken_in_total"] == 2)
        answered(versions[0])
        assert server.end() == 0
