"""The model: checkpoints keep every bit, hold no pickle, and only finished ones count; a saved model comes back whole."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import model as package
from model.checkpoint import Checkpoints, Mismatch, NotWritten, load_model, save_model
from model.decoder import DecoderModel
from model.parallel import Ranks, ranks
from schemas import recipe
from schemas.files import sync_file

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


def test_a_checkpoint_is_written_beside_the_run_and_counts_when_it_is_whole(
    tmp_path: Path, group: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, slow_disk = Checkpoints(tmp_path / "c", 2, group), threading.Event()
    checkpoints.save(1, some_tensors(1), {"step": 1})

    def sync_slowly(path: Path) -> None:
        slow_disk.wait(60)
        sync_file(path)

    monkeypatch.setattr("model.checkpoint.sync_file", sync_slowly)
    live = some_tensors(2)
    checkpoints.begin(2, live, {"step": 2})
    for tensor in live.values():
        tensor.zero_()  # the run goes on
    assert [path.name for path in checkpoints.durable()] == ["step-00000001"]
    assert (tmp_path / "c/latest").read_text() == "step-00000001\n"
    slow_disk.set()
    checkpoints.finish()
    newest = checkpoints.newest()
    assert newest is not None and newest[1] == {"step": 2}
    checkpoints.load(newest[0], live)
    assert all(torch.equal(live[name], tensor) for name, tensor in some_tensors(2).items())


def test_a_checkpoint_that_can_not_be_written_is_told_at_the_latest_when_the_next_begins(tmp_path: Path, group: Ranks) -> None:
    checkpoints = Checkpoints(tmp_path / "c", 2, group)
    checkpoints.save(1, some_tensors(1), {"step": 1})
    (tmp_path / "c/.step-00000002").write_bytes(b"in the way")
    checkpoints.begin(2, some_tensors(2), {"step": 2})
    with pytest.raises(NotWritten, match="step-00000002: can't be written: .*File exists"):
        checkpoints.begin(3, some_tensors(3), {"step": 3})
    assert [path.name for path in checkpoints.durable()] == ["step-00000001"]


_KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import model.checkpoint
from model.parallel import ranks
from tests.model.test_checkpoint import some_tensors
with ranks(1) as group:
    checkpoints = model.checkpoint.Checkpoints(Path(sys.argv[1]), 2, group)
    checkpoints.save(1, some_tensors(1), {"step": 1})
    setattr(model.checkpoint, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    checkpoints.save(2, some_tensors(2), {"step": 2})
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["sync_file", "sync_folder"])
def test_a_kill_while_it_is_written_leaves_the_one_before(tmp_path: Path, group: Ranks, at: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    killed = subprocess.run([sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path / "c"), at], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    checkpoints = Checkpoints(tmp_path / "c", 2, group)
    newest = checkpoints.newest()
    assert newest is not None and newest[1] == {"step": 1 if at == "sync_file" else 2}
    back = some_tensors(3)
    checkpoints.load(newest[0], back)
    assert all(torch.equal(back[name], tensor) for name, tensor in some_tensors(newest[1]["step"]).items())


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
