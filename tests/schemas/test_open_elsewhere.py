"""Shards of both kinds open with what people already use: pyarrow, datasets, DuckDB, Polars."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.arrow import DOCUMENTS, SIGNALS, tokens_schema, write_shard

TEXTS = ["Rain fell.", "下雨了。", ""]


@pytest.fixture(params=["documents", "tokens"])
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A shard of three rows: compressed documents, or memory-mapped tokens."""
    path = tmp_path / f"{request.param}.arrow"
    common = [{"doc_id": bytes([n] * 16), "source": "web", "lang": "en", "subset": "train", "weight": 1.0} for n in range(3)]
    if request.param == "documents":
        schema = DOCUMENTS
        rows = [
            {
                **row, "uri": "a.txt", "record": n, "record_bytes": len(text.encode()), "clean_is_identity": True, "text": text,
                "lang_score": 1.0, "origin_group": 2**64 - 1 - n, "sentence_ends": [], "word_starts": [], "word_ends": [],
                "pos": None if n else [7, 15], "signals": dict.fromkeys(SIGNALS, 0.5), "flags": [], "extra": None,
            }
            for n, (row, text) in enumerate(zip(common, TEXTS, strict=True))
        ]  # fmt: skip
    else:
        schema = tokens_schema(8192, {"tokenizer": "0" * 32})
        sizes = [3, 2, 0]
        rows = [
            {**row, "tokens": list(range(n)), "token_starts": None, "word_start": [True] * n, "sentence_ends": [n], "n_bytes": n}
            for row, n in zip(common, sizes, strict=True)
        ]
    write_shard(path, schema, [pa.RecordBatch.from_pylist(rows, schema)], compress=request.param == "documents")
    return path


def test_pyarrow(shard: Path) -> None:
    with pa.memory_map(str(shard)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.num_rows == 3
    assert table["source"].to_pylist() == ["web"] * 3


def test_polars(shard: Path) -> None:
    import polars

    frame = polars.read_ipc(shard)
    assert frame["lang"].to_list() == ["en"] * 3


def test_duckdb(shard: Path) -> None:
    import duckdb
    import pyarrow.dataset as ds

    found = ds.dataset(shard, format="ipc")
    assert duckdb.arrow(found).aggregate("count(*) AS n, min(source) AS s").fetchall() == [(3, "web")]


@pytest.mark.slow
def test_datasets(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset("arrow", data_files=str(shard), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 3
    assert loaded["subset"] == ["train"] * 3
