"""JSON lines to token shards, beside datatrove's DocumentTokenizer and `datasets.map` with a fast tokenizer; all work counted:
starting, reading, checking, encoding, writing.

    python -m tests.bench.bench_tokens [--megabytes 200] [--workers 2] [--rounds 2] [--peers .gristmill/bench/tokens-peers]

Text is English, Chinese and code, a third of the bytes each, from this machine, put together anew line by line and clause by
clause, so that no cache has seen a document before. All three get the same files and the same tokenizer.json, and the ids must
be equal in the end. The peers run in an environment of their own; without one they are left out, and how to make it is said.

Start-up is what an input of one small document for each file costs. Told without it are the whole mixture and, on a quarter of the
bytes each, the kinds of text alone.

Then, in this process, what length costs: Chinese without spaces or punctuation as one line of 25 MB and as documents of 2 KB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pyarrow.compute as pc

from flows.demo import docstrings, library_files, reviews
from pipelines.encode import open_encoder, train
from schemas.arrow import read_shard

ROOT = Path(__file__).parents[2]
FILES = 8
"""Files of the input: the peers share work out by files."""
KINDS = ("en", "zh", "code")
TARGETS = {"datatrove": 25.0, "datasets": 10.0}
"""How many times the peer's speed ours must be."""
PEERS = "datatrove==0.10.1 datasets==5.2.0 transformers==5.23.0 tokenizers==0.23.3 orjson"
LONG_BYTES, SHORT_CHARS = 25_000_000, 700
SLOWEST_LONG = 1.25
"""CPU seconds of the long line against those of the short documents, at the most."""


class Text:
    """Documents of three kinds, made of what this machine has."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        prose = [*topics.values(), *(found["text"] for found in docstrings())]
        code = [path.read_text(encoding="utf-8", errors="replace") for _, path in library_files()]
        self._lines = {
            "en": [line for text in prose for line in text.split("\n")],
            "code": [line for text in code for line in text.split("\n")],
        }
        self._words = sorted({word for text in prose for word in text.split() if word.isalpha()})
        texts = [found["text"] for found in reviews()]
        self._clauses = [clause for text in texts for clause in re.split(r"(?<=[，。！？；、,.!?…])", text) if len(clause) > 3]
        self.han = "".join(c for text in texts for c in text if "\u4e00" <= c <= "\u9fa5")

    def document(self, kind: str) -> str:
        length = int(min(60_000, self.draw.lognormvariate(7.3, 1)))
        return self._chinese(length) if kind == "zh" else self._of_lines(self._lines[kind], length)

    def _of_lines(self, lines: Sequence[str], length: int) -> str:
        """Lines that follow each other, each with a word exchanged."""
        at, taken = self.draw.randrange(len(lines)), []
        while length > 0:
            words = lines[at % len(lines)].split(" ")
            words[self.draw.randrange(len(words))] = self.draw.choice(self._words)
            taken.append(" ".join(words))
            length -= len(taken[-1]) + 1
            at += self.draw.choice((1, 1, 1, 1, 7))
        return "\n".join(taken)

    def _chinese(self, length: int) -> str:
        """Clauses that begin as one and end as another."""
        taken = []
        while length > 0:
            a, b = self.draw.choice(self._clauses), self.draw.choice(self._clauses)
            taken.append(a[: len(a) // 2] + b[len(b) // 2 :])
            length -= 3 * len(taken[-1])
        return "".join(taken)


def write_input(folder: Path, size: int, kinds: Sequence[str] = KINDS) -> None:
    """About `size` bytes of text in FILES files of the same mixture; at least one document each."""
    text = Text(seed=1)
    folder.mkdir()
    for number in range(FILES):
        done = dict.fromkeys(kinds, 0)
        with open(folder / f"{number}.jsonl", "w", encoding="utf-8") as file:
            while sum(done.values()) < max(1, size / FILES):
                kind = min(done, key=lambda kind: done[kind])
                document = text.document(kind)
                done[kind] += len(document.encode())
                file.write(json.dumps({"text": document, "kind": kind}, ensure_ascii=False) + "\n")


def write_tokenizer(path: Path) -> None:
    text = Text(seed=2)
    documents = [text.document(kind) for _ in range(1_500) for kind in ("en", "zh", "code")]
    path.write_text(train(documents, 16_384, ["<|bos|>", "<|eos|>", "<|pad|>"]).to_str(), encoding="utf-8")


def ours(source: Path, output: Path, tokenizer: Path, workers: int) -> list[str]:
    command = [sys.executable, "-m", "flows.cli", "tokenize", str(source), "--tokenizer", str(tokenizer), "--name", "bench"]
    return [*command, "--workers", str(workers), "--store", str(output), "--json"]


def our_digests(output: Path) -> dict[str, str]:
    """Of the ids of each file, by its name."""
    (artifact,) = (output / "tokens" / "bench").iterdir()
    states: dict[str, hashlib._Hash] = {}
    for tokens, places in zip(sorted(artifact.glob("tokens/*.arrow")), sorted(artifact.glob("places/*.arrow")), strict=True):
        ids, uris = read_shard(tokens).column("tokens").combine_chunks(), read_shard(places).column("uri")
        first = 0
        for run in pc.run_end_encode(uris.combine_chunks()).values.to_pylist():
            rows = pc.sum(pc.equal(uris, run)).as_py()
            state = states.setdefault(run, hashlib.sha256())
            state.update(ids.slice(first, rows).flatten().to_numpy().astype(np.uint32).tobytes())
            first += rows
    return {name: state.hexdigest() for name, state in states.items()}


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds by the wall and of CPU of a command from start to end."""
    os.sync()
    before, started = os.times(), time.monotonic()
    env = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # or everybody would compile all of its imports each time
    with open(folder / "log.txt", "ab") as log:
        subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log, env=env)
    after = os.times()
    return time.monotonic() - started, after.children_user + after.children_system - before.children_user - before.children_system


class Sides:
    """Ours and the peers that are installed."""

    def __init__(self, folder: Path, workers: int, peers: Path) -> None:
        self._folder, self._workers = folder, workers
        self._tokenizer = folder / "tokenizer.json"
        self._python, self._script = str(peers / "bin" / "python"), str(Path(__file__).with_name("tokens_peers.py"))
        self.names = ["ours", *(TARGETS if Path(self._python).exists() else ())]
        if len(self.names) == 1:
            print(f"no peers: there is no {self._python}. To make it: python -m venv {peers} && {peers}/bin/pip install {PEERS}")

    def run(self, source: Path, rounds: int) -> dict[str, tuple[float, float]]:
        """The best seconds by the wall and of CPU of each side. Exits if ids differ."""
        best: dict[str, tuple[float, float]] = {}
        digests: dict[str, dict[str, str]] = {}
        for _ in range(rounds):
            for name in self.names:
                output = self._folder / "out"
                output.mkdir()
                wall, cpu = measure(self._command(name, source, output), self._folder)
                old_wall, old_cpu = best.get(name, (wall, cpu))
                best[name] = min(wall, old_wall), min(cpu, old_cpu)
                if name not in digests:
                    digests[name] = our_digests(output) if name == "ours" else self._peer_digests(name, source, output)
                shutil.rmtree(output)
        if different := [name for name in digests if digests[name] != digests["ours"]]:
            raise SystemExit(f"the ids of {', '.join(different)} are not ours")
        return best

    def _command(self, name: str, source: Path, output: Path) -> list[str]:
        if name == "ours":
            return ours(source, output, self._tokenizer, self._workers)
        return [self._python, self._script, name, str(source), str(output), str(self._tokenizer), str(self._workers)]

    def _peer_digests(self, peer: str, source: Path, output: Path) -> dict[str, str]:
        result = output / "digests.json"
        subprocess.run([self._python, self._script, "ids", peer, str(source), str(output), str(result)], check=True)
        return dict(json.loads(result.read_bytes()))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def bench(folder: Path, megabytes: int, workers: int, rounds: int, peers: Path) -> bool:
    """Print the figures of all sides; whether ours are as many times the peers' as they must be, start-up included."""
    sides = Sides(folder, workers, peers)
    write_tokenizer(folder / "tokenizer.json")
    write_input(folder / "nothing", 0)
    write_input(folder / "all", megabytes * 1_000_000)
    start = sides.run(folder / "nothing", 1)
    found = sides.run(folder / "all", rounds)
    size = size_of(folder / "all")
    print(f"{size / 1e6:.0f} MB of JSON lines, {workers} workers, best of {rounds}, start-up included")
    print("              seconds    MB/s   CPU s MB/CPU s times faster  by CPU start-up s   CPU s")
    enough = True
    for name, (wall, cpu) in found.items():
        times, by_cpu = wall / found["ours"][0], cpu / found["ours"][1]
        enough &= name == "ours" or max(times, by_cpu) >= TARGETS[name]
        figures = f"{wall:8.1f} {size / wall / 1e6:7.1f} {cpu:7.1f} {size / cpu / 1e6:8.1f} {times:12.1f} {by_cpu:7.1f}"
        print(f"{name:10} {figures} {start[name][0]:10.1f} {start[name][1]:7.1f}")
    print("ids of all are equal; targets: " + ", ".join(f"{name} {target:.0f}x" for name, target in TARGETS.items()))
    print("MB/CPU s without start-up:")
    told = {"all": (size, found)}
    for kind in KINDS:
        write_input(folder / kind, megabytes * 250_000, [kind])
        told[kind] = size_of(folder / kind), sides.run(folder / kind, 1)
    for kind, (bytes_, seconds) in told.items():
        speeds = {name: bytes_ / max(cpu - start[name][1], 1e-3) / 1e6 for name, (_, cpu) in seconds.items()}
        print(f"{kind:10} " + "  ".join(f"{name} {speed:.1f} (ours {speeds['ours'] / speed:.1f}x)" for name, speed in speeds.items()))
    return enough


def bench_length(folder: Path) -> bool:
    """CPU seconds for one long line and for short documents of the same text."""
    han = Text(seed=3).han
    line = (han * (LONG_BYTES // len(han.encode()) + 1))[: LONG_BYTES // 3]
    short = [line[start : start + SHORT_CHARS] for start in range(0, len(line), SHORT_CHARS)]
    figures = {}
    for name, texts in (("one line", [line]), ("documents", short)):
        encoder = open_encoder(folder / "tokenizer.json")
        encoder.encode(short[:100])
        before = time.process_time()
        encoder.encode(texts)
        figures[name] = time.process_time() - before
        print(f"{LONG_BYTES / 1e6:.0f} MB of Chinese without spaces, {name}: {LONG_BYTES / figures[name] / 1e6:.1f} MB/CPU s")
    print(f"the line against the documents: {figures['one line'] / figures['documents']:.2f} times the CPU, at most {SLOWEST_LONG}")
    return figures["one line"] <= SLOWEST_LONG * figures["documents"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="the best of them counts")
    parser.add_argument("--peers", type=Path, default=ROOT / ".gristmill" / "bench" / "tokens-peers", help="environment with the peers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fast = bench(folder, options.megabytes, options.workers, options.rounds, options.peers)
        linear = bench_length(folder)
    return 0 if fast and linear else 1


if __name__ == "__main__":
    sys.exit(main())
