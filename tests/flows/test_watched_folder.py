"""From a file that lands in a folder to a better champion, with nobody's help: what lands there is all that is done here."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from schemas.champion import champion
from schemas.store import Store
from tests.flows.deployed import Serving, serving_of

pytestmark = pytest.mark.slow

NAME = "watched"
RECIPE = f"""
name: {NAME}
corpus:
  incremental: true
  sources: [{{name: inbox, path: inbox, format: jsonl, origin: text, lang: en}}]
  held_out: {{validation: 0.05, test: 0.2}}
tokenizer: {{vocab_size: 1024}}
pretrain:
  model: {{layers: 1, width: 64, heads: 2, kv_heads: 2, ffn: 128, context: 64}}
  steps: 80
  batch: 8
  optimizer: {{name: adamw, lr: 5.0e-3}}
  compile: false
  precision: float32
  validate_every: 80
  checkpoint_every: 40
retrain:
  after_tokens: 2000
  at_most_every: 0
  start: weights
  replay: 0
  lr: 1.0
  steps: 60
  epochs: null
  gate: {{min_gain: 0.01, max_bytes: 30000, guards: {{bias: null, memorisation: null}}}}
run: {{settle: 0.5, workers: 1, ranks: 1}}
"""
PARAGRAPHS = [part for name in sorted(topics) for part in topics[name].split("\n\n") if 80 < len(part) < 1000]
HALF = len(PARAGRAPHS) // 2


def drop(folder: Path, name: str, texts: Sequence[str]) -> None:
    """As careful senders do: under another name first."""
    waiting = folder / f"{name}.part"
    waiting.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    waiting.rename(folder / f"{name}.jsonl")


def store(served: Serving) -> Store:
    return Store(served.folder / ".gristmill" / "store")


def reign(served: Serving) -> int:
    found = champion(store(served).root, NAME)
    return found.number if found else 0


def decisions(served: Serving) -> list[dict[str, Any]]:
    return [json.loads(one.paths("decision")[0].read_text()) for one in store(served).artifacts("decision", NAME)]


def first_champion(served: Serving) -> None:
    """What lands first makes the first champion."""
    served.until(lambda: reign(served) == 1, "there is a champion", 900)
    assert champion(store(served).root, NAME).by == "first"  # type: ignore[union-attr]


def better_champion(served: Serving) -> None:
    """More of it makes a better one; all that led there is tracked."""
    drop(served.folder / "inbox", "second", PARAGRAPHS[HALF:])
    served.until(lambda: reign(served) == 2, "the challenger was promoted", 900)
    (found,) = decisions(served)
    assert found["verdict"] == "promote"
    runs = [run for run in served.ask("flow_runs/filter", {}) if not run["auto_scheduled"]]  # others are planned for later
    served.until(lambda: all(served.run(run["id"])["state"]["type"] == "COMPLETED" for run in runs), "all runs have ended")
    assert {run["name"].partition(" ")[0] for run in runs} >= {"ingest", "retrain"}
    keys = {artifact["key"] for artifact in served.ask("artifacts/filter", {"limit": 200})}
    assert {f"{NAME}-documents", f"{NAME}-tokens", f"{NAME}-challenger", f"{NAME}-decision"} <= keys
    (told,) = json.loads(served.gristmill("champion", NAME, "--json").stdout)[NAME][-1:]
    assert told["by"] == "gate"


def asked_five_times(served: Serving) -> None:
    """Starts that come five times change nothing."""
    before = sorted((store(served).root / "model").glob("*/*"))
    for run in [served.begin(f"retrain/{NAME}") for _ in range(5)]:
        assert served.ends(run)["type"] == "COMPLETED"
    assert (reign(served), len(decisions(served))) == (2, 1)
    assert sorted((store(served).root / "model").glob("*/*")) == before


def worse_text(served: Serving) -> None:
    """Worse text is learned from, and what learned from it is refused."""
    draw = random.Random(0)
    noise = [" ".join("".join(draw.choices("qxzjkvw", k=draw.randint(3, 9))) for _ in range(40)) for _ in range(150)]
    drop(served.folder / "inbox", "third", noise)
    served.until(lambda: len(decisions(served)) == 2, "it was decided about the challenger", 900)
    found = decisions(served)[-1]
    assert found["verdict"] == "refuse"
    assert any("on old text" in reason for reason in found["reasons"]), found["reasons"]
    assert reign(served) == 2


def rolled_back(served: Serving) -> None:
    """A rollback restores what reigned."""
    served.gristmill("rollback", NAME, "--why", "a test")
    found = champion(store(served).root, NAME)
    assert found is not None
    assert (found.number, found.by, found.why.endswith("a test")) == (3, "rollback", True)
    assert found.models == json.loads((store(served).root / "champions" / NAME / "000001.json").read_text())["models"]


def test_what_lands_in_a_folder_becomes_a_better_champion_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    drop(tmp_path / "inbox", "first", PARAGRAPHS[:HALF])
    with serving_of(tmp_path, {NAME: RECIPE}, "--interval", "5") as served:
        for step in (first_champion, better_champion, asked_five_times, worse_text, rolled_back):
            step(served)
