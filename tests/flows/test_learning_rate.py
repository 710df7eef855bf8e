"""The model: what `gristmill lr` prints of a curve, and what it wants."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands.learning_rate import BAR, LINES, lines
from model.lr_range import Point, suggestion
from schemas.errors import RequestError


def test_a_curve_is_a_table_with_bars() -> None:
    losses = [6.0] * 40 + [6.0 - n / 10 for n in range(40)] + [2.0 + n / 5 for n in range(20)]
    points = [Point(1e-5 * 1.1**n, loss, loss) for n, loss in enumerate(losses)]
    told = lines(points, suggestion(points))
    assert len(told) == 1 + LINES and told[1].count("#") == BAR
    assert sum("lowest" in line for line in told) == sum("falls fastest" in line for line in told) == 1
    assert "a larger rate may do as well" in lines(points[:80], suggestion(points[:80]))[-1]


def test_it_wants_tokens_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text\n")
    source = f"{{name: a, path: {tmp_path}, format: txt}}"
    (tmp_path / "r.yaml").write_text(f"name: r\ncorpus: {{sources: [{source}]}}\npretrain: {{}}\n")
    with pytest.raises(RequestError, match="run it with --until tokens first"):
        CliRunner().invoke(app, ["lr", str(tmp_path / "r.yaml"), "--store", str(tmp_path / "store")], catch_exceptions=False)
