"""The model: an *event* tells a Prefect server that something of a recipe happened, so that automations can follow it. It is news and no
record: one may be lost, or come twice, and whoever acts on it asks the store what is so.
"""

from __future__ import annotations

from typing import Any

DOCUMENTS = "gristmill.documents.committed"
PROMOTED = "gristmill.champion.promoted"
REFUSED = "gristmill.challenger.refused"


def resource(name: str) -> dict[str, str]:
    """Prefect's description of a recipe."""
    return {"prefect.resource.id": f"gristmill.recipe.{name}", "prefect.resource.name": name}


def tell(event: str, name: str, payload: dict[str, Any]) -> None:
    """Tell of what happened to the recipe `name`."""
    from prefect.events import emit_event

    emit_event(event, resource(name), payload=payload)
