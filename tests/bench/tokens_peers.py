"""The peers of bench_tokens: JSON lines to token files, with the Python of another environment.

    PEERS/bin/python tokens_peers.py datatrove|datasets INPUT OUTPUT TOKENIZER.json WORKERS
    PEERS/bin/python tokens_peers.py ids datatrove|datasets INPUT OUTPUT DIGESTS.json

INPUT is a folder of .jsonl files. The second form writes a digest of the ids of each file (uint32, one after the other).
python -m venv PEERS && PEERS/bin/pip install datatrove==0.10.1 datasets==5.2.0 transformers==5.23.0 tokenizers==0.23.3 orjson
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np


def run_datatrove(source: str, output: str, tokenizer: str, workers: int) -> None:
    """As its README puts a tokenization together; one task a file."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(source),
            DocumentTokenizer(output, tokenizer, eos_token=None, shuffle_documents=False, save_final_metadata=False),
        ],
        tasks=len(list(Path(source).glob("*.jsonl"))),
        workers=workers,
        logging_dir=f"{output}/logs",
        start_method="fork",  # so that CPU seconds of its processes are told to who waits for them
    ).run()


def run_datasets(source: str, output: str, tokenizer: str, workers: int) -> None:
    """As its guide says: a fast tokenizer on batches, on all processes."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    from datasets import load_dataset
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_file=tokenizer)
    files = sorted(str(path) for path in Path(source).glob("*.jsonl"))
    rows = load_dataset("json", data_files=files, split="train", cache_dir=f"{output}/cache")

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"ids": fast(batch["text"], add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)["input_ids"]}

    rows.map(encode, batched=True, num_proc=workers, remove_columns=rows.column_names).save_to_disk(f"{output}/saved")


def digests(peer: str, source: str, output: str) -> dict[str, str]:
    """Of the ids of each file, by its name."""
    files = sorted(Path(source).glob("*.jsonl"))
    if peer == "datatrove":
        shards = sorted(Path(output).glob("*.ds"))
        return {file.name: _digest(np.fromfile(shard, np.uint16)) for file, shard in zip(files, shards, strict=True)}
    from datasets import load_from_disk

    column = load_from_disk(f"{output}/saved").data.column("ids").combine_chunks()
    found, row = {}, 0
    for file in files:
        rows = file.read_bytes().count(b"\n")
        found[file.name] = _digest(column.slice(row, rows).flatten().to_numpy())
        row += rows
    return found


def _digest(ids: np.ndarray) -> str:
    return hashlib.sha256(ids.astype(np.uint32).tobytes()).hexdigest()


if __name__ == "__main__":
    if sys.argv[1] == "ids":
        Path(sys.argv[5]).write_text(json.dumps(digests(*sys.argv[2:5])))
    else:
        {"datatrove": run_datatrove, "datasets": run_datasets}[sys.argv[1]](*sys.argv[2:5], int(sys.argv[5]))
