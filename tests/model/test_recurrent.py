"""The model: the LSTM gives what its equations say, texts in a row know nothing of each other, and what is written is what it predicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model.checkpoint import Mismatch, load_causal, load_decoder, load_model, save_model
from model.decoder import PAD_TO
from model.families import build_model
from model.fill import Filler
from model.footprint import footprint
from model.generate import Drawing, beam_search, continue_rows, generate
from model.hf.export import export_model
from model.hf.importing import examine
from model.optim import build_optimizer
from model.parallel import Ranks
from model.recurrent import RecurrentModel, pieces_of
from model.speed import operations_per_token
from model.spread import choose, recompute
from schemas import recipe
from schemas.artifact import Artifact
from schemas.errors import RequestError

CONFIG = recipe.Recurrent(family="lstm", layers=2, width=12, context=16)
VOCAB = 50


def made(config: recipe.Recurrent = CONFIG, scale: float = 2.0) -> RecurrentModel:
    """A float64 model, far from where it begins."""
    torch.manual_seed(3)
    model = RecurrentModel(config, VOCAB).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def by_the_book(model: RecurrentModel, ids: list[int]) -> Tensor:
    """Logits [time, vocab] of one text, token by token, gate by gate."""
    width = model.config.width
    outputs, cells = torch.zeros(2, model.config.layers, width, dtype=torch.float64)
    logits = []
    for token in ids:
        x = model.embed_tokens.weight[token]
        for number, layer in enumerate(model.layers):
            assert isinstance(layer, nn.LSTM)
            gates = layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.weight_hh_l0 @ outputs[number] + layer.bias_hh_l0
            enter, keep, new, leave = gates.split(width)
            cells[number] = keep.sigmoid() * cells[number] + enter.sigmoid() * new.tanh()
            outputs[number] = leave.sigmoid() * cells[number].tanh()
            x = outputs[number]
        logits.append(model.lm_head.weight[: model.vocab_size] @ x)
    return torch.stack(logits)


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_it_is_what_the_equations_say(tied: bool) -> None:
    model = made(CONFIG.model_copy(update={"tie_embeddings": tied}))
    ids = torch.randint(VOCAB, (3, 20))
    for row, logits in zip(ids.tolist(), model(ids), strict=True):
        torch.testing.assert_close(logits, by_the_book(model, row), rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=11, max_size=11), min_size=1, max_size=4), st.integers(0, 99))
def test_a_document_in_a_pack_is_read_as_if_it_stood_alone(cuts: list[list[bool]], seed: int) -> None:
    model = made()
    ids = torch.randint(VOCAB, (len(cuts), 12), generator=torch.Generator().manual_seed(seed))
    documents = torch.tensor([[0, *cut] for cut in cuts]).cumsum(1)
    with torch.no_grad():
        logits = model(ids, packed=(documents, torch.zeros_like(documents)))
        for row in range(len(cuts)):
            for document in documents[row].unique():
                own = documents[row] == document
                torch.testing.assert_close(logits[row, own], model(ids[row, own][None])[0], rtol=0, atol=1e-12)


def test_nothing_crosses_into_another_document() -> None:
    """Not even what is not a number; and gradients don't either."""
    model = made()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14, 15, 16]])
    documents = torch.tensor([[0, 0, 0, 1, 1, 2, 2, -1], [3, 3, 3, 3, 3, 3, 4, 4]])
    packed = (documents, torch.zeros_like(documents))
    model(ids, packed=packed)[0, 3:5].square().sum().backward()
    assert model.embed_tokens.weight.grad is not None
    model.lm_head.weight.grad = None
    states = model.hidden(ids, packed=packed)[0, 3:5].square().sum()
    (grad,) = torch.autograd.grad(states, model.embed_tokens.weight)
    assert torch.nonzero(grad.abs().sum(1))[:, 0].tolist() == [4, 5]
    with torch.no_grad():
        clean = model.hidden(ids, packed=packed)
        model.embed_tokens.weight[2] = torch.nan
        dirty = model.hidden(ids, packed=packed)
    assert dirty[0, 1:3].isnan().all() and torch.equal(dirty[0, 3:], clean[0, 3:]) and torch.equal(dirty[1], clean[1])


def test_rows_are_cut_where_a_text_begins_in_one_of_them() -> None:
    begins = torch.zeros(3, 8, dtype=torch.bool)
    assert pieces_of(begins) == [8]
    begins[1, 3] = begins[2, 3] = begins[0, 7] = begins[0, 0] = True
    assert pieces_of(begins) == [3, 4, 1]


@torch.no_grad()
@pytest.mark.parametrize("cached", [False, True])
def test_a_row_behind_padding_is_read_as_if_it_stood_alone(cached: bool) -> None:
    model, ids, padding = made(), torch.randint(VOCAB, (4, 9)), torch.tensor([0, 4, 8, 1])
    caches = model.caches(4) if cached else None
    logits = model(ids, caches, padding=padding)
    after = model(ids[:, :2], caches, padding=padding) if cached else None
    for row, lack in enumerate(padding.tolist()):
        alone = torch.cat((ids[row, lack:], ids[row, :2]))[None]
        torch.testing.assert_close(logits[row, lack:], model(alone)[0, :-2], rtol=0, atol=1e-12)
        if after is not None:
            torch.testing.assert_close(after[row], model(alone)[0, -2:], rtol=0, atol=1e-12)


@torch.no_grad()
def test_what_is_written_is_what_it_predicts_however_long() -> None:
    """Greedy tokens are the likeliest of the whole pass, beyond the context too; rows beside each other change nothing."""
    model, prompts = made(), [[1], [2, 3, 4, 5, 6, 7, 8], [9, 10]]
    most = 3 * model.config.context
    found: list[list[int]] = [[] for _ in prompts]

    def hear(row: int, token: int) -> bool:
        found[row].append(token)
        return row != 0 or len(found[0]) < 5

    continue_rows(model, prompts, most, Drawing(0), [0] * 3, hear)
    assert [len(text) for text in found] == [5, most, most]
    for prompt, text in zip(prompts, found, strict=True):
        whole = torch.tensor([prompt + text])
        assert model(whole)[0, len(prompt) - 1 : -1].argmax(-1).tolist() == text == generate(model, prompt, len(text), temperature=0)
        assert beam_search(model, prompt, 4, beams=1)[0] == text[:4]


@torch.no_grad()
def test_beams_find_the_likeliest_text_if_there_are_enough() -> None:
    torch.manual_seed(0)
    model = RecurrentModel(CONFIG, 5).double()
    first = model(torch.tensor([[1]]))[0, -1].log_softmax(-1)
    second = model(torch.tensor([[1, token] for token in range(5)]))[:, -1].log_softmax(-1)
    assert beam_search(model, [1], 2, beams=25)[0] == list(divmod(int((first[:, None] + second).argmax()), 5))


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_comes_back_bit_by_bit(tmp_path: Path, tied: bool, tokenizer_artifact: Artifact) -> None:
    torch.manual_seed(1)
    model = RecurrentModel(CONFIG.model_copy(update={"tie_embeddings": tied}), VOCAB)
    save_model(model, tmp_path, {"bos_token_id": 0})
    back, config = load_causal(tmp_path)
    assert isinstance(back, RecurrentModel) and back.config == model.config and config["model_type"] == "gristmill-lstm"
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())
    ids = torch.randint(VOCAB, (2, 9))
    assert torch.equal(model(ids), back(ids))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_artifact.paths("tokenizer")[0].read_bytes())
    with pytest.raises(RequestError, match="is gristmill-lstm, which transformers has no class for"):
        export_model(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(Mismatch, match=r"config.json: is gristmill-lstm, which is a saved model of ours"):
        examine(tmp_path)
    with pytest.raises(Mismatch, match="is gristmill-lstm, which fills in no masks"):
        Filler(tmp_path)
    with pytest.raises(Mismatch, match="is gristmill-lstm: this needs a decoder"):
        load_decoder(tmp_path)
    description = tmp_path / "config.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"hidden_size": 10}))
    with pytest.raises(Mismatch, match=r"embed_tokens.weight has shape \[50, 12\], config.json wants \[50, 10\]"):
        load_model(tmp_path)


def test_first_weights() -> None:
    torch.manual_seed(0)
    config = recipe.Recurrent.model_validate({"family": "lstm", "size": "tiny", "tie_embeddings": False})
    model = build_model(config, 600)
    assert isinstance(model, RecurrentModel)
    for weight in (model.embed_tokens.weight, model.lm_head.weight):
        assert float(weight[:600].detach().std()) == pytest.approx(config.width**-0.5, rel=0.02)
        assert len(weight) % PAD_TO == 0 and not weight[600:].any()
    for layer in model.layers:
        assert isinstance(layer, nn.LSTM)
        bias = layer.bias_ih_l0.view(4, -1)
        assert (bias[1] == 1).all() and not bias[[0, 2, 3]].any() and not layer.bias_hh_l0.any()
    loss = nn.functional.cross_entropy(model(torch.randint(600, (4, 32))).flatten(0, 1), torch.randint(600, (128,)))
    assert loss.item() == pytest.approx(torch.log(torch.tensor(600.0)).item(), abs=0.1)


@pytest.mark.parametrize(("size", "million"), [("tiny", 0.4), ("mini", 3.2), ("small", 86)])
def test_sizes_have_names_and_about_the_weights_of_decoders(size: str, million: float) -> None:
    config = recipe.Recurrent.model_validate({"family": "lstm", "size": size})
    decoder = recipe.Decoder.model_validate({"size": size})
    assert config.size is None and "size" not in config.as_json() and config.context == decoder.context
    with torch.device("meta"):
        counts = [sum(p.numel() for p in build_model(c, 64).parameters()) - 64 * c.width for c in (config, decoder)]
    assert counts[0] / 1e6 == pytest.approx(million, rel=0.05) and counts[0] == pytest.approx(counts[1], rel=0.1)


def test_what_it_costs() -> None:
    model = RecurrentModel(CONFIG, VOCAB)
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2)
    assert operations_per_token(model, CONFIG) == 6 * matrices
    vocabulary = {"vocab_size": VOCAB, "special_tokens": {"bos": 0, "eos": 1, "pad": 2}}
    asked = {"model": CONFIG.as_json() | {"width": 48, "context": 32}, "batch": 16, "validate_tokens": 32, "precision": "float32"}
    found = [
        footprint(recipe.Pretrain.model_validate(asked | more), vocabulary, 1, False)
        for more in ({}, {"document_mask": True, "packing": "best_fit"}, {"accumulate": 4})
    ]
    assert found[0].parameters * 4 == found[0].weights and found[0].moments == 2 * found[0].weights
    states = 4 * 16 * 32 * 48
    assert 2 * 10 * states < found[0].activations < 2 * 40 * states, "gates, cells and outputs of two layers, at least"
    assert found[1].activations == pytest.approx(found[0].activations, rel=0.05)
    assert found[2].activations < found[0].activations / 3


def test_layers_that_compute_again_give_the_same_bits() -> None:
    grads = []
    documents = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]).expand(2, 8)
    for again in (False, True):
        model = made().float()
        if again:
            recompute(model)
        model(torch.arange(16).view(2, 8), packed=(documents, documents)).square().mean().backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def test_its_weights_are_not_cut_and_muon_takes_its_matrices() -> None:
    two = Ranks(0, 2)
    assert choose("auto", made, "adamw", two, memory=1) == "ddp"
    with pytest.raises(RequestError, match="run.shard: fsdp: an lstm reads its weights whole"):
        choose("fsdp", made, "adamw", two)
    muon = build_optimizer(made(), recipe.Optimizer(name="muon")).parts[0]
    assert [tuple(p.shape) for group in muon.param_groups for p in group["params"]] == [(48, 12)] * 4
