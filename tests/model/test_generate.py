"""The model: generation: the cache against the full pass, each way of drawing, and where it ends."""

from __future__ import annotations

import pytest
import torch

from model.decoder import DecoderModel
from model.generate import generate, keep_likely
from schemas import recipe


@pytest.fixture(scope="module")
def model() -> DecoderModel:
    torch.manual_seed(3)
    made = DecoderModel(recipe.Decoder(layers=2, width=32, heads=4, kv_heads=2, ffn=48, context=24), 50)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("prompt", [1, 5, 23])
def test_cached_logits_are_those_of_the_full_pass(model: DecoderModel, prompt: int) -> None:
    ids = torch.randint(0, 50, (2, 24))
    caches = model.caches(2)
    steps = [model(ids[:, :prompt], caches)] + [model(ids[:, i : i + 1], caches) for i in range(prompt, 24)]
    torch.testing.assert_close(torch.cat(steps, 1), model(ids), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_greedy_follows_the_likeliest_token(model: DecoderModel) -> None:
    text = [1, 2]
    for _ in range(10):
        text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    assert generate(model, [1, 2], 10, temperature=0) == text[2:]
    assert generate(model, [1, 2], 10, temperature=1, top_k=1) == text[2:]


def test_a_seed_repeats_its_text_and_another_does_not(model: DecoderModel) -> None:
    assert generate(model, [1], 40, seed=5) == generate(model, [1], 40, seed=5)
    assert generate(model, [1], 40, seed=5) != generate(model, [1], 40, seed=6)


def test_it_stops_before_eos_and_runs_past_the_context(model: DecoderModel) -> None:
    free = generate(model, [1], 60, seed=1)
    assert len(free) == 60
    eos = free[7]
    assert generate(model, [1], 60, seed=1, eos=eos) == free[: free.index(eos)]


def test_a_prompt_longer_than_the_context_loses_its_start(model: DecoderModel) -> None:
    prompt = [i % 50 for i in range(90)]
    assert generate(model, prompt, 1, temperature=0) == generate(model, prompt[-24:], 1, temperature=0)


def test_top_k_and_nucleus_keep_what_they_should() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    assert keep_likely(logits, 2, None).isfinite().tolist() == [False, True, False, True]
    assert keep_likely(logits, None, 0.6).isfinite().tolist() == [False, True, False, True]
    assert keep_likely(logits, None, 0.71).isfinite().tolist() == [False, True, True, True]
    assert keep_likely(logits, None, 1e-6).isfinite().tolist() == [False, True, False, False]
    assert keep_likely(logits, 3, 0.5).isfinite().tolist() == [False, True, False, True]


def test_drawing_follows_the_distribution(model: DecoderModel) -> None:
    with torch.no_grad():
        expected = model(torch.tensor([[4]]))[0, -1].softmax(-1)
    drawn = torch.tensor([generate(model, [4], 1, seed=s)[0] for s in range(300)])
    share = torch.bincount(drawn, minlength=50) / 300
    assert float((share - expected).abs().max()) < 0.1


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_settings_out_of_range_are_errors(model: DecoderModel, bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature"):
        generate(model, [1], 1, **bad)


def test_an_empty_prompt_is_an_error(model: DecoderModel) -> None:
    with pytest.raises(ValueError, match="bos"):
        generate(model, [], 1)
