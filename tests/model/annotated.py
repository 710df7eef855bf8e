"""The model: a small tokens artifact as the pipelines make one of annotated text: words, sentences, and a tokenizer that has a mask."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import xxhash
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from schemas.arrow import tokens_schema, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.model.conftest import small_documents

ROLES = {"bos": "[CLS]", "eos": "[SEP]", "pad": "[PAD]", "mask": "[MASK]", "cls": "[CLS]", "sep": "[SEP]"}
WORDS = re.compile(r"[A-Za-z_]+|\d+|[\u4e00-\u9fff]{1,2}|[^\sA-Za-z\d_\u4e00-\u9fff]")


def commit_tokenizer(folder: Path, texts: list[str], vocab_size: int = 600) -> Artifact:
    """A byte-level BPE with BERT's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special, alphabet = list(dict.fromkeys(ROLES.values())), pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    draft = Draft.start(folder, "tokenizer", "annotated", Identity("tokenizer", 1, {}, {}, {}))
    saved = draft.scratch() / "tokenizer.json"
    tokenizer.save(str(saved))
    facts = {"vocab_size": tokenizer.get_vocab_size(), "special_tokens": {role: tokenizer.token_to_id(t) for role, t in ROLES.items()}}
    draft.add_part("tokenizer", "tokenizer", [draft.adopt_as(saved, "tokenizer.json", "tokenizer")], facts=facts)
    return draft.commit(["tokenizer"])


def annotated_row(encoder: Tokenizer, text: str) -> tuple[list[int], list[bool], list[int]]:
    """Ids, whether each begins a word, and the sentences' ends in tokens. A token begins a word if a word starts in it, as the pipelines
    have it; a sentence ends behind a full stop."""
    made = encoder.encode(text, add_special_tokens=False)
    starts = {match.start() for match in WORDS.finditer(text)}
    words = [any(a <= place < b for place in starts) for a, b in made.offsets]
    ends = {match.end() for match in re.finditer(r"[.。](?=\s|$|[\u4e00-\u9fff])", text)} | {len(text)}
    return made.ids, words, sorted({sum(b <= end for _, b in made.offsets) for end in ends} | {len(made.ids)})


def annotated_documents() -> list[tuple[str, str, str]]:
    """Language, subset, text; Chinese of two sentences each."""
    found = []
    for lang, subset, text in small_documents():
        middle = len(text) // 2
        found.append((lang, subset, f"{text[:middle]}。{text[middle:]}" if lang == "zh" else text))
    return found


def commit_tokens(folder: Path, tokenizer: Artifact, shards: int = 2, known: bool = True) -> Artifact:
    """The documents as an artifact of token shards; not ``known``: nobody looked for words."""
    encoder = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0]))
    schema = tokens_schema(tokenizer.facts("tokenizer")["vocab_size"])
    draft = Draft.start(folder, "tokens", "annotated", Identity("tokens", 1, {}, {"tokenizer": tokenizer.manifest.content_digest}, {}))
    for shard in range(shards):
        rows = []
        for lang, subset, text in annotated_documents()[shard::shards]:
            ids, words, ends = annotated_row(encoder, text)
            rows.append(
                {
                    "doc_id": xxhash.xxh3_128_digest(f"{lang}/{text}".encode()), "source": lang, "lang": lang, "subset": subset,
                    "weight": 1.0, "tokens": ids, "token_starts": None, "word_start": words if known else None,
                    "sentence_ends": ends if known else None, "n_bytes": len(text.encode()),
                }
            )  # fmt: skip
        path = draft.scratch() / f"{shard}.arrow"
        write_shard(path, schema, pa.Table.from_pylist(rows, schema=schema).to_batches(max_chunksize=37), compress=False)
        file = draft.adopt(path, folder="tokens", stem=f"{shard:05d}", suffix=".arrow", role="tokens", rows=len(rows))
        draft.add_part("tokens", f"{shard:05d}", [file])
    return draft.commit(["tokens"])
