"""The model: filling in masks: as the fill-mask pipeline of `transformers` does with the exported model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from model.checkpoint import Mismatch, load_decoder, save_model
from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.fill import Filler
from model.hf.export import export_model
from schemas import recipe
from tests.model.annotated import ROLES, annotated_documents, commit_tokenizer


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = commit_tokenizer(tmp_path_factory.mktemp("store") / "tokenizer", [text for _, _, text in annotated_documents()])
    torch.manual_seed(0)
    model = EncoderModel(recipe.Encoder(family=request.param, layers=2, width=32, heads=2, ffn=48, context=40), 600)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    special = tokenizer.facts("tokenizer")["special_tokens"]
    save_model(model, folder, {f"{role}_token_id": special[role] for role in ROLES})
    shutil.copyfile(tokenizer.paths("tokenizer")[0], folder / "tokenizer.json")
    return folder


@pytest.mark.slow
def test_it_fills_as_the_pipeline_does(saved: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, pipeline

    export_model(saved, tmp_path / "out")
    filler, text = Filler(saved), "The [MASK] of 中国 is[MASK]."
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert tokenizer(text)["input_ids"] == filler.ids(text) and tokenizer.mask_token == filler.mask == "[MASK]"
    pair = tokenizer("ab", "c")
    assert pair["input_ids"][0] == 0 and pair["input_ids"].count(1) == 2
    if "token_type_ids" in pair:
        assert pair["token_type_ids"][-1] == 1 and pair["token_type_ids"][0] == 0
    told = pipeline("fill-mask", str(tmp_path / "out"), top_k=7)(text)
    for candidates, expected in zip(filler.fill(text, 7), told, strict=True):
        assert [one.id for one in candidates] == [one["token"] for one in expected]
        assert [one.token.strip() for one in candidates] == [one["token_str"].strip() for one in expected]
        assert [one.probability for one in candidates] == pytest.approx([one["score"] for one in expected], rel=1e-4)
    assert Filler(tmp_path / "out").fill(text, 7) == filler.fill(text, 7)


def test_what_it_cannot_fill_it_refuses(saved: Path, tmp_path: Path) -> None:
    filler = Filler(saved)
    with pytest.raises(ValueError, match=re.escape("write [MASK] where")):
        filler.fill("nothing")
    with pytest.raises(ValueError, match="more than the model's context of 40"):
        filler.fill("[MASK]" * 39)
    assert len(filler.fill("[MASK]" * 38, 1)) == 38
    with pytest.raises(Mismatch, match="does not go on with a text: this needs a decoder; `gristmill fill`"):
        load_decoder(saved)
    other = shutil.copytree(saved, tmp_path / "other")
    save_model(DecoderModel(recipe.Decoder(layers=1, width=32, heads=2, kv_heads=1, ffn=48, context=40), 600), other, {})
    with pytest.raises(Mismatch, match="fills in no masks; `gristmill generate`"):
        Filler(other)
    bare = shutil.copytree(saved, tmp_path / "bare")
    family = json.loads((saved / "config.json").read_text())["model_type"]
    config = recipe.Encoder(family=family, layers=1, width=32, heads=2, ffn=48, context=40, task="none")
    save_model(EncoderModel(config, 600), bare, {})
    with pytest.raises(Mismatch, match="has no head for hidden tokens"):
        Filler(bare)
