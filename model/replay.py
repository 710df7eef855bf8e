"""The model: a *replay* mixes old text beside new: samples are dealt to the streams `new/...` and `old/...` (`model.known`) so that the old
ones have their *share*, and on each side as the recipe's mix weighs what is there. So a model that goes on learning does not forget; see
Ibrahim et al., "Simple and Scalable Strategies to Continually Pre-train Large Language Models", arXiv:2403.08763.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.known import NEW, OLD
from model.phases import Stage, matches, stream_weights
from schemas.errors import RequestError


@dataclass(frozen=True)
class Replay:
    """Tokens that tell old text from new, and the share of samples that are old."""

    before: Path
    share: float

    def over(self, stages: Sequence[Stage], samples: Mapping[int, Mapping[str, int]]) -> list[Stage]:
        """Stages whose mixes weigh single streams; ``samples`` of each stream, by context. Raises RequestError if none is new."""
        return [replace(stage, mix=self._mix(stage, samples[stage.context])) for stage in stages]

    def _mix(self, stage: Stage, samples: Mapping[str, int]) -> dict[str, float]:
        shares = {side: _side(stage, samples, side) for side in (NEW, OLD)}
        if not shares[NEW]:
            raise RequestError(
                f"no new text to train on: what came since {self.before.name} has no sample of {stage.context} tokens"
                f"{f' that mix {dict(stage.mix)} weighs' if stage.mix else ''}; wait for more of it"
            )
        old = self.share if shares[OLD] else 0.0
        weights = {NEW: 1 - old, OLD: old}
        return {stream: weights[side] * share for side in shares if weights[side] for stream, share in shares[side].items()}


def _side(stage: Stage, samples: Mapping[str, int], side: str) -> dict[str, float]:
    """Shares of the streams of one side, which add up to one; none if it has no text that the mix weighs."""
    here = {stream.removeprefix(f"{side}/"): count for stream, count in samples.items() if stream.startswith(f"{side}/") and count}
    mix = {key: weight for key, weight in stage.mix.items() if any(matches(key, stream) for stream in here)}
    if not here or (stage.mix and not sum(mix.values())):
        return {}
    weights = stream_weights(mix, here, stage.context)
    return {f"{side}/{stream}": weight / sum(weights.values()) for stream, weight in weights.items()}
