"""What it brings to write many texts at a time: tokens a second of `gristmill api` by how many clients stream from it at once, over
those of one client that asks for a text after the other. The server has one thread; clients are OpenAI's, in this process.

    python -m tests.bench.bench_api [--family llama] [--size mini] [--clients 1 16 50] [--tokens 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import openai
from tokenizers import Tokenizer

from model.families import build_model
from schemas import recipe
from tests.flows.served import Server, serving
from tests.model.conftest import commit_tokenizer, small_documents
from tests.model.served import commit_model


async def stream(client: openai.AsyncOpenAI, number: int, tokens: int) -> int:
    """Tokens of a text that was streamed to its end."""
    options = {"include_usage": True}
    made = 0
    chunks = await client.completions.create(
        model="bench", prompt=f"Text {number} is about", max_tokens=tokens, seed=number, stream=True, stream_options=options
    )
    async for chunk in chunks:
        made = chunk.usage.completion_tokens if chunk.usage else made
    return made


async def speed(server: Server, clients: int, texts: int, tokens: int) -> float:
    """Tokens a second of so many texts, so many of them at a time."""
    left, made = list(range(texts)), list[int]()
    async with openai.AsyncOpenAI(base_url=server.url, api_key="none") as client:

        async def ask() -> None:
            while left:
                made.append(await stream(client, left.pop(), tokens))

        await stream(client, 0, 2)
        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(clients)))
        return sum(made) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["llama", "t5"], default="llama")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 50])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        tokenizer = commit_tokenizer(folder / "tokenizer", [text for _, _, text in small_documents()], 8192).paths("tokenizer")[0]
        vocab = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
        kind = recipe.EncoderDecoder if options.family == "t5" else recipe.Decoder
        commit_model(folder, "bench", build_model(kind(family=options.family, size=options.size), vocab), tokenizer)
        with serving(folder, "bench", folder / "log", "--slots", "64") as server:
            found: dict[int, list[float]] = {clients: [] for clients in options.clients}
            for _ in range(options.rounds):
                before = 0.0
                for clients in options.clients:
                    steps = server.metrics()
                    found[clients].append(asyncio.run(speed(server, clients, max(4, 2 * clients), options.tokens)))
                    shared = server.metrics()
                    rows = (shared["step_rows_total"] - steps["step_rows_total"]) / (shared["steps_total"] - steps["steps_total"])
                    before = before or found[clients][-1]
                    ratio = found[clients][-1] / before
                    print(f"{clients:3} at a time: {found[clients][-1]:7.0f} tokens/s, {ratio:4.1f} times, {rows:.1f} texts a step")
        first = found[options.clients[0]]
        for clients, speeds in found.items():
            ratio, middle = statistics.median(one / alone for one, alone in zip(speeds, first, strict=True)), statistics.median(speeds)
            print(f"median of {options.rounds}: {clients} at a time: {middle:.0f} tokens/s, {ratio:.2f} times (vocabulary {vocab})")


if __name__ == "__main__":
    main()
