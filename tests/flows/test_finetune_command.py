"""`gristmill finetune`: a model of the store learns from files; what decides it, and what it says when something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml

from schemas.errors import RequestError
from tests.flows.conftest import Command
from tests.flows.test_model_commands import here
from tests.model.labelled import small_reviews

__all__ = ["here"]

pytestmark = pytest.mark.slow

Here = Callable[..., str]


def write_recipe(path: Path, data: Path, **finetune: Any) -> Path:
    task = {"name": "reviews", "kind": "classification", "data": {"train": str(data), "lang": "zh"}}
    section = {"task": task, "epochs": 1, "max_tokens": 32, "precision": "float32", "lr": 3e-3, **finetune}
    path.write_text(yaml.safe_dump({"name": "told", "model": "tiny", "finetune": section, "run": {"ranks": 1}}), encoding="utf-8")
    return path


def write_rows(path: Path, extra: int = 0) -> Path:
    rows = [{"text": row.text, "label": json.loads(row.extra)["label"]} for row in small_reviews() if row.extra]
    rows += [{"text": f"酒店 {number} 很好", "label": "pos"} for number in range(extra)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows) + '{"text": "no label"}\n', encoding="utf-8")
    return path


def test_from_files_to_transformers(gristmill: Command, here: Here, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", write_rows(tmp_path / "rows.jsonl"))
    first = gristmill("finetune", str(recipe), "--json")
    told = json.loads(first.stdout)
    assert told["action"] == "run" and told["artifact"].startswith("model/told@") and told["labels"] == ["neg", "pos"]
    assert told["examples"]["rejected"]["missing_field"] == 1
    (tmp_path / "other").mkdir()
    copy = Path(shutil.copyfile(tmp_path / "rows.jsonl", tmp_path / "other" / "rows.jsonl"))
    moved = write_recipe(tmp_path / "moved.yaml", copy)
    assert json.loads(here("finetune", str(moved), "--json"))["action"] == "reuse"  # where files lie decides nothing
    write_rows(tmp_path / "rows.jsonl", extra=3)
    again = json.loads(here("finetune", str(recipe), "--json"))
    assert again["action"] == "run" and any("train" in why for why in again["why"])
    assert "sound" in here("audit", "model/told")
    here("export", "told", str(tmp_path / "out"))
    found = transformers.pipeline("text-classification", model=str(tmp_path / "out"))("房间，很好")
    assert found[0]["label"] in ("neg", "pos")


def test_says_what_is_wrong_before_anything_is_spent(here: Here, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    for change, message in (
        ({"model": "missing"}, "missing"),
        ({"model": "tiny-finetuned"}, "was made by step finetune: only pretrained and imported models can be fine-tuned"),
        ({"name": "tiny"}, "is the name of the model that it starts from"),
        ({"finetune": {"source": "reviews"}}, "r.yaml:.*finetune.source: is of a recipe with a corpus"),
        ({"finetune": {"task": {"name": "a", "kind": "pairs", "data": {"trian": "x"}}}}, "did you mean 'train'"),
    ):
        path = write_recipe(tmp_path / "r.yaml", rows)
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
        with pytest.raises(RequestError, match=message):
            here("finetune", str(path))
    gone = write_recipe(tmp_path / "r.yaml", tmp_path / "gone.jsonl")
    with pytest.raises(RequestError, match=r"finetune.task.data.train: .*gone.jsonl: there is no such file"):
        here("finetune", str(gone))


def test_what_was_taught_to_write_writes(here: Here, tmp_path: Path) -> None:
    """Commands of two models that learned a title and a turn, from files to an exported folder; what they write is of little worth."""
    rows = [{"prompt": f"the river {number}", "target": "river"} for number in range(60)]
    chats = [{"messages": [{"role": "user", "content": f"the {n}"}, {"role": "assistant", "content": "很好"}]} for n in range(60)]
    for kind, examples in (("generation", rows), ("chat", chats)):
        (tmp_path / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in examples), encoding="utf-8")
        task = {"name": kind, "kind": kind, "data": {"train": str(tmp_path / f"{kind}.jsonl")}}
        recipe = write_recipe(tmp_path / f"{kind}.yaml", tmp_path, task=task)
        recipe.write_text(recipe.read_text().replace("name: told", f"name: {kind}"))
        here("finetune", str(recipe))
        assert "sound" in here("audit", f"model/{kind}")
        here("export", kind, str(tmp_path / f"{kind}-out"))
    said = here("generate", "generation", "the river 7", "--max-tokens", "4", "--temperature", "0")
    pipeline = transformers.pipeline("text-generation", model=str(tmp_path / "generation-out"))
    found = pipeline("the river 7\n", max_new_tokens=4, do_sample=False, return_full_text=False)
    assert said == found[0]["generated_text"] + "\n"
    told = json.loads(here("chat", "chat", "--once", "the 7", "--max-tokens", "4", "--json"))
    assert [message["role"] for message in told["messages"]] == ["user", "assistant"]
    asked = [{"role": "user", "content": "the 7"}]
    found = transformers.pipeline("text-generation", model=str(tmp_path / "chat-out"))(asked, max_new_tokens=4, do_sample=False)
    assert found[0]["generated_text"][-1]["content"] == told["messages"][-1]["content"]
    with pytest.raises(RequestError, match="was not taught dialogues"):
        here("chat", "generation", "--once", "the 7")
