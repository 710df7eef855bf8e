"""A small real run that the tests of the command share: generated text of two languages and code, tiny models."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.server import embedded_server

RECIPE = """\
name: tiny
corpus:
  sources:
    - {name: notes, path: raw/notes, format: txt, lang: en, origin: uri}
    - {name: reviews, path: raw/reviews.jsonl.gz, format: jsonl, lang: zh, origin: text}
    - {name: code, path: raw/code, format: tree, lang: code, origin: uri, include: ["*.py"]}
  rules:
    default: {min_chars: 5}
    en: {min_words: 5}
  dedup: {conflict_field: label}
  held_out: {validation: 0.15, test: 0.2, cut_shared_lines_over: 20}
  annotate:
    zh: {engine: rjieba}
  split_bytes: 3000
tokenizer: {vocab_size: 512, weights: {zh: 2, en: 1, code: 1}}
pretrain:
  model: {layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 64, context: 32}
  steps: 12
  batch: 4
  mix: {zh: 2, en: 1, code: 1}
  precision: float32
  compile: false
  validate_every: 6
  validate_tokens: 500
  checkpoint_every: 4
finetune: {source: reviews, epochs: 2, batch: 16, max_tokens: 32, precision: float32}
evaluate: {max_tokens: 4000, ngram_orders: [2, 3], prompts: ["the ", "很好"], sample_tokens: 8}
"""

NOUNS = "river stone letter garden window engine harbour winter market castle teacher journey village candle".split()
VERBS = "carries follows remembers paints repairs crosses watches measures forgets opens".split()
GOOD = "很好 不错 喜欢 满意 推荐 漂亮 舒服 值得".split()
BAD = "很差 失望 退货 难用 破损 太慢 后悔 便宜没好货".split()
THINGS = "手机 衣服 这本书 酒店 电池 屏幕 物流 客服 包装 味道 房间 键盘".split()


def write_raw(folder: Path) -> None:
    """Raw text from a fixed seed: 60 notes, 240 reviews with copies and two contradictions, 30 modules."""
    draw = random.Random(5)
    (folder / "notes").mkdir(parents=True)
    for n in range(60):
        lines = [
            f"The {draw.choice(NOUNS)} {draw.choice(VERBS)} the {draw.choice(NOUNS)} near {draw.choice(NOUNS)} {draw.randrange(1000)}."
            for _ in range(6)
        ]
        (folder / "notes" / f"{n:02d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "notes" / "empty.txt").write_text("")
    (folder / "notes" / "short.txt").write_text("Too short.\n")
    reviews = []
    for n in range(240):
        words, label = (GOOD, "positive") if n % 2 else (BAD, "negative")
        text = f"{draw.choice(THINGS)}{draw.choice(words)}，{draw.choice(THINGS)}也{draw.choice(words)}。{draw.randrange(100)}"
        reviews.append({"text": text, "label": label})
    reviews += reviews[:20]
    reviews += [{"text": "这个东西就是一般般吧", "label": label} for label in ("positive", "negative")]
    lines = [json.dumps(r, ensure_ascii=False) for r in reviews]
    lines.insert(7, '{"text": "broken')
    with gzip.GzipFile(folder / "reviews.jsonl.gz", "wb", mtime=0) as file:
        file.write(("\n".join(lines) + "\n").encode())
    (folder / "code").mkdir()
    for n in range(30):
        name = draw.choice(NOUNS)
        body = "\n".join(f"    {draw.choice(NOUNS)}_{k} = {name} * {draw.randrange(1000)} + {k}" for k in range(6))
        (folder / "code" / f"m{n:02d}.py").write_text(
            f'"""About the {name} number {n}."""\n\n\ndef {name}_{n}({name}):\n{body}\n    return {name}\n'
        )


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "GRISTMILL_"))}


Command = Callable[..., subprocess.CompletedProcess[str]]


Server = dict[str, str]
"""What the environment of a run names a Prefect server by."""


def command_in(folder: Path, server: Server | None = None) -> Command:
    """`gristmill ARGUMENTS` in a folder, as a person would run it, with a server of its own or that one."""

    def gristmill(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.cli", *arguments]
        run_in = environment() | (server or {})
        done = subprocess.run(command, cwd=folder, env=run_in, capture_output=True, text=True, check=False)
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return done

    return gristmill


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server for all runs that prove nothing about servers: its start and its empty database cost more than a small run.

    Runs that are killed, race, or must leave no trace of a secret anywhere start their own, as a person's do.
    """
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith("PREFECT_")]:
            patch.delenv(key)
        patch.setenv("PREFECT_HOME", str(home))
        with embedded_server(home):
            yield {key: value for key, value in os.environ.items() if key.startswith("PREFECT_")}


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """A folder with the raw text, the recipe, and a finished run of it."""
    folder = tmp_path_factory.mktemp("workspace")
    write_raw(folder / "raw")
    (folder / "tiny.yaml").write_text(RECIPE)
    command_in(folder, server)("run", "tiny.yaml")
    return folder


@pytest.fixture
def gristmill(workspace: Path, server: Server) -> Command:
    return command_in(workspace, server)
