"""The model: parity with Hugging Face `transformers`: a model of ours and the same model there give the same logits, losses and
tokens, and come back bit by bit. Random and trained weights of every shape; and what our decoders can't compute is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model.checkpoint import Mismatch, load_model, save_model
from model.decoder import DecoderModel
from model.evaluate.held_out import read_texts
from model.generate import Asked, Drawing, Writer, beam_search, continue_rows
from model.hf import TensorOf
from model.hf.export import export_model
from model.hf.importing import examine
from model.objectives.next_token import NextToken
from schemas import recipe
from schemas.artifact import Artifact
from schemas.errors import RequestError
from tests.model.parity import assert_same, in_transformers

pytestmark = pytest.mark.slow  # importing transformers takes seconds

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"kv_heads": 2},
    "llama untied": {"kv_heads": 1, "head_width": 24, "tie_embeddings": False, "rope_theta": 500_000.0, "norm_eps": 1e-6},
    "qwen3": {"kv_heads": 2, "qk_norm": True},
    "qwen3 untied": {"qk_norm": True, "head_width": 24, "tie_embeddings": False},
    "gpt2": {"family": "gpt2", "ffn": 100},
    "gpt2 untied": {"family": "gpt2", "tie_embeddings": False},
}
CONTEXT, VOCABULARY = 192, 600
BOS, EOS, PAD = 0, 1, 2


def architecture(shape: str) -> recipe.Decoder:
    return recipe.Decoder(**{"layers": 2, "width": 64, "heads": 4, "kv_heads": 4, "ffn": 96, "context": CONTEXT} | SHAPES[shape])


def random_model(shape: str) -> DecoderModel:
    """Every weight far from its first value, so that none can be left out or mistaken for another."""
    torch.manual_seed(len(shape))
    model = DecoderModel(architecture(shape), VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        model.model.embed_tokens.weight[VOCABULARY:] = 0
        model.lm_head.weight[VOCABULARY:] = 0
    return model.eval()


def trained_model(shape: str, tokens: Artifact) -> DecoderModel:
    torch.manual_seed(0)
    model = DecoderModel(architecture(shape), VOCABULARY)
    text = torch.cat([torch.tensor([BOS, *t.tokens.tolist(), EOS]) for t in read_texts(tokens.paths("tokens"), "train")])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        places = torch.randint(0, len(text) - 65, (8,))
        NextToken(model)(torch.stack([text[place : place + 65] for place in places])).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokens_artifact: Artifact, tokenizer_artifact: Artifact) -> Callable[[str, str], Path]:
    """Makes the folder of a shape's saved model, with random or trained weights."""

    @cache
    def folder(shape: str, weights: str) -> Path:
        model = random_model(shape) if weights == "random" else trained_model(shape, tokens_artifact)
        path = tmp_path_factory.mktemp("saved")
        save_model(model, path, {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD})
        shutil.copyfile(tokenizer_artifact.paths("tokenizer")[0], path / "tokenizer.json")
        return path

    return folder


@pytest.fixture(scope="module", params=[(shape, weights) for shape in SHAPES for weights in ("random", "trained")], ids="-".join)
def both(request: pytest.FixtureRequest, made: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a saved model, and of its export."""
    saved, out = made(*request.param), tmp_path_factory.mktemp("exported") / "model"
    export_model(saved, out)
    return saved, out


def theirs(folder: Path) -> Any:
    return in_transformers(folder, "AutoModelForCausalLM")


@cache
def their_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


@cache
def ours(folder: Path) -> DecoderModel:
    return load_model(folder)[0]


@torch.no_grad()
def test_logits_and_losses_of_long_inputs_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(1)
    ids = torch.randint(0, VOCABULARY, (2, CONTEXT))
    found = other(ids, labels=ids)
    assert_same(model(ids), found.logits)
    assert float(NextToken(model)(ids)) == pytest.approx(float(found.loss), abs=1e-5)


@torch.no_grad()
def test_logits_of_padded_inputs_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(2)
    lengths = torch.tensor([40, 1, 17, 39])
    padding, ids = 40 - lengths, torch.randint(0, VOCABULARY, (4, 40))
    mask = torch.arange(40) >= padding[:, None]
    positions = (torch.arange(40) - padding[:, None]).clamp(min=0)
    expected = other(ids.masked_fill(~mask, PAD), attention_mask=mask.long(), position_ids=positions).logits
    assert_same(model(ids, padding=padding)[mask], expected[mask])


def test_greedy_tokens_of_uneven_prompts_are_equal(both: tuple[Path, Path]) -> None:
    model, other = ours(both[0]), theirs(both[1])
    torch.manual_seed(3)
    prompts = [torch.randint(3, VOCABULARY, (length,)).tolist() for length in (1, 60, 7)]
    found: list[list[int]] = [[] for _ in prompts]

    def hear(row: int, token: int) -> bool:
        found[row].append(token)
        return token != EOS

    continue_rows(model, prompts, 64, Drawing(temperature=0), [0] * 3, hear)
    ids = torch.tensor([[PAD] * (60 - len(prompt)) + prompt for prompt in prompts])
    told = other.generate(
        ids, attention_mask=(ids != PAD).long(), do_sample=False, max_new_tokens=64, eos_token_id=EOS, pad_token_id=PAD
    )  # fmt: skip
    for row in range(3):
        expected = told[row, 60:].tolist()
        assert found[row] == (expected[: expected.index(EOS) + 1] if EOS in expected else expected)
        assert all(token == PAD for token in expected[len(found[row]) :])


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_beams_are_equal(both: tuple[Path, Path], penalty: float) -> None:
    model, other = ours(both[0]), theirs(both[1])
    prompt = [BOS, 70, 71]
    likeliest = int(model(torch.tensor([prompt]))[0, -1].topk(3).indices[2])  # as an eos, it ends some beams early
    told = other.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, 3, dtype=torch.int64), num_beams=4, num_return_sequences=4, max_new_tokens=20,
        do_sample=False, eos_token_id=likeliest, pad_token_id=PAD, repetition_penalty=penalty,
    )  # fmt: skip
    expected = [row[: row.index(likeliest) + 1] if likeliest in row else [t for t in row if t != PAD] for row in told[:, 3:].tolist()]
    found = beam_search(model, prompt, 20, 4, {likeliest}, penalty)
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
    save_model(load_model(exported)[0], tmp_path / "again", {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD})
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gpt2"])
def test_a_pipeline_writes_what_the_writer_writes(made: Callable[..., Path], shape: str, tmp_path: Path) -> None:
    from transformers import pipeline

    saved = made(shape, "trained")
    export_model(saved, tmp_path / "out")
    prompts = ["def main(", "The ", "好的 café", "<|eos|>"]
    writer, tokenizer = Writer(saved), their_tokenizer(tmp_path / "out")
    assert [tokenizer(prompt)["input_ids"] for prompt in prompts] == [writer.ids(prompt) for prompt in prompts]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (BOS, EOS, PAD)
    asked = Asked(max_tokens=24, drawing=Drawing(temperature=0))
    written = writer.write(prompts[:3], asked)
    pipe = pipeline("text-generation", str(tmp_path / "out"))
    told = pipe(prompts[:3], max_new_tokens=24, do_sample=False, return_full_text=False)
    assert [text.text for text in written] == [one[0]["generated_text"] for one in told]
    assert Writer(tmp_path / "out").write(prompts[:3], asked) == written, "an exported folder writes as the model that it is of"


def test_shards_are_the_same_model(made: Callable[..., Path], tmp_path: Path) -> None:
    saved = made("qwen3 untied", "random")
    files = export_model(saved, tmp_path / "out", shard_bytes=100_000)
    shards = [name for name in files if name.startswith("model-")]
    assert len(shards) > 2 and "model.safetensors.index.json" in files
    state = ours(saved).state_dict()
    back, other = load_model(tmp_path / "out")[0].state_dict(), theirs(tmp_path / "out")
    assert all(torch.equal(back[name], state[name]) for name in state)
    ids = torch.arange(30)[None]
    assert_same(ours(saved)(ids).detach(), other(ids).logits.detach())


def test_an_export_is_whole_or_not_there(made: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(RequestError, match="out: is there already"):
        export_model(made("llama", "random"), tmp_path / "out")
    with pytest.raises(RequestError, match=r"model\.safetensors: can't be read: it is missing"):
        export_model(tmp_path, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.booleans())
def test_a_tensor_and_its_parameters_are_each_other_undone(parts: int, rows: int, columns: int, transposed: bool, flat: bool) -> None:
    shape = (rows,) if flat else (rows, columns)
    parameters = [torch.randn(shape) for _ in range(parts)]
    tensor = TensorOf("one", tuple(str(n) for n in range(parts)), transposed and not flat)
    exported = tensor.export(parameters)
    restored = tensor.restore(exported)
    assert len(restored) == parts and all(torch.equal(a, b) for a, b in zip(restored, parameters, strict=True))
    assert torch.equal(tensor.export(restored), exported)


@pytest.mark.parametrize(
    ("shape", "change", "told"),
    [
        ("llama", {"model_type": "mistral"}, "model_type is 'mistral': only llama, qwen3, gpt2"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}}, "rope_type is 'llama3'"),
        ("llama", {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type is 'linear'"),
        ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ("llama", {"attention_bias": True}, "attention_bias is True"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu': only 'silu'"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ("llama", {"hidden_size": None}, "hidden_size is missing"),
        ("llama", {"num_key_value_heads": 3}, "heads of kv_heads"),
        ("llama", {"num_hidden_layers": 3}, r"tensors differ from config.json's: model.layers.2.\S+ is missing"),
        ("llama", {"num_hidden_layers": 1}, r"tensors differ from config.json's: model.layers.1.\S+ is left over"),
        ("llama", {"tie_word_embeddings": False}, "lm_head.weight is missing"),
        ("llama", {"vocab_size": 599}, "tokenizer.json: has 600 tokens, config.json a vocab_size of 599"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 64}, "use_sliding_window is True"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types holds 'sliding_attention'"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
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


def test_pickles_and_files_elsewhere_are_not_opened(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = shutil.copytree(made("llama", "random"), tmp_path / "in")
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(Mismatch, match=r"pytorch_model\.bin is a pickle and is not opened"):
        examine(folder)
    index = folder / "model.safetensors.index.json"
    for name in ("../outside.safetensors", "gone.safetensors"):
        index.write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
        with pytest.raises(Mismatch, match=f"names '{name}', which is no file beside it"):
            examine(folder)
    index.write_text("[]")
    with pytest.raises(Mismatch, match="is not an index of shards"):
        examine(folder)


def test_checkpoints_as_others_wrote_them_are_read(made: Callable[..., Path], tmp_path: Path) -> None:
    """GPT-2's own: no prefix, the causal masks among the weights, few keys; a tied head written out; half precision; old rope keys."""
    folder = shutil.copytree(made("gpt2", "random"), tmp_path / "gpt2")
    config = json.loads((folder / "config.json").read_text())
    kept = ("model_type", "vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "n_inner", "layer_norm_epsilon")
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in kept}))
    tensors = {name.removeprefix("transformer."): value for name, value in load_file(folder / "model.safetensors").items()}
    masks = {f"h.{n}.attn.bias": torch.ones(1, 1, 4, 4) for n in range(2)}
    save_file({**tensors, **masks, "lm_head.weight": tensors["wte.weight"].clone()}, folder / "model.safetensors")
    examine(folder)
    state, expected = load_model(folder)[0].state_dict(), ours(made("gpt2", "random")).state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    save_file({**tensors, "lm_head.weight": tensors["wte.weight"] + 1}, folder / "model.safetensors")
    with pytest.raises(Mismatch, match="lm_head.weight differs from wte.weight, though config.json ties them"):
        examine(folder)

    folder = shutil.copytree(made("llama untied", "random"), tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: value.bfloat16() for name, value in load_file(folder / "model.safetensors").items()}, folder / "model.safetensors")
    model, _ = load_model(folder)
    assert model.config == architecture("llama untied")
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    ids = torch.arange(40)[None]
    assert_same(model(ids).detach(), theirs(folder)(ids).logits.detach())
