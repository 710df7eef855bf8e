"""An export that is not the model is found, and what can't be exported is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
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


def test_large_scores_may_be_off_in_proportion(tmp_path: Path, tokenizer: Path) -> None:
    large = random_model(SMALL, 600, 0)
    with torch.no_grad():
        large.get_parameter("model.norm.weight").mul_(1000)
    found = parity(commit_model(tmp_path, "m", large, tokenizer).path, tmp_path)
    assert found.passed and found.told.endswith("; the largest score is 2,049"), found


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_scores_that_float32_does_not_explain_are_found(scale: float) -> None:
    expected = scale * torch.randn(1, 8, 600, generator=torch.Generator().manual_seed(0))
    assert model.hf.parity._judged(expected * (1 + 1e-7), expected).passed
    off = expected.clone()
    off[0, 3] *= 1.0001
    assert model.hf.parity._judged(off, expected).passed is False
    off = expected.clone()
    off[0, 3, 5] += 2e-4 + 1e-5 * scale
    assert model.hf.parity._judged(off, expected).passed is False
    off[0, 3, 5] = torch.nan
    assert model.hf.parity._judged(off, expected).passed is False


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
