"""The model: *signals* are numbers measured on a text; *rules* are thresholds on signals, by language.

`measure` takes texts to signals, `judge` takes signals to verdicts.
"""

from __future__ import annotations

from pipelines.rules.judge import judge
from pipelines.rules.signals import engines, measure

__all__ = ["engines", "judge", "measure"]
