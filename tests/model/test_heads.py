"""Headed models are those of `transformers`: the same logits and losses by the same weights, for each family and purpose, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model.families import build_model
from model.finetune.answers import Answers
from model.finetune.heads import HeadedModel, headed
from model.finetune.samples import Batch
from model.finetune.saved import load_headed, save_headed
from model.finetune.sequences import Sequences
from model.finetune.tagging import Tagging
from model.hf.heads import CLASSES, class_of
from schemas import recipe
from schemas.errors import RequestError
from tests.model.parity import assert_same

SHAPES: dict[str, recipe.Architecture] = {
    "bert": recipe.Encoder(family="bert", layers=2, width=32, heads=4, ffn=64, context=64),
    "modernbert": recipe.Encoder(family="modernbert", layers=4, width=32, heads=4, ffn=48, context=64, local_window=8),
    "llama": recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=64, context=64),
    "qwen3": recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=64, context=64, qk_norm=True, head_width=16),
    "gpt2": recipe.Decoder(family="gpt2", layers=2, width=32, heads=4, kv_heads=4, ffn=64, context=64),
    "t5": recipe.EncoderDecoder(family="t5", layers=2, width=32, heads=4, ffn=64, context=64, tie_embeddings=True),
}
PAD, EOS, VOCABULARY = 2, 3, 101
IDS = {"pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": PAD}
AUTO = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "tokens": transformers.AutoModelForTokenClassification,
    "spans": transformers.AutoModelForQuestionAnswering,
}
LABELS = ["neg", "中", "pos"]


def a_model(family: str, purpose: Any) -> HeadedModel:
    torch.manual_seed(3)
    model = headed(build_model(SHAPES[family], VOCABULARY), purpose, [] if purpose == "spans" else LABELS, start=PAD)
    with torch.no_grad():
        for parameter in model.parameters():  # what begins as zero or one would hide a mistake
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.model.embed_tokens.weight[VOCABULARY:] = 0
    return model.eval()


def a_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, types and lengths of texts of four lengths, which an eos ends."""
    torch.manual_seed(4)
    lengths = torch.tensor([40, 3, 17, 29])
    ids = torch.randint(4, VOCABULARY, (4, 40))
    ids[torch.arange(4), lengths - 1] = EOS
    ids[torch.arange(40) >= lengths[:, None]] = PAD
    types = ((torch.arange(40) > 9) & (torch.arange(40) < lengths[:, None])).long()
    return ids, types, lengths


@pytest.mark.parametrize(("family", "purpose"), list(CLASSES))
def test_transformers_computes_the_same(family: str, purpose: str, tmp_path: Path) -> None:
    model = a_model(family, purpose)
    save_headed(model, tmp_path, IDS, {"max_tokens": 40})
    theirs, told = AUTO[purpose].from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == class_of(model.architecture, purpose).name
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    ids, types, lengths = a_batch()
    mask = (torch.arange(40) < lengths[:, None]).long()
    asked = {"input_ids": ids, "attention_mask": mask, **({"token_type_ids": types} if family == "bert" else {})}
    targets = {"sequence": {"labels": torch.tensor([0, 2, 1, 0])}, "tokens": {"labels": torch.where(mask == 1, ids % 3, -100)}}
    targets["spans"] = {"start_positions": torch.tensor([1, 0, 5, 9]), "end_positions": torch.tensor([3, 1, 5, 20])}
    with torch.no_grad():
        ours = model(ids, types, lengths)
        found = theirs.eval()(**asked, **targets[purpose])
    if purpose == "spans":
        wanted = torch.stack([found.start_logits, found.end_logits], -1)
        target = torch.stack(list(targets["spans"].values()), -1)
        kind: Any = Answers(None, False)  # type: ignore[arg-type]
    elif purpose == "sequence":
        wanted, target, kind = found.logits, targets["sequence"]["labels"][:, None], Sequences(None, LABELS)  # type: ignore[arg-type]
    else:
        wanted, target, kind = found.logits, targets["tokens"]["labels"], Tagging(None, LABELS)  # type: ignore[arg-type]
    inside = mask.bool() if purpose != "sequence" else slice(None)
    assert_same(ours[inside], wanted[inside])
    assert float((ours[inside] - wanted[inside]).abs().max()) <= 1e-5
    if purpose != "spans":  # padding takes part in theirs
        loss = kind.loss(model, Batch(ids, types, lengths, target))
        torch.testing.assert_close(loss, found.loss, rtol=1e-5, atol=1e-5)
    if purpose != "spans":
        assert theirs.config.id2label == dict(enumerate(LABELS)) and theirs.config.label2id["中"] == 1


@pytest.mark.parametrize(("family", "purpose"), list(CLASSES))
def test_what_was_saved_comes_back_and_what_transformers_wrote_too(family: str, purpose: str, tmp_path: Path) -> None:
    model = a_model(family, purpose)
    (tmp_path / "ours").mkdir()
    save_headed(model, tmp_path / "ours", IDS, {"max_tokens": 40})
    AUTO[purpose].from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    ids, types, lengths = a_batch()
    for folder in ("ours", "theirs"):
        back, config = load_headed(tmp_path / folder)
        assert back.purpose == purpose and (back.labels == tuple(LABELS) or purpose == "spans")
        assert config["gristmill"] == {"max_tokens": 40}
        with torch.no_grad():
            assert torch.equal(back(ids, types, lengths), model(ids, types, lengths))


@pytest.mark.parametrize(("family", "purpose"), list(CLASSES))
def test_padding_and_company_change_nothing(family: str, purpose: str) -> None:
    model = a_model(family, purpose)
    ids, types, lengths = a_batch()
    with torch.no_grad():
        together = model(ids, types, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = model(ids[row : row + 1, :length], types[row : row + 1, :length], lengths[row : row + 1])
            expected = together[row] if purpose == "sequence" else together[row, :length]
            torch.testing.assert_close(alone[0], expected, rtol=1e-4, atol=1e-5)


def test_modernbert_starts_from_the_head_that_it_has_and_bert_from_its_pooler() -> None:
    torch.manual_seed(0)
    base: Any = build_model(SHAPES["modernbert"], VOCABULARY)
    weight = base.head.dense.weight.clone()
    assert torch.equal(headed(base, "sequence", LABELS).head.dense.weight, weight)  # type: ignore[union-attr]
    paired = recipe.Encoder(family="bert", layers=1, width=32, heads=4, ffn=64, context=64, task="next_sentence")
    base = build_model(paired, VOCABULARY)
    weight = base.pooler.weight.clone()
    assert torch.equal(headed(base, "sequence", LABELS).pooler.weight, weight)  # type: ignore[union-attr]


@pytest.mark.parametrize("tied", [True, False])
def test_how_an_encoder_decoder_scored_tokens_before_changes_no_label(tied: bool) -> None:
    """The head that wrote is gone, and with it the scale of states that it read."""
    torch.manual_seed(5)
    base: Any = build_model(SHAPES["t5"].model_copy(update={"tie_embeddings": tied}), VOCABULARY)
    ids, types, lengths = a_batch()
    with torch.no_grad():
        written = torch.cat([torch.full((1, 1), PAD), ids[:1, :-1]], 1)
        states = base.hidden(written, base.read(ids[:1])) * (32**0.5 if tied else 1)
        model = headed(base, "spans", [], start=PAD).eval()
        torch.testing.assert_close(model(ids[:1], types[:1], lengths[:1]), model.score(states), rtol=1e-4, atol=1e-5)
    assert not any("lm_head" in name for name, _ in model.named_parameters())


def test_families_without_heads_are_refused() -> None:
    with pytest.raises(RequestError, match=r"config\.json: decoder_start_token_id is missing"):
        headed(build_model(SHAPES["t5"], VOCABULARY), "tokens", LABELS)
    lstm = build_model(recipe.Recurrent(family="lstm", width=16, layers=1, context=32), VOCABULARY)
    with pytest.raises(RequestError, match="no head for tokens"):
        headed(lstm, "tokens", LABELS)


def test_what_is_no_fine_tuned_model_is_told(tmp_path: Path) -> None:
    from model.checkpoint import Mismatch

    save_headed(a_model("bert", "sequence"), tmp_path, {}, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    with pytest.raises(Mismatch, match=r"config\.json: does not describe a fine-tuned model: is a \['BertForMaskedLM'\]"):
        load_headed(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b"}}))
    with pytest.raises(Mismatch, match="classifier.weight has shape"):
        load_headed(tmp_path)
