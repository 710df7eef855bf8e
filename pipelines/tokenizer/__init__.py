"""The model: the *tokenizer* step trains a tokenizer, imports one, or hands one on; `step` says how, `families` for which models.

`python -m pipelines.tokenizer DRAFT` writes `tokenizer.json` and what describes it, the same bytes each time.
"""

from __future__ import annotations

from pipelines.tokenizer.sample import draw
from pipelines.tokenizer.step import FILE, IMPORTED, KEY, REPORT, STAGE, STEP_VERSION, engines, file_digest, identity_settings, run

__all__ = ["FILE", "IMPORTED", "KEY", "REPORT", "STAGE", "STEP_VERSION", "draw", "engines", "file_digest", "identity_settings", "run"]
