"""The model: the *ledger* of what retrainings consumed is the store's decisions: each names, by their content, the tokens that its
challenger learned from, and the number of the reign that it was made against. So what was decided once is not trained for twice, whoever
asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.artifact import Artifact
from schemas.recipe.names import CHALLENGER, FINETUNED
from schemas.store import Store

KIND = "decision"
TOKENS, REIGN = "tokens", "reign"
"""In a decision's identity: the input and the setting that say what it is about."""
MADE = ("pretrain", "finetune")
"""The inputs that are the challenger's models."""


@dataclass(frozen=True)
class Decided:
    """An entry of the ledger."""

    decision: Artifact
    tokens: str
    """Content digest."""
    reign: int
    began: datetime
    """When the challenger's training began, as far as that is still in the store; else the decision."""


def ledger(store: Store, name: str) -> Iterator[Decided]:
    """All that was decided for a name, oldest first."""
    challengers = [one for suffix in ("", FINETUNED) for one in store.artifacts("model", name + CHALLENGER + suffix)]
    made = {one.manifest.content_digest: one.version for one in reversed(challengers)}
    for decision in store.artifacts(KIND, name):
        identity = decision.manifest.identity
        if TOKENS in identity.inputs and REIGN in identity.settings:
            # The champion was a challenger once, too: its training began with the retraining before.
            versions = [made[digest] for role, digest in identity.inputs.items() if digest in made and role in MADE]
            yield Decided(decision, identity.inputs[TOKENS], int(identity.settings[REIGN]), _time(min([decision.version, *versions])))


def _time(version: str) -> datetime:
    """When a version was begun."""
    return datetime.strptime(version.partition("-")[0], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
