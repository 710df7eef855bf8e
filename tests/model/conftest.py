"""The model: small committed artifacts made without the pipelines: a byte-level BPE *tokenizer* and *token* shards of
prose, source code and made-up Chinese, each in all subsets."""

from __future__ import annotations

import inspect
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pytest
import torch
import xxhash
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from schemas.arrow import tokens_schema, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity

Document = tuple[str, str, str]
"""Language, subset, text."""

SPECIAL = ("<|bos|>", "<|eos|>", "<|pad|>")


def small_documents() -> Iterator[Document]:
    """A few hundred documents in en, code and zh; one in eight is for validation, one in eight for test."""
    hanzi = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]
    draw = random.Random(7)
    chinese = ["".join(draw.choices(hanzi, weights=range(300, 0, -1), k=draw.randint(20, 120))) + "。" for _ in range(120)]
    prose = [part for key in sorted(topics)[:12] for part in topics[key].split("\n\n") if len(part) > 80]
    code = [inspect.getsource(f) for _, f in sorted(inspect.getmembers(textwrap, inspect.isfunction))]
    code += [inspect.getsource(f) for _, f in sorted(inspect.getmembers(random.Random, inspect.isfunction))]
    for lang, texts in (("en", prose), ("zh", chinese), ("code", code)):
        for number, text in enumerate(texts):
            yield lang, {3: "validation", 7: "test"}.get(number % 8, "train"), text


def commit_tokenizer(folder: Path, texts: list[str], vocab_size: int, sentinels: int = 0) -> Artifact:
    """Train a byte-level BPE tokenizer and commit it as an artifact; sentinels come on top of its size, and the first has the last id."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([f"<extra_id_{number}>" for number in reversed(range(sentinels))])
    draft = Draft.start(folder, "tokenizer", "small", Identity("tokenizer", 1, {}, {}, {}))
    saved = draft.scratch() / "tokenizer.json"
    tokenizer.save(str(saved))
    ids = {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("bos", "eos", "pad")}
    facts = {"vocab_size": tokenizer.get_vocab_size(), "special_tokens": ids}
    draft.add_part("tokenizer", "tokenizer", [draft.adopt_as(saved, "tokenizer.json", "tokenizer")], facts=facts)
    return draft.commit(["tokenizer"])


def commit_tokens(folder: Path, documents: list[Document], tokenizer: Artifact, shards: int = 2) -> Artifact:
    """Encode documents and commit them as an artifact of ``shards`` token shards."""
    encoder = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0]))
    schema = tokens_schema(tokenizer.facts("tokenizer")["vocab_size"])
    draft = Draft.start(folder, "tokens", "small", Identity("tokens", 1, {}, {"tokenizer": tokenizer.manifest.content_digest}, {}))
    for shard in range(shards):
        rows = [
            {
                "doc_id": xxhash.xxh3_128_digest(f"{lang}/{text}".encode()),
                "source": lang,
                "lang": lang,
                "subset": subset,
                "weight": 1.0,
                "tokens": encoder.encode(text, add_special_tokens=False).ids,
                "token_starts": None,
                "word_start": [],
                "sentence_ends": [],
                "n_bytes": len(text.encode()),
            }
            for lang, subset, text in documents[shard::shards]
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        path = draft.scratch() / f"{shard}.arrow"
        write_shard(path, schema, table.to_batches(max_chunksize=100), compress=False)
        file = draft.adopt(path, folder="tokens", stem=f"{shard:05d}", suffix=".arrow", role="tokens", rows=len(rows))
        draft.add_part("tokens", f"{shard:05d}", [file])
    return draft.commit(["tokens"])


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors gain nothing from threads, and tests share the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A tokenizer of 600 ids with bos, eos and pad."""
    return commit_tokenizer(tmp_path_factory.mktemp("store") / "tokenizer", [text for _, _, text in small_documents()], 600)


@pytest.fixture(scope="session")
def tokens_artifact(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Artifact:
    """Two shards of tokens in en, code and zh, all subsets."""
    return commit_tokens(tmp_path_factory.mktemp("store") / "tokens", list(small_documents()), tokenizer_artifact)


class MakeDraft:
    """Makes drafts of the pretrain step, ready to run."""

    def __init__(self, tokens: Artifact, tokenizer: Artifact) -> None:
        self._inputs = {"tokens": tokens, "tokenizer": tokenizer}

    def __call__(self, folder: Path, **settings: Any) -> Draft:
        digests = {role: artifact.manifest.content_digest for role, artifact in self._inputs.items()}
        draft = Draft.start(folder, "model", "small", Identity("pretrain", 1, settings, digests, {}))
        draft.assign(inputs={role: a.path for role, a in self._inputs.items()}, roots={}, run={"ranks": 2, "threads_per_rank": 1})
        return draft


@pytest.fixture(scope="session")
def make_draft(tokens_artifact: Artifact, tokenizer_artifact: Artifact) -> MakeDraft:
    return MakeDraft(tokens_artifact, tokenizer_artifact)


@pytest.fixture(scope="session")
def t5_tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """The same tokens, and their tokenizer, which has eight sentinels besides."""
    folder, documents = tmp_path_factory.mktemp("t5"), list(small_documents())
    tokenizer = commit_tokenizer(folder / "tokenizer", [text for _, _, text in documents], 600, sentinels=8)
    return commit_tokens(folder / "tokens", documents, tokenizer), tokenizer
