"""The model: fifty clients of `gristmill api` for ten minutes: no error, and memory that does not grow. GRISTMILL_SOAK_SECONDS sets another
time."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import openai
import pytest

from tests.flows.served import Server, serving, small_tokenizer, small_version

CLIENTS = 50
SECONDS = float(os.environ.get("GRISTMILL_SOAK_SECONDS", "600"))
MAY_GROW = 24e6
"""Bytes by which the last third's peak may lie above the second's: threads and the allocator's arenas come and go."""


def resident(server: Server) -> int:
    """Bytes that the server holds."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
def test_fifty_streams_for_ten_minutes(tmp_path: Path) -> None:
    small_version(tmp_path, small_tokenizer(tmp_path), 1)
    with serving(tmp_path, "small", tmp_path / "log", "--slots", "32", "--follow", "1") as server:
        made, left, memory = asyncio.run(ask(server))
        after = server.metrics()
        assert server.end() == 0 and server.said == ""
    third = len(memory) // 3
    middle, last = max(memory[third : 2 * third]), max(memory[2 * third :])
    shared = after["step_rows_total"] / after["steps_total"]
    print(f"{made} texts, {left} left early, {after['tokens_total']:.0f} tokens, {shared:.1f} texts a step")
    print(f"MB: {memory[0] / 1e6:.0f} at first, at most {middle / 1e6:.0f} in the second third, {last / 1e6:.0f} in the last")
    assert last < middle + MAY_GROW
    assert shared > 8 and after["texts_running"] == after["texts_waiting"] == 0


async def ask(server: Server) -> tuple[int, int, list[int]]:
    """Texts that were streamed to their end and those that were left, and the server's memory, second by second."""
    end, memory = time.monotonic() + SECONDS, list[int]()
    async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=120) as client:

        async def stay(number: int) -> tuple[int, int]:
            draw, made, left = random.Random(number), 0, 0
            while time.monotonic() < end:
                leaves = draw.random() < 0.1
                words = " ".join(str(draw.randrange(1000)) for _ in range(draw.randrange(1, 20)))
                if draw.random() < 0.5:
                    chunks = await client.chat.completions.create(
                        model="small", messages=[{"role": "user", "content": words}], max_tokens=draw.randrange(1, 80), stream=True
                    )
                else:
                    chunks = await client.completions.create(
                        model="small", prompt=words, n=draw.choice((1, 1, 3)), max_tokens=draw.randrange(1, 120), stop="00", stream=True
                    )  # type: ignore[assignment]
                async for _ in chunks:
                    if leaves:
                        break
                await chunks.close()
                left, made = left + leaves, made + (not leaves)
            return made, left

        async def look() -> None:
            while time.monotonic() < end:
                memory.append(resident(server))
                await asyncio.sleep(1)

        *counts, _ = await asyncio.gather(*(stay(number) for number in range(CLIENTS)), look())
        for _ in range(600):
            if not server.metrics()["texts_running"]:
                break
            await asyncio.sleep(0.1)
    return sum(made for made, _ in counts), sum(left for _, left in counts), memory
