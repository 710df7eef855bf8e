"""The model: what set-up lacks on a machine is said in one line, before anything is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOO_OLD = """#!/bin/sh
case "$2" in *"version_info <"*) exit 1 ;; *) echo 3.9 ;; esac
"""
WITHOUT_VENV = """#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (TOO_OLD, "set-up: needs Python 3.11 or newer on PATH ({python} is 3.9); name another with 'make PYTHON=/path/to/python3.11'"),
        (
            WITHOUT_VENV,
            "set-up: {python} cannot make environments (no ensurepip): install its venv package, as in 'apt install {python}-venv'",
        ),
        (None, "set-up: needs Python 3.11 or newer on PATH; name another with 'make PYTHON=/path/to/python3.11'"),
    ],
    ids=["too old", "without venv", "none"],
)
def test_a_missing_python_is_one_line(script: str | None, said: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / "python-of-the-system"  # a script that answers as such a Python would
    if script is not None:
        python.write_text(script)
        python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python)}
    done = subprocess.run([tmp_path / "infra" / "set-up.sh", "run"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [said.format(python=python)]
    assert not (tmp_path / ".venv").exists()
