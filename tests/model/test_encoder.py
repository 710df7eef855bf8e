"""The model: an encoder: every token sees all of its document, or its window, and no padding; weights begin as published."""

from __future__ import annotations

import pytest
import torch

from model.encoder import EncoderModel
from schemas import recipe

SMALL = {"layers": 2, "width": 32, "heads": 4, "ffn": 48, "context": 24}


def made(family: str, **changes: object) -> EncoderModel:
    torch.manual_seed(0)
    return EncoderModel(recipe.Encoder.model_validate({"family": family, **SMALL, **changes}), 100).eval()


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_each_token_sees_those_before_and_after_it(family: str) -> None:
    model, ids = made(family), torch.arange(20)[None]
    for place in (0, 9, 19):
        changed = ids.clone()
        changed[0, place] = 77
        moved = (model.hidden(changed) - model.hidden(ids)).abs().sum(-1)[0]
        assert (moved > 1e-4).all()


@torch.no_grad()
def test_local_layers_see_their_window() -> None:
    """With the second layer the only one that mixes, a token moves those at most half a window away."""
    model, ids = made("modernbert", local_window=6), torch.arange(20)[None]
    model.model.layers[0].self_attn.o_proj.weight.zero_()  # type: ignore[union-attr]
    changed = ids.clone()
    changed[0, 10] = 77
    moved = torch.nonzero((model.hidden(changed) - model.hidden(ids)).abs().sum(-1)[0] > 1e-6)[:, 0].tolist()
    assert moved == list(range(7, 14))


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_vocabulary_is_padded_and_shows_its_size(family: str) -> None:
    model = made(family)
    assert model.model.embed_tokens.weight.shape[0] == 128 and model(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 100)
    assert (model.model.embed_tokens.weight[100:] == 0).all()
    with pytest.raises(ValueError, match="25 positions do not fit the model's context of 24"):
        model(torch.zeros(1, 25, dtype=torch.int64))


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_weights_begin_as_published(family: str) -> None:
    torch.manual_seed(0)
    config = recipe.Encoder.model_validate({"family": family, "layers": 2, "width": 256, "heads": 4, "ffn": 512, "task": "masked_tokens"})
    model = EncoderModel(config, 2000)
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and weight.numel() > 1000:
            small = family == "modernbert" and name.endswith(("o_proj.weight", "down_proj.weight", "head.dense.weight"))
            std = 0.02 / 2 if small else 0.02
            used = weight[:2000] if "embed_tokens" in name else weight
            assert float(used.std()) == pytest.approx(0.88 * std, rel=0.1), "a normal that is cut off at two deviations has 0.88 of them"
            assert float(used.abs().max()) <= 2 * std + 1e-6 and abs(float(used.mean())) < std / 10
        elif name.endswith("bias"):
            assert (weight == 0).all()


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("size", ["tiny", "mini", "small", "medium", "1b"])
def test_a_size_stands_for_numbers(family: str, size: str) -> None:
    config = recipe.Encoder.model_validate({"family": family, "size": size})
    assert config.size is None and recipe.Encoder.model_validate(config.as_json()) == config
    assert recipe.Encoder.model_validate({"family": family, "size": size, "layers": 3}).layers == 3
    assert config.norm_eps == (1e-12 if family == "bert" else 1e-5)
    with torch.device("meta"):
        count = sum(p.numel() for p in EncoderModel(config, 64).model.layers.parameters())
    wanted = {
        "small": {"bert": 85e6, "modernbert": 110e6},
        "medium": {"bert": 302e6, "modernbert": 343e6},
        "1b": {"bert": 925e6, "modernbert": 925e6},
    }
    if size in wanted:
        assert count == pytest.approx(wanted[size][family], rel=0.08)
