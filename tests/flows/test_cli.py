"""What the command says of itself."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from flows.cli import app


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"gristmill {version('gristmill')}\n")
