"""The model: generation: the cache against the full pass, each way of drawing, and where it ends."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import save_model
from model.decoder import DecoderModel
from model.generate import Asked, Drawing, Writer, beam_search, continue_rows, generate, keep_likely
from model.generate.drawing import penalise
from schemas import recipe
from schemas.artifact import Artifact


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


@settings(max_examples=100)
@given(
    temperature=st.sampled_from([0.0, 1e-300, 1e-40, 1e-38, 1e-7, 1e-6, 0.7, 2.0]),
    top_k=st.sampled_from([None, 1, 5]),
    top_p=st.sampled_from([None, 1e-300, 1e-46, 1e-38, 0.9, 1.0]),
    min_p=st.sampled_from([None, 1e-300, 0.1, 1.0]),
    penalty=st.sampled_from([0.01, 1.0, 1.3, 10.0]),
    spread=st.sampled_from([0.0, 1.0, 1000.0]),
)
def test_whatever_is_asked_for_a_token_is_drawn(
    temperature: float, top_k: int | None, top_p: float | None, min_p: float | None, penalty: float, spread: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(40, generator=generator) * spread
    drawn = Drawing(temperature, top_k, top_p, min_p, penalty).draw(logits, list(range(20)), generator)
    assert 0 <= drawn < 40


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
    with pytest.raises(ValueError, match="repetition_penalty"):
        Drawing(repetition_penalty=1e-39)


def test_an_empty_prompt_is_an_error(model: DecoderModel) -> None:
    with pytest.raises(ValueError, match="bos"):
        generate(model, [], 1)


def continued(
    model: DecoderModel, prompts: list[list[int]], max_new: int, drawing: Drawing, seed: int = 0, eos: int = -1
) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]

    def hear(row: int, token: int) -> bool:
        if token != eos:
            found[row].append(token)
        return token != eos

    continue_rows(model, prompts, max_new, drawing, [seed + row for row in range(len(prompts))], hear)
    return found


@pytest.mark.parametrize("drawing", [Drawing(0), Drawing(0.9, top_k=20), Drawing(1.0, min_p=0.05, repetition_penalty=1.2)])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_rows_do_not_depend_on_each_other(model: DecoderModel, family: str, drawing: Drawing) -> None:
    """Uneven prompts, rows that end early, and texts that slide over the context, one before the other."""
    if family == "gpt2":
        torch.manual_seed(5)
        model = DecoderModel(recipe.Decoder(family="gpt2", layers=2, width=32, heads=4, kv_heads=4, ffn=48, context=24), 50)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3)
    model = copy.deepcopy(model).double()
    prompts = [[1], [2, 3, 4, 5, 6, 7, 8], list(range(40)), [9, 10]]
    eos = generate(model, prompts[1], 12, drawing.temperature, drawing.top_k, seed=1)[6]
    together = continued(model, prompts, 45, drawing, eos=eos)
    for row, prompt in enumerate(prompts):
        assert continued(model, [prompt], 45, drawing, row, eos) == [together[row]], row
    assert len({len(text) for text in together}) > 1


def test_min_p_and_the_penalty_do_what_they_should() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    assert keep_likely(logits, None, None, 0.6).isfinite().tolist() == [False, True, False, True]
    assert keep_likely(logits, None, None, 1.0).isfinite().tolist() == [False, True, False, False]
    assert penalise(torch.tensor([2.0, -2.0, 2.0, -2.0]), [0, 1, 1], 2.0).tolist() == [1.0, -4.0, 2.0, -2.0]


@torch.no_grad()
def test_beams_find_the_likeliest_text_if_there_are_enough(model: DecoderModel) -> None:
    """With as many beams as there are beginnings, the search is exhaustive."""
    scores: dict[tuple[int, int], float] = {}
    first = model(torch.tensor([[4]]))[0, -1].log_softmax(-1)
    for token in range(50):
        second = model(torch.tensor([[4, token]]))[0, -1].log_softmax(-1)
        scores |= {(token, last): float(first[token] + second[last]) for last in range(50)}
    best = sorted(scores, key=lambda text: -scores[text])[:3]
    assert [tuple(text) for text in beam_search(model, [4], 2, 50)[:3]] == best
    assert beam_search(model, [4], 9, 1) == [generate(model, [4], 9, temperature=0)]
    with pytest.raises(ValueError, match="5 tokens of the prompt and 21 new ones don't fit the model's context of 24"):
        beam_search(model, [4] * 5, 21, 2)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Writer:
    folder = tmp_path_factory.mktemp("writer")
    torch.manual_seed(3)
    made = DecoderModel(recipe.Decoder(layers=1, width=32, heads=2, kv_heads=1, ffn=48, context=64), 600)
    save_model(made, folder, {"bos_token_id": 0, "eos_token_id": 1})
    shutil.copyfile(tokenizer_artifact.paths("tokenizer")[0], folder / "tokenizer.json")
    return Writer(folder)


def test_samples_have_seeds_of_their_own(writer: Writer) -> None:
    texts = writer.write(["the ", "好"], Asked(12, samples=3, seed=7))
    assert [text.prompt for text in texts] == ["the "] * 3 + ["好"] * 3
    assert len({text.text for text in texts}) == 6
    assert texts == writer.write(["the ", "好"], Asked(12, samples=3, seed=7))
    assert texts[1] == writer.write(["the "], Asked(12, seed=8))[0]
    assert texts[4] == writer.write(["好"], Asked(12, seed=11))[0]
    found = writer.write(["the "], Asked(12, beams=4, samples=2))
    assert len({text.text for text in found}) == 2 and found == writer.write(["the "], Asked(12, beams=4, samples=2, seed=3))


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_the_text_and_none_is_taken_back(writer: Writer, seed: int) -> None:
    """An untrained model writes bytes that are no characters, whole characters in halves, and the beginnings of stops."""
    plain = writer.write(["é"], Asked(40, seed=seed))[0]
    stops = (plain.text[9:11], "\N{SNOWMAN}", plain.text[20:24])
    for asked in (Asked(40, seed=seed), Asked(40, seed=seed, stop=stops)):
        pieces: list[str] = []
        (written,) = writer.write(["é"], asked, lambda row, piece: pieces.append(piece))  # noqa: B023
        assert "".join(pieces) == written.text == writer.write(["é"], asked)[0].text
        assert len(pieces) > 2 or asked.stop
    assert written.ended == "stop" and plain.text.startswith(written.text) and len(written.text) <= 9
    assert not any(stop in written.text for stop in stops)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"max_tokens": 0}, "1 or more"),
        ({"stop": ("",)}, "a stop string not empty"),
        ({"beams": 2, "samples": 3}, "ask for as many beams"),
        ({"drawing": {"min_p": 2.0}}, "min_p 2.0"),
        ({"drawing": {"repetition_penalty": 0.0}}, "repetition_penalty 0.0"),
    ],
)
def test_what_is_asked_for_is_checked(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Asked(**{**asked, "drawing": Drawing(**asked.get("drawing", {}))})
