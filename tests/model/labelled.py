"""The model: small committed artifacts for fine-tuning and evaluation: *reviews* whose label shows in one of their words,
beside unlabelled prose, as documents and tokens; a tokenizer; and the untrained weights of a tiny decoder."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import xxhash
from tokenizers import Tokenizer

from model.checkpoint import save_model
from model.decoder import DecoderModel
from schemas import recipe
from schemas.arrow import DOCUMENTS, SIGNALS, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.model.conftest import commit_tokenizer, commit_tokens

TINY = recipe.Decoder(layers=1, width=32, heads=2, kv_heads=1, ffn=64, context=32)


@dataclass(frozen=True)
class Row:
    """What a test decides about a document."""

    text: str
    subset: str = "train"
    source: str = "reviews"
    lang: str = "zh"
    extra: str | None = None


def review(text: str, subset: str, label: object) -> Row:
    return Row(text, subset, extra=json.dumps({"label": label, "stars": 3}))


def small_reviews(n: int = 600) -> list[Row]:
    """Reviews of which one in four is for validation and one in four for test, and a few unlabelled documents."""
    draw = random.Random(5)
    words, rows = "房间 书 屏幕 酒店 送货 价格 服务 早餐 电池 作者".split(), []
    for number in range(n):
        label = "neg" if number % 3 else "pos"
        told = {"pos": ("很好", "喜欢", "满意"), "neg": ("太差", "失望", "退货")}[label]
        parts = [*draw.choices(words, k=draw.randint(1, 8)), draw.choice(told)]
        draw.shuffle(parts)
        rows.append(review("，".join(parts), ("train", "train", "validation", "test")[number // 3 % 4], label))
    for number in range(24):
        prose = f"The {draw.choice(words)} of number {number} is one of {draw.randint(2, 99)} in the list."
        rows.append(Row(prose, ("train", "validation", "test")[number % 3], "prose", "en"))
    return rows


def commit_documents(folder: Path, rows: Sequence[Row], shards: int = 2) -> Artifact:
    """Documents in shards as `commit_tokens` cuts them, with its doc_ids."""
    draft = Draft.start(folder, "documents", "small", Identity("documents", 1, {}, {}, {}))
    for shard in range(shards):
        values = [
            {
                "doc_id": xxhash.xxh3_128_digest(f"{row.lang}/{row.text}".encode()),
                "source": row.source,
                "uri": "reviews.jsonl",
                "record": number,
                "record_bytes": len(row.text.encode()),
                "clean_is_identity": True,
                "text": row.text,
                "lang": row.lang,
                "lang_score": 1.0,
                "origin_group": number,
                "subset": row.subset,
                "sentence_ends": [],
                "word_starts": [],
                "word_ends": [],
                "pos": None,
                "signals": dict.fromkeys(SIGNALS, 0.0),
                "flags": [],
                "weight": 1.0,
                "extra": row.extra,
            }
            for number, row in enumerate(rows[shard::shards])
        ]
        path = draft.scratch() / f"{shard}.arrow"
        write_shard(path, DOCUMENTS, pa.Table.from_pylist(values, schema=DOCUMENTS).to_batches(max_chunksize=50), compress=True)
        file = draft.adopt(path, folder="documents", stem=f"{shard:05d}", suffix=".arrow", role="documents", rows=len(values))
        draft.add_part("finish", f"{shard:05d}", [file])
    return draft.commit(["finish"])


def commit_decoder(folder: Path, tokenizer: Artifact, config: recipe.Decoder = TINY) -> Artifact:
    """An untrained decoder as a model artifact."""
    torch.manual_seed(0)
    facts = tokenizer.facts("tokenizer")
    draft = Draft.start(folder, "model", "small", Identity("pretrain", 1, {}, {}, {}))
    ids = {f"{name}_token_id": number for name, number in facts["special_tokens"].items()}
    weights, description = save_model(DecoderModel(config, facts["vocab_size"]), draft.scratch(), ids)
    copy = shutil.copyfile(tokenizer.paths("tokenizer")[0], draft.scratch() / "tokenizer.json")
    files = [
        draft.adopt_as(weights, "model.safetensors", "weights"),
        draft.adopt_as(description, "config.json", "config"),
        draft.adopt_as(Path(copy), "tokenizer.json", "tokenizer"),
    ]
    draft.add_part("pretrain", "model", files)
    return draft.commit(["pretrain"])


@dataclass(frozen=True)
class Artifacts:
    """What the finetune and evaluate steps read."""

    documents: Artifact
    tokens: Artifact
    tokenizer: Artifact
    pretrain: Artifact
    finetune: Artifact | None = None

    def inputs(self) -> dict[str, Artifact]:
        return {role: artifact for role, artifact in vars(self).items() if artifact is not None}

    def encoder(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.tokenizer.paths("tokenizer")[0]))

    def with_finetuned(self, artifact: Artifact) -> Artifacts:
        return replace(self, finetune=artifact)


def commit_all(store: Path, rows: Sequence[Row]) -> Artifacts:
    """Documents, tokens, tokenizer and decoder below `store`."""
    tokenizer = commit_tokenizer(store / "tokenizer", [row.text for row in rows], 600)
    tokens = commit_tokens(store / "tokens", [(row.lang, row.subset, row.text) for row in rows], tokenizer)
    return Artifacts(commit_documents(store / "documents", rows), tokens, tokenizer, commit_decoder(store / "pretrain", tokenizer))


def step_draft(folder: Path, kind: str, step: str, settings: Mapping[str, Any], artifacts: Artifacts) -> Draft:
    """A draft of a step over the artifacts, ready to run with one thread."""
    inputs = artifacts.inputs()
    digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
    draft = Draft.start(folder, kind, "small", Identity(step, 1, dict(settings), digests, {}))
    draft.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run={"ranks": 1, "threads_per_rank": 1})
    return draft


def settings_of(section: recipe.Section) -> dict[str, Any]:
    return section.model_dump(mode="json")
