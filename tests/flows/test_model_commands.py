"""The model: `gristmill export`, `import` and `generate`, on the model of the shared run; most of it in this process, as each command
would spend seconds on importing torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands.models import printable
from schemas.errors import RequestError
from tests.flows.conftest import Command

pytestmark = pytest.mark.slow

Here = Callable[..., str]


@pytest.fixture
def here(workspace: Path) -> Here:
    """A command in this process: what it prints. Its errors are raised."""

    def run(*arguments: str) -> str:
        store = str(workspace / ".gristmill" / "store")
        return CliRunner().invoke(app, [*arguments, "--store", store], catch_exceptions=False).stdout

    return run


def test_a_model_goes_out_and_comes_back(gristmill: Command, here: Here, tmp_path: Path) -> None:
    out = tmp_path / "tiny-hf"
    told = json.loads(gristmill("export", "tiny", str(out), "--json").stdout)
    assert sorted(told["files"]) == sorted(path.name for path in out.iterdir())
    assert set(told["files"]) >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    first = json.loads(gristmill("import", str(out), "--name", "back", "--json").stdout)
    second = json.loads(here("import", str(out), "--name", "back", "--json"))
    assert (first["action"], second["action"]) == ("run", "reuse") and first["artifact"] == second["artifact"]
    assert "sound" in here("audit", "model/back")
    prompts = ("--prompt", "the ", "--prompt", "很好", "--samples", "2", "--max-tokens", "8", "--json")
    texts = [json.loads(here("generate", name, *prompts))["texts"] for name in ("tiny", "back")]
    assert texts[0] == texts[1] and len(texts[0]) == 4

    shutil.copytree(out, tmp_path / "scaled")
    config = json.loads((out / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
    (tmp_path / "scaled" / "config.json").write_text(json.dumps(config))
    refused = gristmill("import", str(tmp_path / "scaled"), "--name", "back", check=False)
    assert refused.returncode == 2 and "rope_type is 'yarn'" in refused.stderr and "Traceback" not in refused.stderr
    for wrong, told_of in (
        (("import", str(out), "--name", "../back"), "--name '../back'"),
        (("export", "tiny", str(out)), "is there already"),
        (("generate", "model/tiny-finetuned", "the"), "was fine-tuned to tell labels or spans, and writes no text"),
        (
            ("export", "documents/tiny", str(tmp_path / "out")),
            "was made by step documents: only pretrained and imported models and",
        ),
    ):
        with pytest.raises(RequestError, match=told_of):
            here(*wrong)


def test_a_stream_is_the_text(here: Here) -> None:
    asked = ("generate", "model/tiny", "the river", "--max-new", "12", "--seed", "3", "--min-p", "0.01", "--repetition-penalty", "1.2")
    whole = here(*asked)
    assert whole.startswith("the river") and here(*asked, "--stream") == whole
    many = here(*asked, "--samples", "2")
    assert many.startswith("[1.1]\n" + whole) and "[1.2]\n" in many
    for wrong, told in (
        ((*asked, "--stream", "--json"), "--stream prints one text"),
        ((*asked, "--samples", "3", "--beams", "2"), "3 samples of 2 beams"),
        (("generate", "model/tiny"), "there is no prompt"),
        (("fill", "model/tiny", "the [MASK]"), "is llama, which fills in no masks; `gristmill generate`"),
    ):
        with pytest.raises(RequestError, match=told):
            here(*wrong)


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\n\tb\x1b[2J\x07") == "a\n\tb\\x1b[2J\\x07"
