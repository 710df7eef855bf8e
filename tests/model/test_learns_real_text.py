"""The model: real text teaches what counting can't tell: held-out loss beside that of guesses (`tests.bench.counting`)."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from model.train import main
from schemas.recipe import Pretrain
from tests.bench.counting import measure_guesses, of_english
from tests.model.conftest import Document, MakeDraft, commit_tokenizer, commit_tokens


def manual() -> list[Document]:
    """Paragraphs of Python's manual that differ; one in eight is held out."""
    paragraphs = dict.fromkeys(part for key in sorted(topics) for part in topics[key].split("\n\n") if len(part) > 80)
    return [("en", "train" if number % 8 else "validation", text) for number, text in enumerate(paragraphs)]


@pytest.mark.slow
def test_spans_that_were_cut_out_are_told_better_than_by_frequencies(tmp_path: Path) -> None:
    documents = manual()
    tokenizer = commit_tokenizer(tmp_path / "tokenizer", [text for _, _, text in documents], 1000, sentinels=8)
    tokens = commit_tokens(tmp_path / "tokens", documents, tokenizer)
    settings = {
        "model": {"family": "t5", "layers": 1, "width": 64, "heads": 2, "ffn": 128, "context": 48}, "steps": 500, "batch": 16,
        "optimizer": {"name": "muon", "lr": 1e-2, "muon_lr": 1e-2}, "precision": "float32", "compile": False, "validate_every": 250,
        "validate_tokens": 20_000, "checkpoint_every": 1000,
    }  # fmt: skip
    counted = measure_guesses(tokens, tokenizer, Pretrain.model_validate(settings))
    draft = MakeDraft(tokens, tokenizer)(tmp_path / "draft", **settings)
    assert main([str(draft.path)]) == 0
    learnt = of_english(json.loads((draft.path / "metrics.jsonl").read_text().splitlines()[-1]))["validation_loss"]
    assert learnt < counted["bigram"]["validation_loss"] - 0.2
    assert learnt < counted["most frequent"]["validation_loss"] - 0.9
