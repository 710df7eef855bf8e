"""An export that is not the model is found, and what can't be exported is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import model.hf.parity
from model.hf.export import export_model
from model.hf.parity import parity
from schemas import recipe
from tests.model.conftest import commit_tokenizer, small_documents
from tests.model.served import commit_model, random_model

SMALL = recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=48, context=32)
LSTM = recipe.Recurrent(family="lstm", layers=1, width=32, context=32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for _, _, text in small_documents()]
    return commit_tokenizer(tmp_path_factory.mktemp("t") / "tokenizer", texts, 600).paths("tokenizer")[0]


def test_an_export_is_the_model(tmp_path: Path, tokenizer: Path) -> None:
    folder = commit_model(tmp_path, "m", random_model(SMALL, 600, 0), tokenizer).path
    found = parity(folder, tmp_path)
    assert found.passed and found.told.startswith("transformers 5.")
    assert not (tmp_path / "exported").exists()


def test_other_weights_are_found(tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, out: Path) -> list[str]:
        names = export_model(folder, out)
        weights = load_file(out / "model.safetensors")
        key = next(iter(weights))
        save_file({**weights, key: weights[key] * 1.001}, out / "model.safetensors", {"format": "pt"})
        return names

    monkeypatch.setattr(model.hf.parity, "export_model", broken)
    folder = commit_model(tmp_path, "m", random_model(SMALL, 600, 0), tokenizer).path
    found = parity(folder, tmp_path)
    assert found.passed is False and found.told == "the weights of the export are not those of the model"


def test_what_transformers_has_no_class_for_is_not_exported(tmp_path: Path, tokenizer: Path) -> None:
    folder = commit_model(tmp_path, "m", random_model(LSTM, 600, 0), tokenizer).path
    found = parity(folder, tmp_path)
    assert found.passed is None and "transformers has no class for" in found.told
