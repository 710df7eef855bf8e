"""The model: an event is *sent* when the server has taken it, and then a *mark* beside the store's caches says so. A process that is killed
before that leaves no mark, so the next one sends it again, and by its id a server keeps it once. Only a server that is killed between
taking an event and storing it, seconds later, loses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.events import Event
from prefect.events.schemas.events import RelatedResource, Resource
from prefect.runtime import flow_run
from prefect.types import DateTime

from schemas.files import replace
from schemas.store import Store

Json = dict[str, Any]


def mark_of(store: Store, about: str) -> Path:
    """Where it is told which event about something was sent last."""
    return store.root / ".cache" / "told" / about


def was_sent(mark: Path, identity: UUID) -> bool:
    return mark.is_file() and mark.read_text() == str(identity)


def send(mark: Path, identity: UUID, name: str, resource: dict[str, str], payload: Json) -> Event:
    """Send an event, and mark it as sent. Raises what a client raises if no server takes it."""
    run = flow_run.id
    related = [{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}] if run else []
    event = Event(
        id=identity,
        occurred=DateTime.now("UTC"),
        event=name,
        resource=Resource(resource),
        related=[RelatedResource(one) for one in related],
        payload=payload,
    )
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    mark.parent.mkdir(parents=True, exist_ok=True)
    replace(mark, str(identity).encode())
    return event
