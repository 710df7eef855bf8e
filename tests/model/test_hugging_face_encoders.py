"""The model: parity of encoders with `transformers`: the same scores and losses, padded and long inputs, and not a bit lost on the way
there and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from model.checkpoint import Mismatch, load_model, save_model
from model.encoder import EncoderModel
from model.hf.export import export_model
from model.hf.importing import examine
from schemas import recipe
from schemas.artifact import Artifact
from tests.model.parity import assert_same, in_transformers

pytestmark = pytest.mark.slow  # importing transformers takes seconds

LOCAL = {"family": "modernbert", "layers": 4, "local_window": 16}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {"family": "bert"},
    "bert with next sentence": {"family": "bert", "task": "next_sentence", "norm_eps": 1e-6},
    "bert without heads": {"family": "bert", "task": "none"},
    "modernbert": LOCAL,
    "modernbert of two layers": {"family": "modernbert", "global_every": 2, "rope_theta": 5e4, "local_rope_theta": 2e3},
    "modernbert without heads": LOCAL | {"task": "none"},
}
CONTEXT, VOCABULARY = 192, 600
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "cls_token_id": 0, "sep_token_id": 1}


def random_model(shape: str) -> EncoderModel:
    """Every weight far from its first value, so that none can be left out or mistaken for another."""
    config = recipe.Encoder(**{"layers": 2, "width": 64, "heads": 4, "ffn": 96, "context": CONTEXT} | SHAPES[shape])
    torch.manual_seed(len(shape))
    model = EncoderModel(config, VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        model.model.embed_tokens.weight[VOCABULARY:] = 0
        if model.head is not None:
            model.head.bias[VOCABULARY:] = 0
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Callable[[str], Path]:
    """Makes the folder of a shape's saved model."""

    @cache
    def folder(shape: str) -> Path:
        path = tmp_path_factory.mktemp("saved")
        save_model(random_model(shape), path, SPECIAL)
        shutil.copyfile(tokenizer_artifact.paths("tokenizer")[0], path / "tokenizer.json")
        return path

    return folder


@pytest.fixture(scope="module", params=SHAPES)
def both(request: pytest.FixtureRequest, made: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a saved model, and of its export."""
    saved, out = made(request.param), tmp_path_factory.mktemp("exported") / "model"
    export_model(saved, out)
    return saved, out


def theirs(folder: Path) -> Any:
    return in_transformers(folder, json.loads((folder / "config.json").read_text())["architectures"][0])


@cache
def ours(folder: Path) -> EncoderModel:
    model = load_model(folder)[0]
    assert isinstance(model, EncoderModel)
    return model


def outputs(model: EncoderModel, ids: Tensor, **how: Tensor) -> dict[str, Tensor]:
    """All that heads say, or the states if there are none, by the names of `transformers`."""
    states = model.hidden(ids, **how)
    if model.head is None:
        return {"last_hidden_state": states, **({"pooler_output": model.pooled(states)} if model.pooler is not None else {})}
    if model.next_sentence is None:
        return {"logits": model.scores(states)}
    return {"prediction_logits": model.scores(states), "seq_relationship_logits": model.follows(states)}


@torch.no_grad()
def test_scores_of_long_inputs_are_equal(both: tuple[Path, Path]) -> None:
    torch.manual_seed(1)
    ids = torch.randint(0, VOCABULARY, (2, CONTEXT))
    expected = theirs(both[1])(ids)
    for name, found in outputs(ours(both[0]), ids).items():
        assert_same(found, expected[name])


@torch.no_grad()
def test_scores_of_padded_pairs_are_equal(both: tuple[Path, Path]) -> None:
    """Padding behind, and token types where the family knows them."""
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(2)
    lengths, ids = torch.tensor([40, 1, 17, 39]), torch.randint(0, VOCABULARY, (4, 40))
    mask = torch.arange(40) < lengths[:, None]
    types = (torch.arange(40) >= lengths[:, None] // 2).long()
    more = {"types": types} if model.config.family == "bert" else {}
    expected = other(ids, attention_mask=mask.long(), **({"token_type_ids": types} if more else {}))
    for name, found in outputs(model, ids, documents=torch.where(mask, 0, -1), **more).items():
        if found.ndim == 3:
            assert_same(found[mask], expected[name][mask])
        else:
            assert_same(found, expected[name])


@torch.no_grad()
def test_losses_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    if model.head is None:
        return
    torch.manual_seed(3)
    ids, hidden = torch.randint(0, VOCABULARY, (3, 60)), torch.rand(3, 60) < 0.15
    labels, follows = ids.masked_fill(~hidden, -100), torch.tensor([0, 1, 1])
    states = model.hidden(ids)
    loss = F.cross_entropy(model.scores(states[hidden]), ids[hidden])
    told = {"labels": labels}
    if model.next_sentence is not None:
        loss = loss + F.cross_entropy(model.follows(states), follows)
        told["next_sentence_label"] = follows
    assert float(loss) == pytest.approx(float(other(ids, **told).loss), abs=1e-5)


@torch.no_grad()
def test_packed_documents_are_read_as_if_each_stood_alone(both: tuple[Path, Path]) -> None:
    model = ours(both[0])
    torch.manual_seed(4)
    sizes = (30, 9, 21)
    texts = [torch.randint(0, VOCABULARY, (size,)) for size in sizes]
    documents = torch.repeat_interleave(torch.tensor([0, 1, 2, -1]), torch.tensor([*sizes, 4]))
    positions = torch.cat([torch.arange(size) for size in (*sizes, 4)])
    packed = model.hidden(
        torch.cat([*texts, torch.zeros(4, dtype=torch.int64)])[None], documents=documents[None], positions=positions[None]
    )
    for text, found in zip(texts, packed[0].split([*sizes, 4])[:3], strict=True):
        assert torch.allclose(found, model.hidden(text[None])[0], atol=1e-5)


def test_a_round_trip_loses_no_bit(both: tuple[Path, Path], tmp_path: Path) -> None:
    saved, exported = both
    theirs(exported).save_pretrained(tmp_path / "theirs")
    for folder in (exported, tmp_path / "theirs"):
        back = ours(folder)
        state, expected = back.state_dict(), ours(saved).state_dict()
        assert back.config == ours(saved).config and state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    (tmp_path / "again").mkdir()
    save_model(ours(exported), tmp_path / "again", SPECIAL)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_a_published_bert_is_read(made: Callable[[str], Path], tmp_path: Path) -> None:
    """As Google's: a masked language model with next sentence's weights left in, norms' old names, tied weights written out; and the
    same without heads and prefix."""
    saved = made("bert with next sentence")
    folder = shutil.copytree(saved, tmp_path / "in")
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    old = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t for n, t in tensors.items()}
    old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    old["bert.embeddings.position_ids"] = torch.arange(CONTEXT)[None]
    save_file(old, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    examine(folder)
    model, ids = load_model(folder)[0], torch.arange(50)[None]
    assert isinstance(model, EncoderModel) and model.pooler is None
    assert_same(model(ids).detach(), ours(saved)(ids).detach())
    save_file({n.removeprefix("bert."): t for n, t in tensors.items() if n.startswith("bert.")}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    assert torch.equal(ours(folder).hidden(ids), ours(saved).hidden(ids))
    with pytest.raises(ValueError, match="no head for hidden tokens"):
        ours(folder)(ids)


@pytest.mark.parametrize(
    ("shape", "change", "told"),
    [
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("bert", {"type_vocab_size": 1}, "type_vocab_size is 1"),
        ("bert", {"is_decoder": True}, "is_decoder is True"),
        ("bert", {"architectures": ["BertForSequenceClassification"]}, "only BertForMaskedLM, BertForPreTraining, BertModel"),
        ("bert", {"architectures": ["BertForPreTraining"]}, r"bert.pooler.dense.bias is missing"),
        ("modernbert", {"norm_bias": True}, "norm_bias is True"),
        ("modernbert", {"layer_types": ["full_attention", "full_attention", "sliding_attention", "full_attention"]}, "every n-th layer"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1e4}}}, "rope_type is 'yarn'"),
    ],
)
def test_what_cannot_be_represented_is_refused(made: Callable[[str], Path], tmp_path: Path, shape: str, change: Any, told: str) -> None:
    shutil.copytree(made(shape), tmp_path / "in")
    config = tmp_path / "in" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(Mismatch, match=told):
        examine(tmp_path / "in")


def test_keys_of_version_4_are_read(made: Callable[[str], Path], tmp_path: Path) -> None:
    saved = made("modernbert of two layers")
    folder = shutil.copytree(saved, tmp_path / "in")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in ("layer_types", "rope_parameters")}))
    assert ours(folder).config == ours(saved).config
