"""What is shown of a model is what the model computes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from model.checkpoint import Mismatch, load_model
from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.finetune import classify
from model.finetune.heads import HeadedModel
from model.finetune.saved import save_headed
from model.layers import Attention
from model.probes.attributions import integrated_gradients
from model.probes.explain import explain
from model.probes.layers import lens, watched, weights_of
from model.probes.reading import Reader
from tests.model.probed import save_decoder, save_encoder

TEXT = ["The cat sat on the mat, and 那只猫 sat on 垫子."]

SHAPES = {
    "llama": {},
    "qwen3": {"qk_norm": True, "heads": 4, "kv_heads": 2},
    "gpt2": {"family": "gpt2", "kv_heads": 2},
    "bert": {},
    "modernbert": {"family": "modernbert", "layers": 3, "local_window": 6, "global_every": 2},
}


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    save = save_encoder if "bert" in request.param else save_decoder
    return save(tmp_path_factory.mktemp("saved"), TEXT, **SHAPES[request.param])


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader(folder)


def test_weights_are_those_that_attention_uses(reader: Reader) -> None:
    """Values weighed by them, through the output projection, are what the layer gave."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def compare(module: torch.nn.Module, arguments: tuple, named: dict, output: torch.Tensor) -> None:  # type: ignore[type-arg]
        assert isinstance(module, Attention)
        x = arguments[0]
        v = module.v_proj(x).view(*x.shape[:2], -1, module.head_width).transpose(1, 2)
        v = v.repeat_interleave(module.heads // v.shape[1], dim=1)
        mixed = weights_of(module, *arguments, **named) @ v
        found.append((module.o_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1)), output))

    handles = [layer.self_attn.register_forward_hook(compare, with_kwargs=True) for layer in reader.model.model.layers]
    with torch.no_grad():
        reader.model.hidden(torch.tensor([reader.ids(TEXT[0])]))
    for handle in handles:
        handle.remove()
    assert len(found) == len(handles)
    for ours, theirs in found:
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_lens_ends_in_what_the_model_says(reader: Reader) -> None:
    ids = torch.tensor([reader.ids(TEXT[0])])
    with torch.no_grad(), watched(reader.model) as (weights, states):
        logits = reader.model(ids)
    assert len(weights) == len(reader.model.model.layers) == len(states) - 1
    with torch.no_grad():
        torch.testing.assert_close(lens(reader.model, states[-1]), logits.log_softmax(-1), atol=1e-5, rtol=1e-5)
    for one in weights:
        torch.testing.assert_close(one.sum(-1), torch.ones_like(one.sum(-1)))
        assert one.shape[-1] == ids.shape[1]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in reader.model.modules())


def test_attributions_are_complete(folder: Path, reader: Reader) -> None:
    encoder = "bert" in reader.name
    for text in ("The cat [MASK] on the mat", "那只猫 [MASK]") if encoder else ("The cat sat on", "那只猫"):
        found = explain(folder, text)
        apart = found.attributions.value - found.attributions.baseline
        assert sum(found.attributions.tokens) == pytest.approx(apart, rel=0.01)
        assert len(found.tokens) == len(found.attributions.tokens) == found.attention.shape[-1] == len(found.layers[0])
        best = found.expected[0]
        assert found.target == best.token and torch.tensor(found.attributions.value).exp().item() == pytest.approx(
            best.probability, rel=1e-4
        )
        assert found.place is not None and found.layers[-1][found.place][0].token == best.token
        assert found.next_token is not encoder
    other = explain(folder, text, target="cat")
    assert other.target == "cat" and other.attributions.value <= found.attributions.value


def test_integrated_gradients_of_known_functions() -> None:
    torch.manual_seed(0)
    x, start, w = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 3)
    linear = integrated_gradients(lambda e: (e * w).sum((1, 2)), x, start)
    torch.testing.assert_close(torch.tensor(linear.tokens), (w * (x - start)).sum(1), atol=1e-5, rtol=1e-5)
    assert linear.steps == 16
    product = integrated_gradients(lambda e: e[:, 0, 0] * e[:, 1, 0], torch.full((2, 1), 2.0), torch.zeros(2, 1))
    assert product.tokens == pytest.approx((2.0, 2.0)) and product.value == 4
    unused = integrated_gradients(lambda e: e[:, 0].sum(-1).tanh(), x, start)
    assert unused.tokens[1:] == (0, 0, 0, 0) and unused.error == pytest.approx(0, abs=0.01)


def test_what_it_can_not_show(folder: Path, reader: Reader) -> None:
    with pytest.raises(ValueError, match="64 at the most"):
        explain(folder, "cat " * 80 + "[MASK]")
    if "bert" in reader.name:
        with pytest.raises(ValueError, match=r"has 0 masks: write \[MASK\] once"):
            explain(folder, "The cat")
        with pytest.raises(Mismatch, match="which does not go on with a text"):
            _ = reader.causal


@pytest.mark.parametrize("family", ["llama", "bert", "modernbert"])
def test_a_label_is_explained(tmp_path: Path, family: str) -> None:
    save = save_encoder if "bert" in family else save_decoder
    base, config = load_model(save(tmp_path, TEXT, family=family))
    assert isinstance(base, DecoderModel | EncoderModel)
    torch.manual_seed(1)
    model, out = HeadedModel(base, "sequence", ["bad", "good", "so so"]), tmp_path / "headed"
    torch.nn.init.normal_(model.score.weight)
    out.mkdir()
    ids = {key: value for key, value in config.items() if key.endswith("_token_id")}
    save_headed(model, out, ids, {})
    shutil.copyfile(tmp_path / "model" / "tokenizer.json", out / "tokenizer.json")
    found = explain(out, "The cat sat on the mat")
    label, probability = classify(out, ["The cat sat on the mat"])[0]
    assert (found.target, found.expected[0].token) == (label, label) and found.expected[0].probability == pytest.approx(
        probability, abs=1e-5
    )
    apart = found.attributions.value - found.attributions.baseline
    assert sum(found.attributions.tokens) == pytest.approx(apart, rel=0.01) and found.place is None and found.layers == ()
    assert found.attributions.tokens[0] == 0 == found.attributions.tokens[-1]
    assert explain(out, "The cat", "so so").target == "so so"
    with pytest.raises(ValueError, match="'fine' is none of its labels: bad, good, so so"):
        explain(out, "The cat", "fine")
