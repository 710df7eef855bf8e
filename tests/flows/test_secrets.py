"""Secrets of the environment: a whole run writes none of them anywhere, in no form, whatever fails on its way."""

import base64
import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import environment, write_raw

SECRETS = {
    "GRISTMILL_API_TOKEN": "planted-api-token-5d1f",
    "GRISTMILL_HOOK_SECRET": "planted-hook-secret-77aa",
    "PREFECT_SERVER_API_AUTH_STRING": "admin:planted-prefect-9c3e",
    "WANDB_API_KEY": "planted0wandb0key0c0ffee0c0ffee0c0ffee00",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret-b00c",
    "MLFLOW_TRACKING_URI": "http://someone:planted-mlflow-1234@127.0.0.1:9",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password-4321",
}


RECIPE = """\
name: tiny
corpus: {sources: [{name: notes, path: raw/notes, format: txt, lang: en}]}
tokenizer: {vocab_size: 512}
pretrain:
  model: {layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 64, context: 32}
  steps: 2
  batch: 4
  compile: false
run: {ranks: 1, workers: 1}
"""


def forms(secret: str) -> set[bytes]:
    """What to look for: itself, and as HTTP's basic authentication has it (its middle, whatever stands around it)."""
    plain = {secret, secret.rpartition(":")[2].partition("@")[0], secret.partition("//")[2].partition("@")[0].rpartition(":")[2]}
    coded = {base64.b64encode(one.encode()).decode().rstrip("=") for one in plain if one}
    return {one.encode() for one in plain | coded if len(one) > 8}


def contents(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.slow
def test_a_whole_run_writes_no_secret_anywhere(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    done = []
    for arguments in (["run", "tiny.yaml"], ["run", "missing.yaml"], ["doctor"]):
        command = [sys.executable, "-m", "flows.cli", *arguments]
        done.append(subprocess.run(command, cwd=tmp_path, env=environment() | places | SECRETS, capture_output=True, check=False))
    assert done[0].returncode == 0, done[0].stderr.decode()
    assert (tmp_path / ".gristmill" / "reports" / "tiny.html").exists()
    printed = b"".join(one.stdout + one.stderr for one in done)
    read = 0
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()):
        content = contents(path)
        read += 1
        assert [form for secret in SECRETS.values() for form in forms(secret) if form in content] == [], path
    assert [form for secret in SECRETS.values() for form in forms(secret) if form in printed] == []
    assert read > 50
