"""The model: a range test's suggestion learns well on the text it was made on, and curves are read as they should be."""

from __future__ import annotations

import math

import pytest

from model.lr_range import BELOW, Point, diverged, range_test, suggestion
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Pretrain

MODEL = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "ffn": 48, "context": 16}


def curve(losses: list[float], low: float = 1e-4, growth: float = 1.5) -> list[Point]:
    return [Point(low * growth**n, loss, loss) for n, loss in enumerate(losses)]


def test_a_curve_is_read() -> None:
    points = curve([6.0, 5.9, 5.0, 4.8, 4.7, 5.5])
    found = suggestion(points)
    assert (found.steepest, found.lowest, found.diverged) == (points[2].lr, points[4].lr, True)
    assert found.lr == pytest.approx(points[4].lr / BELOW, rel=0.05)
    assert not suggestion(points[:5]).diverged and diverged(points)
    with pytest.raises(RequestError, match="the loss only rose"):
        suggestion(curve([6.0, 6.1, 6.2]))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_rate_grows_until_the_loss_has_risen(tokens_artifact: Artifact, tokenizer_artifact: Artifact, name: str) -> None:
    settings = Pretrain.model_validate({"model": MODEL, "batch": 8, "precision": "float32", "optimizer": {"name": name}})
    kept = sorted(path.name for path in tokens_artifact.path.rglob("*"))
    asked = {"lowest": 1e-4, "highest": 30.0, "steps": 60, "threads": 1}
    points = range_test(tokens_artifact, tokenizer_artifact, settings, ranks_=1, **asked)
    assert points[0].lr == pytest.approx(1e-4) and math.log(points[1].lr / points[0].lr) == pytest.approx(math.log(3e5) / 59)
    found = suggestion(points)
    assert 6.0 < points[0].loss < 7.0 and found.diverged and found.steepest <= found.lowest and 1e-3 < found.lr < 0.5
    again = range_test(tokens_artifact, tokenizer_artifact, settings, ranks_=2, **asked)  # twice as many passes, the same batches
    assert [point.loss for point in again[:20]] == pytest.approx([point.loss for point in points[:20]], rel=1e-4)
    assert sorted(path.name for path in tokens_artifact.path.rglob("*")) == kept
