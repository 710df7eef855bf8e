"""A model that learned documents by heart is found out, and one that did not isn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from model.checkpoint import Mismatch
from model.generate import Drawing
from model.probes.memorised import memorised
from model.probes.reading import Reader
from model.probes.recall import Prompt, prompts, write
from schemas.arrow import tokens_schema, write_shard
from schemas.errors import RequestError
from tests.model.probed import save_decoder, save_encoder


def shard(path: Path, documents: list[list[int]], subsets: list[str]) -> Path:
    schema = tokens_schema(600)
    rows = [
        {"doc_id": n.to_bytes(16, "big"), "source": "s", "lang": "en", "subset": subset, "weight": 1.0, "tokens": tokens, "n_bytes": 1}
        for n, (tokens, subset) in enumerate(zip(documents, subsets, strict=True))
    ]
    write_shard(path, schema, pa.Table.from_pylist(rows, schema=schema).to_batches(), compress=False)
    return path


def test_prompts_begin_documents_of_the_train_subset(tmp_path: Path) -> None:
    documents = [list(range(n, n + 30)) for n in range(40)] + [[7] * 9]
    subsets = ["test" if n % 4 == 0 else "train" for n in range(41)]
    shards = [shard(tmp_path / "a", documents, subsets), shard(tmp_path / "b", documents[:5], subsets[:5])]
    found = prompts(shards, 6, 5, seed=1)
    assert len(found) == 6 and found == prompts(shards, 6, 5, seed=1) != prompts(shards, 6, 5, seed=2)
    for prompt in found:
        number = int(str(prompt.doc_id), 16)
        assert number % 4 and number < 40 and prompt.tokens == tuple(range(number, number + 5))
    assert len(prompts(shards, 100, 5, seed=1)) == 33
    with pytest.raises(RequestError, match="no document of the train subset has 62 tokens"):
        prompts(shards, 6, 31, seed=1)


@pytest.mark.slow
def test_what_was_learned_by_heart_is_found_with_its_document(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    reader = Reader(save_decoder(tmp_path, ["nothing"], layers=1, width=64, ffn=96))
    documents = [draw.integers(10, 260, 90).tolist() for _ in range(12)]
    shards = [shard(tmp_path / "a", documents, ["train"] * 12)]
    learned = [3, 8]
    rows = torch.tensor([[*reader.begins, *documents[number], min(reader.ends)] for number in learned])
    optimizer = torch.optim.AdamW(reader.causal.parameters(), lr=3e-3)
    for _ in range(120):
        loss = F.cross_entropy(reader.causal(rows[:, :-1]).transpose(1, 2), rows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    asked = [Prompt(None, tuple(document[:8])) for document in documents]
    texts = write(reader, asked, 100, Drawing(0.0), seed=0)
    found = memorised(shards, texts, at_least=50)
    by_heart = [span for span in found.spans if span.sample in learned]
    assert [(span.sample, int(span.doc_id, 16), span.at, span.length) for span in by_heart] == [(n, n, 8, 82) for n in learned]
    assert all(len(texts[number]) == 82 for number in learned), "it ends where the document does"
    assert {int(span.doc_id, 16) for span in found.spans} <= set(learned)


def test_an_encoder_does_not_write(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="does not go on with a text"):
        write(Reader(save_encoder(tmp_path, ["a"])), [Prompt(None, (1,))], 4, Drawing(), 0)
