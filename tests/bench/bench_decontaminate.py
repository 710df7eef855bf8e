"""Looking for evaluation items in text, beside datatrove's NGramsDecontFilter; the step alone, on one core, text in memory on both sides.

    python -m tests.bench.bench_decontaminate [--megabytes 2] [--items 2000] [--peers .gristmill/bench/tokens-peers]

Text is English and Chinese, made of what this machine has. Items are runs of words or characters drawn at random, so what is found
elsewhere is a false hit; one stands in every tenth document, in other case and with other commas. Both sides drop documents by
13-grams: ours of words and, in Chinese, of 20 characters; datatrove's of the words that its tokenizer for the language finds.

Prints megabytes of text per CPU second, the best of two rounds, start-up and the making of the index not counted; planted
documents found; and false hits. The peer runs in an environment of its own; without one it is left out, and how to make it is said.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipelines.contamination.index import Index, build
from pipelines.contamination.stage import decontaminate
from pipelines.stages import BATCH_BYTES
from schemas.recipe import Clean, Decontaminate, EvaluationSet
from tests.bench.bench_tokens import ROOT, Text

EVERY, ROUNDS = 10, 2
PEERS = "datatrove==0.10.1 spacy jieba orjson ftfy xxhash"


def write_texts(folder: Path, lang: str, size: int, items: int) -> tuple[list[str], set[int]]:
    """Write `items.jsonl` and `texts.jsonl`; return the texts, and which of them an item was planted in."""
    text = Text(seed=4)
    if lang == "en":
        questions = [" ".join(text.draw.choices(text._words, k=text.draw.randint(15, 60))) for _ in range(items)]
    else:
        questions = ["，".join("".join(text.draw.choices(text.han, k=30)) for _ in range(text.draw.randint(1, 3))) for _ in range(items)]
    texts, planted = list[str](), set[int]()
    while size > 0:
        texts.append(text.document(lang))
        if len(texts) % EVERY == 0:
            planted.add(len(texts) - 1)
            texts[-1] += f"\n{text.draw.choice(questions).upper().replace('，', ',')}\n{text.document(lang)[:200]}"
        size -= len(texts[-1].encode())
    for name, column in (("items", questions), ("texts", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": one}, ensure_ascii=False) + "\n" for one in column))
    return texts, planted


def batches_of(texts: Sequence[str]) -> list[pa.RecordBatch]:
    """Batches of the size that the job makes, with the columns that the stage reads."""
    batches, start, size = [], 0, 0
    for end, text in enumerate(texts, 1):
        size += len(text.encode())
        if size >= BATCH_BYTES or end == len(texts):
            n = end - start
            same = {
                "doc_id": pa.array([bytes(16)] * n, pa.binary(16)),
                "source": [""] * n,
                "uri": [""] * n,
                "record_bytes": pa.array([0] * n),
            }
            own = {"record": pa.array(range(start, end)), "text": texts[start:end], "cleaned": [None] * n, "extra": [None] * n}
            batches.append(pa.RecordBatch.from_pydict({"seq": pa.array([0] * n, pa.int32()), **same, **own}))
            start, size = end, 0
    return batches


def ours(folder: Path, texts: Sequence[str]) -> tuple[float, set[int]]:
    """CPU seconds of the best round, and the numbers of the documents that go."""
    chosen = EvaluationSet(name="items", path="", format="jsonl", fields=("text",))
    settings = Decontaminate(sets=(chosen,))
    build(folder / "index", settings, Clean(), {"items": folder / "items.jsonl"})
    index, batches, seconds = Index.open(folder / "index", settings), batches_of(texts), []
    for _ in range(ROUNDS):
        before = time.process_time()
        rejects = [decontaminate(batch, index, settings, keep_text=False).rejects for batch in batches]
        seconds.append(time.process_time() - before)
    return min(seconds), {row for batch in rejects for row in batch.column("record").to_pylist()}


def datatrove(folder: Path, lang: str, python: Path) -> tuple[float, set[int]]:
    """The same of the peer."""
    script = Path(__file__).with_name("decontaminate_peer.py")
    done = subprocess.run([python, script, folder, lang, str(ROUNDS)], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], set(told["rows"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=2, help="of each language")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--peers", type=Path, default=ROOT / ".gristmill" / "bench" / "tokens-peers", help="environment with the peer")
    options = parser.parse_args()
    python = options.peers / "bin" / "python"
    if not python.exists():
        print(f"no peer: there is no {python}. To make it: python -m venv {options.peers} && {options.peers}/bin/pip install {PEERS}")
    print(f"{options.megabytes:g} MB a language, {options.items:,} items, one core, best of {ROUNDS}")
    for lang in ("en", "zh"):
        with tempfile.TemporaryDirectory() as name:
            texts, planted = write_texts(Path(name), lang, int(options.megabytes * 1e6), options.items)
            size = sum(len(text.encode()) for text in texts)
            sides = {"ours": ours(Path(name), texts)} | ({"datatrove": datatrove(Path(name), lang, python)} if python.exists() else {})
        for side, (seconds, rows) in sides.items():
            found = f"{len(rows & planted)} of {len(planted)} planted found, {len(rows - planted)} false hits"
            times = f"ours is {seconds / sides['ours'][0]:.0f} times as fast" if side != "ours" else ""
            print(f"{lang}  {side:<10} {size / seconds / 1e6:8.2f} MB/CPU s   {found}   {times}".rstrip())


if __name__ == "__main__":
    main()
