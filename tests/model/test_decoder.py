"""The model: what makes a decoder a decoder: causality, its names, its padding, its first weights."""

from __future__ import annotations

import pytest
import torch

from model.decoder import DecoderModel, Layer
from model.objectives.next_token import NextToken, NextTokenOfDocument
from schemas import recipe

SMALL = recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=48, context=16)


def small(vocab_size: int = 100, **changes: object) -> DecoderModel:
    torch.manual_seed(1)
    return DecoderModel(SMALL.model_copy(update=changes), vocab_size)


SHAPES: dict[str, dict[str, object]] = {
    "llama": {},
    "qk_norm": {"qk_norm": True, "head_width": 6},
    "gpt2": {"family": "gpt2", "kv_heads": 4},
}


@pytest.mark.parametrize("changed", [1, 7, 15])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_later_token_changes_nothing_before_it(changed: int, shape: str) -> None:
    model, ids = small(**SHAPES[shape]), torch.randint(0, 100, (2, 16))
    other = ids.clone()
    other[:, changed] = (other[:, changed] + 1) % 100
    before, after = model(ids), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed:], after[:, changed:])


def test_logits_have_the_real_vocabulary_and_states_the_width() -> None:
    model, ids = small(), torch.zeros(3, 5, dtype=torch.int64)
    assert model(ids).shape == (3, 5, 100)
    assert model.hidden(ids).shape == (3, 5, 32)
    assert model.model.embed_tokens.weight.shape == (128, 32)


@pytest.mark.parametrize("shape", SHAPES)
def test_padded_rows_get_no_gradient(shape: str) -> None:
    model = small(**SHAPES[shape])
    NextToken(model)(torch.randint(0, 100, (2, 17))).backward()
    gradient = model.model.embed_tokens.weight.grad
    assert gradient is not None
    assert gradient[100:].abs().max() == 0
    assert gradient[:100].abs().max() > 0


def test_names_are_those_of_hugging_face() -> None:
    names = set(small(tie_embeddings=False).state_dict())  # of another family, see test_hugging_face.py
    expected = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for i in range(2):
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            expected.add(f"model.layers.{i}.self_attn.{part}.weight")
        for part in ("gate_proj", "up_proj", "down_proj"):
            expected.add(f"model.layers.{i}.mlp.{part}.weight")
        expected |= {f"model.layers.{i}.input_layernorm.weight", f"model.layers.{i}.post_attention_layernorm.weight"}
    assert names == expected


def test_first_weights() -> None:
    torch.manual_seed(0)
    model = DecoderModel(recipe.Decoder(layers=2, width=256, heads=4, kv_heads=4, ffn=688), 4000)
    deviations = {name: float(p.detach().std()) for name, p in model.named_parameters() if p.ndim == 2}
    for name, deviation in deviations.items():
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        rows = 4000 / 4032 if "embed" in name else 1
        assert deviation == pytest.approx((0.01 if residual else 0.02) * rows**0.5, rel=0.03), name
    assert all(torch.equal(p, torch.ones_like(p)) for p in model.parameters() if p.ndim == 1)


def test_first_weights_of_gpt2() -> None:
    model = small(**SHAPES["gpt2"])
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("norm.weight")))), name
    assert float(model.model.embed_positions.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    "wrong", [{"kv_heads": 2}, {"head_width": 8, "kv_heads": 4}, {"qk_norm": True, "kv_heads": 4}, {"rope_theta": 5e5, "kv_heads": 4}]
)
def test_gpt2_refuses_what_it_has_not(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="gpt2 has no such option"):
        recipe.Decoder(width=32, heads=4, family="gpt2", **wrong)


@pytest.mark.parametrize(("size", "million"), [("tiny", 0.43), ("mini", 3.2), ("small", 85), ("medium", 308), ("1b", 973)])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_sizes_have_names(size: str, million: float, family: str) -> None:
    config = recipe.Decoder(size=size, family=family)
    assert config.size is None and recipe.Decoder(**config.as_json()) == config
    with torch.device("meta"):
        layers = [Layer(config) for _ in range(config.layers)]
    if family == "llama":
        assert sum(p.numel() for layer in layers for p in layer.parameters()) / 1e6 == pytest.approx(million, rel=0.02)
    assert recipe.Decoder(size=size, family=family, context=77, layers=3).layers == 3


def test_what_was_made_before_there_were_families_is_made_by_the_same_settings() -> None:
    assert recipe.Pretrain(model=SMALL).as_json()["model"].keys() == {
        "layers", "width", "heads", "kv_heads", "ffn", "context", "rope_theta", "norm_eps", "tie_embeddings",
    }  # fmt: skip
    changed = recipe.Decoder(heads=4, width=32, qk_norm=True)
    assert recipe.Decoder(**changed.as_json()) == changed and changed.as_json()["qk_norm"] is True


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_model_finds_all_tokens_equally_likely(shape: str) -> None:
    loss = NextToken(small(**SHAPES[shape]))(torch.randint(0, 100, (8, 17)))
    assert float(loss.detach()) == pytest.approx(torch.tensor(100.0).log().item(), abs=0.05)


def test_past_the_context_is_an_error() -> None:
    with pytest.raises(ValueError, match="17 positions do not fit the model's context of 16"):
        small()(torch.zeros(1, 17, dtype=torch.int64))


def packed(lengths: list[int], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Documents and positions of a row of documents of these lengths, the rest filling."""
    documents, positions = torch.full((1, size), -1), torch.zeros((1, size), dtype=torch.int64)
    start = 0
    for number, length in enumerate(lengths):
        documents[0, start : start + length], positions[0, start : start + length] = number, torch.arange(length)
        start += length
    return documents, positions


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "as compiled"])
@pytest.mark.parametrize("lengths", [[16], [5, 11], [1, 2, 3, 4], [7, 4]])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_document_in_a_pack_is_read_as_if_it_stood_alone(
    lengths: list[int], compiled: bool, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiled)
    model, ids = small(**SHAPES[shape]).double(), torch.randint(0, 100, (1, 16))
    logits = model(ids, packed=packed(lengths, 16))
    assert torch.isfinite(logits).all(), "filling too"
    start = 0
    for length in lengths:
        alone = model(ids[:, start : start + length])
        torch.testing.assert_close(logits[:, start : start + length], alone)
        start += length


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cached", [False, True])
def test_a_row_behind_padding_is_read_as_if_it_stood_alone(shape: str, cached: bool) -> None:
    model, lengths = small(**SHAPES[shape]).double(), [16, 3, 9]
    ids, padding = torch.randint(0, 100, (3, 16)), torch.tensor([16 - length for length in lengths])
    caches = model.caches(3) if cached else None
    logits = model(ids[:, :14], caches, padding=padding)
    if cached:
        logits = torch.cat((logits, *(model(ids[:, [place]], caches, padding=padding) for place in (14, 15))), 1)
    for row, length in enumerate(lengths):
        kept = logits[row, 16 - length :]
        torch.testing.assert_close(kept, model(ids[row : row + 1, 16 - length :])[0, : len(kept)])
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("masked", [False, True])
def test_the_objective_of_packs_is_the_mean_over_what_documents_predict(masked: bool) -> None:
    model, rows = small().double(), torch.randint(0, 100, (2, 17))
    marks = [packed([5, 9], 17), packed([17], 17)]
    documents, positions = (torch.cat(columns) for columns in zip(*marks, strict=True))
    found = NextTokenOfDocument(model, masked)(rows, documents, positions, torch.tensor(28.0))
    nats = 0.0
    for row, spans in ((0, [(0, 5), (5, 14)]), (1, [(0, 17)])):
        for begin, end in spans:
            ids = rows[row : row + 1, (begin if masked else 0) : end - 1]
            logits = model(ids)[0, -(end - 1 - begin) :]
            nats += float(torch.nn.functional.cross_entropy(logits.float(), rows[row, begin + 1 : end], reduction="sum").detach())
    assert float(found.detach()) == pytest.approx(nats / (4 + 8 + 16), rel=1e-5)
    whole = NextTokenOfDocument(model, masked=False)(rows, torch.zeros_like(rows), torch.arange(17).expand(2, -1), torch.tensor(32.0))
    torch.testing.assert_close(whole, NextToken(model)(rows))
