"""The model: `gristmill export`, `import` and `generate` as a person would run them, on the model of the shared run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.commands.models import printable
from tests.flows.conftest import Command

pytestmark = pytest.mark.slow


def test_a_model_goes_out_and_comes_back(workspace: Path, gristmill: Command, tmp_path: Path) -> None:
    out = tmp_path / "tiny-hf"
    told = json.loads(gristmill("export", "tiny", str(out), "--json").stdout)
    assert sorted(told["files"]) == sorted(path.name for path in out.iterdir())
    assert set(told["files"]) >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    again = gristmill("export", "tiny", str(out), check=False)
    assert again.returncode == 2 and "is there already" in again.stderr

    first = json.loads(gristmill("import", str(out), "--name", "back", "--json").stdout)
    second = json.loads(gristmill("import", str(out), "--name", "back", "--json").stdout)
    assert (first["action"], second["action"]) == ("run", "reuse") and first["artifact"] == second["artifact"]
    assert "sound" in gristmill("audit", "model/back").stdout
    prompts = ("--prompt", "the ", "--prompt", "很好", "--samples", "2", "--max-tokens", "8", "--json")
    texts = [json.loads(gristmill("generate", name, *prompts).stdout)["texts"] for name in ("tiny", "back")]
    assert texts[0] == texts[1] and len(texts[0]) == 4

    shutil.copytree(out, tmp_path / "scaled")
    config = json.loads((out / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
    (tmp_path / "scaled" / "config.json").write_text(json.dumps(config))
    refused = gristmill("import", str(tmp_path / "scaled"), "--name", "back", check=False)
    assert refused.returncode == 2 and "rope_type is 'yarn'" in refused.stderr and "Traceback" not in refused.stderr
    badly = gristmill("import", str(out), "--name", "../back", check=False)
    assert badly.returncode == 2 and "--name '../back'" in badly.stderr


def test_a_stream_is_the_text(workspace: Path, gristmill: Command) -> None:
    asked = ("generate", "model/tiny", "the river", "--max-new", "12", "--seed", "3", "--min-p", "0.01", "--repetition-penalty", "1.2")
    whole = gristmill(*asked).stdout
    assert whole.startswith("the river") and gristmill(*asked, "--stream").stdout == whole
    many = gristmill(*asked, "--samples", "2").stdout
    assert many.startswith("[1.1]\n" + whole) and "[1.2]\n" in many
    for wrong, told in ((("--stream", "--json"), "--stream prints one text"), (("--samples", "3", "--beams", "2"), "3 samples of 2 beams")):
        refused = gristmill(*asked, *wrong, check=False)
        assert refused.returncode == 2 and told in refused.stderr
    refused = gristmill("generate", "model/tiny", check=False)
    assert refused.returncode == 2 and "there is no prompt" in refused.stderr
    refused = gristmill("export", "model/tiny-finetuned", "out", check=False)
    assert refused.returncode == 2 and "only pretrained and imported models can be exported" in refused.stderr


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\n\tb\x1b[2J\x07") == "a\n\tb\\x1b[2J\\x07"
