"""The model: the *event* that an ingest leaves behind: documents and tokens were committed, so many of them new. Whoever hears it asks for
himself what there is to do (`flows.retraining.due`): an event may come twice, or never.

Its id follows from the tokens' content, so an event that is sent again is the same one, and Prefect stores it once. A run that was killed
between commit and event is made up for by the next one (`flows.arriving.sent`).
"""

from __future__ import annotations

import uuid
from typing import Any

from prefect import get_run_logger
from prefect.events import Event

from flows.arriving.sent import mark_of, send, was_sent
from flows.lineage import made_from
from flows.retraining.news import champions_tokens, count
from schemas.artifact import Artifact
from schemas.champion import champion
from schemas.draft import PARENT
from schemas.store import Store

COMMITTED = "gristmill.documents.committed"
RESOURCE = "gristmill.documents."
"""In front of a recipe's name: the resource that the event is about."""
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, COMMITTED)


def emit_committed(store: Store, documents: Artifact, tokens: Artifact | None) -> Event | None:
    """Tell Prefect of documents, and of their tokens if there are any, unless they were told of last. To be called in a flow run; what
    goes wrong is a warning in its log."""
    try:
        content = (tokens or documents).manifest.content_digest
        identity = uuid.uuid5(_IDS, f"{documents.name}/{content}")
        mark = mark_of(store, documents.name)
        if was_sent(mark, identity):
            return None
        resource = {"prefect.resource.id": RESOURCE + documents.name, "prefect.resource.name": documents.name}
        return send(mark, identity, COMMITTED, resource, committed(store, documents, tokens))
    except Exception as error:  # whatever it is: the run has done its work
        get_run_logger().warning(f"event {COMMITTED} of {documents.reference} was not sent: {type(error).__name__}: {error}")
        return None


def committed(store: Store, documents: Artifact, tokens: Artifact | None) -> dict[str, Any]:
    """What the event says: references, and counts of training documents and tokens, new beside the version before and beside the
    champion's."""
    told: dict[str, Any] = {"name": documents.name, "documents": documents.reference, "tokens": tokens.reference if tokens else None}
    if tokens is None:
        return told
    reign = champion(store.root, documents.name)
    new = count(tokens, made_from(store, tokens, PARENT))
    since = count(tokens, champions_tokens(store, reign)) if reign is not None else count(tokens, None)
    return {
        **told,
        "new_documents": new.documents,
        "new_tokens": new.tokens,
        "tokens_since_champion": since.tokens,
        "champion": reign.number if reign is not None else None,
    }
