"""The model: parity of encoder-decoders with T5 of Hugging Face `transformers`: equal logits, losses and tokens, and every bit back; what
ours can't compute is refused by its key."""

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

from model.checkpoint import Mismatch, load_model, save_model
from model.data import Batch
from model.encoder_decoder import EncoderDecoderModel
from model.evaluate.held_out import read_texts
from model.generate import Asked, Drawing, Writer, beam_search, continue_rows
from model.generate.answering import Answering
from model.hf.export import export_model
from model.hf.importing import examine
from model.objectives import objective_of
from model.objectives.written import Written
from model.sentinels import sentinels_of
from schemas import recipe
from schemas.artifact import Artifact
from tests.model.parity import assert_same, in_transformers
from tests.model.test_hugging_face import their_tokenizer

pytestmark = pytest.mark.slow  # importing transformers takes seconds

SHAPES: dict[str, dict[str, Any]] = {
    "untied": {"heads": 4},
    "untied wide": {"heads": 2, "head_width": 24, "norm_eps": 1e-5},
    "tied": {"heads": 4, "tie_embeddings": True},
}
WEIGHTS = ("random", "trained")
BOS, EOS, PAD = 0, 1, 2
SPECIAL = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "decoder_start_token_id": PAD}
LONG = 300
"""More than the farthest distance that has a bucket of its own, and than the context."""


def architecture(shape: str) -> recipe.EncoderDecoder:
    return recipe.EncoderDecoder(**{"family": "t5", "layers": 2, "width": 64, "ffn": 96, "context": 64} | SHAPES[shape])


def random_model(shape: str, vocab_size: int) -> EncoderDecoderModel:
    """Every weight far from its first value, so that none can be left out or mistaken for another."""
    torch.manual_seed(len(shape))
    model = EncoderDecoderModel(architecture(shape), vocab_size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.embed_tokens.weight[vocab_size:] = 0
        model.lm_head.weight[vocab_size:] = 0
    return model.eval()


def trained_model(shape: str, tokens: Artifact, tokenizer: Artifact) -> EncoderDecoderModel:
    torch.manual_seed(0)
    facts = tokenizer.facts("tokenizer")
    model = EncoderDecoderModel(architecture(shape), facts["vocab_size"])
    objective = objective_of(recipe.Pretrain(model=architecture(shape)), facts, sentinels_of(tokenizer))
    text = torch.cat([torch.tensor([BOS, *t.tokens.tolist(), EOS]) for t in read_texts(tokens.paths("tokens"), "train")])
    window, module = objective.window(64), objective.module(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(40):
        places = torch.randint(0, len(text) - window, (8,))
        batch = Batch(torch.stack([text[place : place + window] for place in places]), step * 8 + torch.arange(8))
        module(*objective.inputs(batch).tensors).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, t5_tokens: tuple[Artifact, Artifact]) -> Callable[[str, str], Path]:
    """Makes the folder of a shape's saved model, with random or trained weights."""
    tokens, tokenizer = t5_tokens

    @cache
    def folder(shape: str, weights: str) -> Path:
        size = tokenizer.facts("tokenizer")["vocab_size"]
        model = random_model(shape, size) if weights == "random" else trained_model(shape, tokens, tokenizer)
        path = tmp_path_factory.mktemp("saved")
        save_model(model, path, SPECIAL)
        shutil.copyfile(tokenizer.paths("tokenizer")[0], path / "tokenizer.json")
        return path

    return folder


@pytest.fixture(scope="module", params=[(shape, weights) for shape in SHAPES for weights in WEIGHTS], ids="-".join)
def both(request: pytest.FixtureRequest, made: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a saved model, and of its export."""
    saved, out = made(*request.param), tmp_path_factory.mktemp("exported") / "model"
    export_model(saved, out)
    return saved, out


def theirs(folder: Path) -> Any:
    return in_transformers(folder, "AutoModelForSeq2SeqLM")


@cache
def ours(folder: Path) -> EncoderDecoderModel:
    model, _ = load_model(folder)
    assert isinstance(model, EncoderDecoderModel)
    return model


def drawn(model: EncoderDecoderModel, *shape: int) -> torch.Tensor:
    return torch.randint(3, model.vocab_size, shape)


@torch.no_grad()
def test_logits_and_losses_of_long_inputs_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(1)
    read, written = drawn(model, 2, LONG), drawn(model, 2, LONG)
    found = other(input_ids=read, labels=written)
    started = torch.cat((torch.full((2, 1), PAD), written), 1)
    assert_same(model(read, started[:, :-1]), found.logits)
    assert float(Written(model)(read, started)) == pytest.approx(float(found.loss), abs=1e-5)
    assert float(Written(model, 1e-9, 50)(read, started)[1]) == pytest.approx(float(found.loss), abs=1e-5)


@torch.no_grad()
def test_logits_of_padded_inputs_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(2)
    read, written = drawn(model, 4, 40), drawn(model, 4, 20)
    text = torch.arange(40) < torch.tensor([[40], [1], [17], [39]])
    assert_same(model(read, written, text), other(input_ids=read, attention_mask=text.long(), decoder_input_ids=written).logits)


def test_greedy_tokens_of_uneven_prompts_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(3)
    prompts = [drawn(model, length).tolist() for length in (1, 60, 7)]
    found: list[list[int]] = [[] for _ in prompts]

    def hear(row: int, token: int) -> bool:
        found[row].append(token)
        return token != EOS

    continue_rows(Answering(model, prompts), [[PAD]] * 3, 64, Drawing(temperature=0), [0] * 3, hear)
    ids = torch.tensor([prompt + [PAD] * (60 - len(prompt)) for prompt in prompts])
    told = other.generate(input_ids=ids, attention_mask=(ids != PAD).long(), do_sample=False, max_new_tokens=64)
    for row in range(3):
        expected = told[row, 1:].tolist()
        assert found[row] == (expected[: expected.index(EOS) + 1] if EOS in expected else expected)
        assert all(token == PAD for token in expected[len(found[row]) :])


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_beams_are_equal(both: tuple[Path, Path], penalty: float) -> None:
    model, other = ours(both[0]), theirs(both[1])
    prompt = [70, 71, EOS]
    with torch.no_grad():
        likeliest = int(model(torch.tensor([prompt]), torch.tensor([[PAD]]))[0, -1].topk(3).indices[2])  # as an eos, it ends some early
    told = other.generate(
        input_ids=torch.tensor([prompt]), num_beams=4, num_return_sequences=4, max_new_tokens=20, do_sample=False, eos_token_id=likeliest,
        repetition_penalty=penalty,
    )  # fmt: skip
    expected = [row[: row.index(likeliest) + 1] if likeliest in row else [t for t in row if t != PAD] for row in told[:, 1:].tolist()]
    found = beam_search(Answering(model, [prompt]), [PAD], 20, 4, {likeliest}, penalty)
    assert [[t for t in text if t != PAD] for text in found] == [[t for t in text if t != PAD] for text in expected]


def test_a_round_trip_loses_no_bit(both: tuple[Path, Path], tmp_path: Path) -> None:
    saved, exported = both
    assert load_file(exported / "model.safetensors").keys() == load_file(saved / "model.safetensors").keys()
    theirs(exported).save_pretrained(tmp_path / "theirs")
    for folder in (exported, tmp_path / "theirs"):
        back, _ = load_model(folder)
        state, expected = back.state_dict(), ours(saved).state_dict()
        assert back.config == ours(saved).config and state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    (tmp_path / "again").mkdir()
    save_model(load_model(exported)[0], tmp_path / "again", SPECIAL)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("shape", ["untied", "tied"])
def test_their_generate_writes_what_the_writer_writes(made: Callable[..., Path], shape: str, tmp_path: Path) -> None:
    saved = made(shape, "trained")
    export_model(saved, tmp_path / "out")
    prompts = ["def main(<extra_id_0>", "The <extra_id_0> of <extra_id_1>.", "好的 café", ""]
    writer, tokenizer, other = Writer(saved), their_tokenizer(tmp_path / "out"), theirs(tmp_path / "out")
    assert [tokenizer(prompt)["input_ids"] for prompt in prompts] == [writer.ids(prompt) for prompt in prompts]
    assert writer.ids("")[-1] == EOS and (tokenizer.eos_token_id, tokenizer.pad_token_id) == (EOS, PAD)
    asked = Asked(max_tokens=24, drawing=Drawing(temperature=0))
    written = writer.write(prompts, asked)
    told = other.generate(**tokenizer(prompts, return_tensors="pt", padding=True), max_new_tokens=24, do_sample=False)
    for text, row in zip(written, told.tolist(), strict=True):
        shown = [token for token in row if token not in (EOS, PAD)]
        assert text.text == tokenizer.decode(shown, skip_special_tokens=False)
    assert Writer(tmp_path / "out").write(prompts, asked) == written, "an exported folder writes as the model that it is of"


@pytest.mark.parametrize(
    ("shape", "change", "told"),
    [
        ("untied", {"feed_forward_proj": "relu"}, "feed_forward_proj is 'relu': only 'gated-gelu'"),
        ("untied", {"feed_forward_proj": None}, "feed_forward_proj is 'relu'"),
        ("untied", {"num_decoder_layers": 3}, "num_decoder_layers is 3: a decoder of as many layers"),
        ("untied", {"relative_attention_num_buckets": 16}, "relative_attention_num_buckets is 16: only 32"),
        ("untied", {"relative_attention_max_distance": 64}, "relative_attention_max_distance is 64: only 128"),
        ("untied", {"d_kv": None}, "d_kv is missing"),
        ("untied", {"d_kv": 8}, r"SelfAttention.\S+ has shape \[64, 64\], config.json wants \[32, 64\]"),
        ("untied", {"scale_decoder_outputs": True}, "lm_head.weight differs from shared.weight"),
        ("tied", {"scale_decoder_outputs": False}, "lm_head.weight is missing"),
        ("tied", {"scale_decoder_outputs": None, "tie_word_embeddings": False}, "lm_head.weight is missing"),
    ],
)
def test_what_cannot_be_represented_is_refused(
    made: Callable[..., Path], tmp_path: Path, shape: str, change: dict[str, Any], told: str
) -> None:
    shutil.copytree(made(shape, "random"), tmp_path / "in")
    config = tmp_path / "in" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(Mismatch, match=told):
        examine(tmp_path / "in")
        load_model(tmp_path / "in")


def test_checkpoints_as_others_wrote_them_are_read(made: Callable[..., Path], tmp_path: Path) -> None:
    """T5 v1.1's own: the embedding is there three times, a bias that nothing reads, and the keys of version 4."""
    folder = shutil.copytree(made("untied", "random"), tmp_path / "t5")
    config = json.loads((folder / "config.json").read_text())
    for key in ("scale_decoder_outputs", "num_decoder_layers", "relative_attention_max_distance"):
        del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    copies = {f"{side}.embed_tokens.weight": tensors["shared.weight"].clone() for side in ("encoder", "decoder")}
    unread = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(32, 4)}
    save_file({**tensors, **copies, **unread}, folder / "model.safetensors")
    examine(folder)
    state, expected = load_model(folder)[0].state_dict(), ours(made("untied", "random")).state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
