"""The model: an encoder-decoder on its own: positions, who sees what, the cache, and how weights begin."""

from __future__ import annotations

import math

import pytest
import torch

from model.encoder_decoder import EncoderDecoderModel
from model.generate import Drawing, continue_rows
from model.generate.answering import Answering
from model.relative import BUCKETS, FARTHEST, RelativeAttention, RelativeBias, buckets_by_distance
from schemas import recipe


@pytest.fixture(scope="module")
def model() -> EncoderDecoderModel:
    torch.manual_seed(3)
    made = EncoderDecoderModel(recipe.EncoderDecoder(family="t5", layers=2, width=32, heads=4, ffn=48, context=24), 50)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made.eval()


def test_near_distances_have_buckets_of_their_own_and_far_ones_share() -> None:
    for buckets in (BUCKETS, BUCKETS // 2):
        found = buckets_by_distance(buckets).tolist()
        assert found[: buckets // 2] == list(range(buckets // 2)) and found == sorted(found)
        assert found[-1] == buckets - 1 and set(found) == set(range(buckets)) and len(found) == FARTHEST + 1


def test_a_bias_depends_on_the_distance_and_its_direction() -> None:
    both, back = RelativeBias(3, both_ways=True), RelativeBias(3, both_ways=False)
    whole = both(0, 9)[0]
    assert torch.equal(whole[:, 2:, 2:], whole[:, :-2, :-2]) and not torch.equal(whole, whole.transpose(1, 2))
    assert torch.equal(back(0, 9)[0][:, 4:7, :7], back(4, 3)[0]), "behind a cache it goes on"
    assert torch.equal(back(0, 9)[0].isinf(), torch.ones(9, 9).triu(1).bool().expand(3, 9, 9))


def test_attention_is_the_plain_formula() -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(12, 3, 5).double()
    x, memory, bias = torch.randn(2, 4, 12).double(), torch.randn(2, 6, 12).double(), torch.randn(1, 3, 4, 6).double()
    heads = []
    for head in range(3):
        q, k, v = (
            states @ linear.weight[head * 5 : head * 5 + 5].T
            for states, linear in ((x, attention.q_proj), (memory, attention.k_proj), (memory, attention.v_proj))
        )
        heads.append(torch.softmax(q @ k.transpose(1, 2) + bias[:, head], -1) @ v)
    expected = torch.cat(heads, -1) @ attention.o_proj.weight.T
    torch.testing.assert_close(attention(x, bias, attention.keys_values(memory)), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_nothing_flows_from_padding_nor_from_what_is_not_written_yet(model: EncoderDecoderModel) -> None:
    read, written = torch.randint(0, 50, (2, 12)), torch.randint(0, 50, (2, 9))
    text = torch.arange(12) < torch.tensor([[12], [5]])
    found = model(read, written, text)
    for change in (1, 7, 20):
        padded, later = read.clone(), written.clone()
        padded[~text] = (padded[~text] + change) % 50
        later[:, 5:] = (later[:, 5:] + change) % 50
        assert torch.equal(model(padded, written, text), found)
        assert torch.equal(model(read, later, text)[:, :5], found[:, :5])
        assert not torch.equal(model(read, later, text)[:, 5:], found[:, 5:])
    torch.testing.assert_close(model(read[1:, :5], written[1:]), found[1:], rtol=1e-4, atol=1e-4)
    read[0, -1] += 1
    assert not torch.equal(model(read % 50, written, text)[0, 0], found[0, 0]), "what is read is seen whole"


@torch.no_grad()
@pytest.mark.parametrize("first", [1, 5])
def test_cached_logits_are_those_of_the_full_pass(model: EncoderDecoderModel, first: int) -> None:
    read, written = torch.randint(0, 50, (3, 40)), torch.randint(0, 50, (3, 30))
    text = torch.arange(40) < torch.tensor([[40], [1], [17]])
    seen = model.read(read, text)
    caches = model.caches(seen, 30)
    steps = [model.hidden(written[:, :first], seen, caches)]
    steps += [model.hidden(written[:, place : place + 1], seen, caches) for place in range(first, 30)]
    torch.testing.assert_close(model.logits(torch.cat(steps, 1)), model(read, written, text), rtol=1e-4, atol=1e-4)


def test_rows_are_answered_as_if_each_were_alone(model: EncoderDecoderModel) -> None:
    prompts, drawing = [[5, 6, 7, 1], [8, 1], [9] * 30 + [1]], Drawing(0.9, top_k=20)

    def answers(which: list[int], eos: int) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in which]

        def hear(row: int, token: int) -> bool:
            found[row].append(token)
            return token != eos

        continue_rows(Answering(model, [prompts[row] for row in which]), [[2] for _ in which], 40, drawing, which, hear)
        return found

    eos = answers([1], -1)[0][6]
    together = answers([0, 1, 2], eos)
    assert [answers([row], eos)[0] for row in range(3)] == together
    assert len(together[1]) <= 7 and max(map(len, together)) > len(together[1])
    with pytest.raises(ValueError, match="the prompt is empty"):
        Answering(model, [[1], []])


@pytest.mark.parametrize("tied", [False, True])
def test_weights_begin_as_t5_was_published(tied: bool) -> None:
    torch.manual_seed(0)
    config = recipe.EncoderDecoder(family="t5", layers=2, width=256, heads=4, head_width=32, ffn=512, tie_embeddings=tied)
    model = EncoderDecoderModel(config, 1000)
    layer = model.decoder.layers[1]
    expected = {
        model.embed_tokens.weight[:1000]: 1.0,
        layer.self_attn.q_proj.weight: (256 * 32) ** -0.5,
        layer.cross_attn.k_proj.weight: 256**-0.5,
        layer.cross_attn.o_proj.weight: 128**-0.5,
        layer.mlp.gate_proj.weight: 256**-0.5,
        layer.mlp.down_proj.weight: 512**-0.5,
        model.encoder.bias.weight_of.weight: 256**-0.5,
        model.lm_head.weight[:1000]: 1.0 if tied else 256**-0.5,
    }
    for weight, deviation in expected.items():
        assert float(weight.detach().std()) == pytest.approx(deviation, rel=0.15)
    assert not model.lm_head.weight[1000:].any() and not model.embed_tokens.weight[1000:].any()
    assert (model.lm_head.weight is model.embed_tokens.weight) == tied
    logits = model(torch.randint(0, 1000, (4, 20)), torch.randint(0, 1000, (4, 20)))
    assert logits.shape == (4, 20, 1000) and float(logits.detach().std()) == pytest.approx(1, rel=0.3)


def test_sizes_are_those_of_t5() -> None:
    """T5 v1.1's base, embeddings aside, has 198 million parameters: counted from its published shape."""
    config = recipe.EncoderDecoder.model_validate({"family": "t5", "size": "medium"})
    assert config.size is None and config.head_size == 64
    with torch.device("meta"):
        model = EncoderDecoderModel(config, 32_128)
    attention, feed_forward = 4 * 768 * 768, 3 * 768 * 2048
    inside = 12 * (3 * attention + 2 * feed_forward) + (12 * 5 + 2) * 768 + 2 * 32 * 12
    assert sum(parameter.numel() for parameter in model.parameters()) == inside + 2 * 32_128 * 768
    assert math.isclose(inside, 198e6, rel_tol=0.01)
