"""The model: token ids, made without the pipelines, as the committed artifacts that pretraining reads, and drafts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from schemas.arrow import tokens_schema, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity

SPECIAL = ("<|bos|>", "<|eos|>", "<|pad|>")
"""Their ids are 0, 1 and 2; those of symbols follow."""


def commit_tokenizer(folder: Path, symbols: Sequence[str]) -> Artifact:
    """A tokenizer of one id a symbol."""
    tokenizer = Tokenizer(models.WordLevel({symbol: number for number, symbol in enumerate((*SPECIAL, *symbols))}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    draft = Draft.start(folder, "tokenizer", "bench", Identity("tokenizer", 1, {}, {}, {}))
    saved = draft.scratch() / "tokenizer.json"
    tokenizer.save(str(saved))
    facts = {"vocab_size": len(SPECIAL) + len(symbols), "special_tokens": {"bos": 0, "eos": 1, "pad": 2}}
    draft.add_part("tokenizer", "tokenizer", [draft.adopt_as(saved, "tokenizer.json", "tokenizer")], facts=facts)
    return draft.commit(["tokenizer"])


def commit_tokens(folder: Path, tokenizer: Artifact, subsets: Mapping[str, Sequence[NDArray[np.int64]]]) -> Artifact:
    """Documents of ids by subset, all in English, a byte a token."""
    schema = tokens_schema(tokenizer.facts("tokenizer")["vocab_size"])
    rows = [
        {"doc_id": number.to_bytes(16, "big"), "source": "bench", "lang": "en", "subset": subset, "weight": 1.0,
         "tokens": document, "token_starts": None, "word_start": None, "sentence_ends": None, "n_bytes": len(document)}
        for number, (subset, document) in enumerate((subset, document) for subset in subsets for document in subsets[subset])
    ]  # fmt: skip
    draft = Draft.start(folder, "tokens", "bench", Identity("tokens", 1, {}, {"tokenizer": tokenizer.manifest.content_digest}, {}))
    path = draft.scratch() / "0.arrow"
    write_shard(path, schema, pa.Table.from_pylist(rows, schema=schema).to_batches(), compress=False)
    draft.add_part("tokens", "0", [draft.adopt(path, folder="tokens", stem="0", suffix=".arrow", role="tokens", rows=len(rows))])
    return draft.commit(["tokens"])


def pretrain_draft(folder: Path, tokens: Artifact, tokenizer: Artifact, ranks: int, threads: int, settings: Mapping[str, Any]) -> Draft:
    """A draft of the pretrain step, ready to run."""
    inputs = {"tokens": tokens, "tokenizer": tokenizer}
    digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
    draft = Draft.start(folder, "model", "bench", Identity("pretrain", 1, dict(settings), digests, {}))
    run = {"ranks": ranks, "threads_per_rank": threads}
    draft.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run=run)
    return draft
