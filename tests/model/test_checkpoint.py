"""The model: checkpoints keep every bit, hold no pickle, and only finished ones count; a saved model comes back whole."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import model as package
from model.checkpoint import Checkpoints, Mismatch, load_model, save_model
from model.decoder import DecoderModel
from model.parallel import Ranks, ranks
from schemas import recipe

SMALL = recipe.Decoder(layers=1, width=16, heads=2, kv_heads=1, ffn=24, context=8)


@pytest.fixture
def group() -> Iterator[Ranks]:
    with ranks(1) as joined:
        yield joined


def some_tensors(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "model.a.weight": torch.randn(7, 5, generator=draw),
        "optimizer.a.weight.exp_avg": torch.randn(7, 5, generator=draw),
        "model.half": torch.randn(3, generator=draw).bfloat16(),
        "random.0": torch.randint(0, 255, (50,), generator=draw, dtype=torch.uint8),
    }


def test_a_checkpoint_keeps_every_bit(tmp_path: Path, group: Ranks) -> None:
    checkpoints = Checkpoints(tmp_path / "c", 2, group)
    saved, state = some_tensors(1), {"step": 5, "x": [1, 2.5]}
    checkpoints.save(5, saved, state)
    newest = Checkpoints(tmp_path / "c", 2, group).newest()
    assert newest is not None and newest[1] == state and newest[0].name == "step-00000005"
    back = some_tensors(2)
    checkpoints.load(newest[0], back)
    for name, tensor in saved.items():
        assert torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype, name
    assert (tmp_path / "c" / "latest").read_text() == "step-00000005\n"


def test_checkpoint_files_are_json_and_safetensors_only(tmp_path: Path, group: Ranks) -> None:
    path = Checkpoints(tmp_path / "c", 2, group).save(1, some_tensors(1), {"step": 1})
    for file in path.iterdir():
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                assert list(opened.keys())
        elif file.suffix == ".json":
            json.loads(file.read_text())
        else:
            assert file.name == "done" and file.stat().st_size == 0


def test_old_checkpoints_go_and_unfinished_ones_never_count(tmp_path: Path, group: Ranks) -> None:
    checkpoints = Checkpoints(tmp_path / "c", 2, group)
    for step in (1, 2, 3):
        checkpoints.save(step, some_tensors(step), {"step": step})
    assert [path.name for path in checkpoints.durable()] == ["step-00000002", "step-00000003"]
    (tmp_path / "c/step-00000003/done").unlink()
    (tmp_path / "c/.step-00000004").mkdir()
    again = Checkpoints(tmp_path / "c", 2, group)
    newest = again.newest()
    assert newest is not None and newest[1]["step"] == 2
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"step-00000002", "latest"}


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_another_models_checkpoint_is_refused(tmp_path: Path, group: Ranks, change: str) -> None:
    checkpoints = Checkpoints(tmp_path / "c", 2, group)
    path = checkpoints.save(1, some_tensors(1), {"step": 1})
    wanted = {**some_tensors(1), "model.b": torch.zeros(2)} if change == "missing" else {"model.a.weight": torch.zeros(7, 6)}
    with pytest.raises(Mismatch, match="step-00000001: does not fit this run"):
        checkpoints.load(path, wanted)


@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_model_comes_back_with_the_same_logits(tmp_path: Path, tie: bool) -> None:
    torch.manual_seed(0)
    model = DecoderModel(SMALL.model_copy(update={"tie_embeddings": tie}), 100)
    save_model(model, tmp_path, {"bos_token_id": 0})
    before = torch.get_rng_state()
    back, config = load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    ids = torch.randint(0, 100, (2, 8))
    assert torch.equal(back(ids), model(ids))
    assert back.config == model.config and config["bos_token_id"] == 0 and not back.training
    with safe_open(tmp_path / "model.safetensors", "pt") as saved:
        assert saved.get_slice("model.embed_tokens.weight").get_shape() == [100, 16]
        assert ("lm_head.weight" in saved.keys()) is not tie  # noqa: SIM118
    assert {"model_type": "llama", "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 100}.items() <= config.items()


def test_a_damaged_saved_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match=r"config\.json: is missing"):
        load_model(tmp_path)
    _, config = save_model(DecoderModel(SMALL, 100), tmp_path, {})
    config.write_text(config.read_text().replace('"vocab_size": 100', '"vocab_size": 99'))
    with pytest.raises(Mismatch, match=r"embed_tokens\.weight has shape \[100, 16\], config\.json wants \[99, 16\]"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(Mismatch, match=r"model\.safetensors: can't be read"):
        load_model(tmp_path)
    config.write_text("{}")
    with pytest.raises(Mismatch, match=r"config\.json: does not describe"):
        load_model(tmp_path)


def test_nothing_in_model_pickles() -> None:
    folder = Path(package.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"} & {name.split(".")[0] for name in names}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr not in ("load", "save"), f"{path}:{node.lineno}"
