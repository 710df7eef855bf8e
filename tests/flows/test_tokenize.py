"""Tokenizing raw files directly: every record accounted for, the same bytes however it was run, ids of the reference."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.tokenize import tokenize, validated
from pipelines.encode import Encoder, train
from schemas.arrow import PLACES, read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.store import Store

LINES = [
    b'{"text": "The cat sat.", "n": 1}',
    b"",
    b'{"text": ""}',
    b'{"text": 5}',
    b"{bad",
    b'{"other": "x"}',
    '{"text": "他说：“很好！”\\n的确是"}'.encode(),
    b'{"text": "\xff"}',
    b'{"text": "a\\r\\nb \xf0\x9f\x98\x80"}',
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(train(["The cat sat. 他说很好的确是 \n"] * 3, 300, ["<|bos|>", "<|eos|>", "<|pad|>"]).to_str(), encoding="utf-8")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"\n".join(LINES) + b"\n")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(LINES * 20)))
    (folder / "empty.jsonl").write_bytes(b"")
    return folder


Make = Callable[..., Artifact]


@pytest.fixture
def make(source: Path, tokenizer: Path) -> Make:
    def made(store: Path, workers: int = 1, **changes: Any) -> Artifact:
        options = {"name": "s", "path": str(source), "format": "jsonl", "text_field": "text", "lang": "und", "engine": "auto", **changes}
        found, tokens = validated(**options)
        return tokenize(Store(store), "s", found, str(tokenizer), tokens, workers, said.append).artifact

    said: list[str] = []
    return made


def rows(artifact: Artifact, role: str) -> list[dict[str, Any]]:
    return [row for path in artifact.paths(role) for row in read_shard(path).to_pylist()]


def test_every_record_is_accounted_for(tmp_path: Path, make: Make, tokenizer: Path) -> None:
    artifact = make(tmp_path / "store")
    ledger = artifact.manifest.ledgers["s"]
    assert ledger.imbalances() == [] and audit(artifact) == []
    assert (ledger.inputs_listed, ledger.inputs_empty) == (3, 1)
    assert (ledger.records_kept, dict(ledger.rejected)) == (21 * 4, {"invalid_json": 21, "missing_text": 42, "undecodable": 21})
    texts = [json.loads(LINES[number])["text"] for number in (0, 2, 6, 8)] * 21
    encoder = Encoder(tokenizer)
    ids, counts = encoder.encode(texts)
    found = rows(artifact, "tokens")
    assert [number for row in found for number in row["tokens"]] == ids.tolist()
    assert [len(row["tokens"]) for row in found] == counts.tolist()
    assert [row["n_bytes"] for row in found] == [len(text.encode()) for text in texts]
    assert {(row["lang"], row["subset"], row["word_start"], row["sentence_ends"]) for row in found} == {("und", "train", None, None)}


def test_places_lead_back_to_the_bytes(tmp_path: Path, make: Make, source: Path) -> None:
    artifact = make(tmp_path / "store")
    data = {"a.jsonl": (source / "a.jsonl").read_bytes(), "b.jsonl.gz": gzip.decompress((source / "b.jsonl.gz").read_bytes())}
    for token_shard, place_shard in zip(artifact.paths("tokens"), artifact.paths("places"), strict=True):
        assert read_shard(place_shard).schema == PLACES
        assert read_shard(token_shard).column("doc_id") == read_shard(place_shard).column("doc_id")
    for row in rows(artifact, "places") + rows(artifact, "rejects"):
        assert data[row["uri"]][row["record"] :][: row["record_bytes"]] in LINES


@pytest.mark.slow
def test_workers_and_engines_change_no_byte_of_it(tmp_path: Path, make: Make) -> None:
    one, two, reference = make(tmp_path / "1"), make(tmp_path / "2", workers=2), make(tmp_path / "3", engine="tokenizers")
    assert one.manifest.content_digest == two.manifest.content_digest == reference.manifest.content_digest
    facts = [json.loads((artifact.path / "run.json").read_bytes())["facts"] for artifact in (one, reference)]
    assert [fact["engines"][0].split()[0] for fact in facts] == ["gigatoken", "tokenizers"]
    assert facts[0]["checks"]["documents"] == 84 and facts[0]["checks"]["sampled"] >= 2


def test_other_formats_and_bad_options(tmp_path: Path, make: Make, tokenizer: Path) -> None:
    folder = tmp_path / "txt"
    folder.mkdir()
    (folder / "gb.txt").write_bytes("中文的书很好看，他说。".encode("gb18030") * 20)
    artifact = make(tmp_path / "store", path=str(folder), format="txt", lang="zh")
    (row,) = rows(artifact, "tokens")
    assert Encoder(tokenizer).encode(["中文的书很好看，他说。" * 20])[0].tolist() == row["tokens"]
    assert row["lang"] == "zh"
    with pytest.raises(RequestError, match="--format 'pdf'"):
        make(tmp_path / "store", format="pdf")
    with pytest.raises(RequestError, match="text_field is for jsonl and .*, not for txt"):
        make(tmp_path / "store", format="txt", text_field="body")


def test_the_same_again_is_reused_and_a_damaged_audit_tells(tmp_path: Path, make: Make) -> None:
    artifact = make(tmp_path / "store")
    assert make(tmp_path / "store").path == artifact.path
    (artifact.path / "tokenizer.json").write_text("{}")
    assert any("tokenizer.json" in finding for finding in audit(artifact))
