"""The model: what a retraining came to is *announced* to whoever listens at the server: the newest decision, that a challenger was refused,
that it waits, or that it began a reign. What is to be announced is seen from the store, and a mark tells what was; so if a process is
killed between a reign and its event, the next retraining announces it before anything else.
"""

from __future__ import annotations

import uuid
from typing import Any

from prefect import get_run_logger

from flows.arriving.sent import mark_of, send, was_sent
from flows.retraining.decide import REFUSE, STEP, WAIT, read_decision
from schemas.artifact import Artifact
from schemas.champion import history
from schemas.store import Store

RESOURCE = "gristmill.champion."
"""In front of a recipe's name: the resource that the events are about."""
PROMOTED = "gristmill.champion.promoted"
_OF_VERDICT = {REFUSE: "gristmill.challenger.refused", WAIT: "gristmill.challenger.waits"}
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, RESOURCE)


def announce(store: Store, name: str) -> None:
    """Tell of the newest decision about a name, unless that was done. To be called in a flow run; what goes wrong is a warning in its log:
    what was done is done, whether or not anybody hears of it, and the next retraining tells it again."""
    try:
        decision = next((one for one in store.newest_first("decision", name) if one.manifest.identity.step == STEP), None)
        if decision is None or (event := event_of(store, decision)) is None:
            return
        mark, identity = mark_of(store, f"{name}@decision"), uuid.uuid5(_IDS, f"{event}/{decision.reference}")
        if not was_sent(mark, identity):
            send(mark, identity, event, {"prefect.resource.id": RESOURCE + name}, _payload(store, decision))
    except Exception as error:  # of a client, an address, a server or a disk
        get_run_logger().warning(f"the decision about {name} was not announced: {type(error).__name__}: {error}")


def event_of(store: Store, decision: Artifact) -> str | None:
    """What is to be told of a decision by now; None of one that is still to be carried out."""
    if any(reign.decision == decision.reference for reign in history(store.root, decision.name)):
        return PROMOTED
    return _OF_VERDICT.get(read_decision(decision)["verdict"])


def _payload(store: Store, decision: Artifact) -> dict[str, Any]:
    found = read_decision(decision)
    told = {"decision": decision.reference, "path": str(decision.path), "verdict": found["verdict"], "reasons": found["reasons"]}
    reigns = [reign for reign in history(store.root, decision.name) if reign.decision == decision.reference]
    return {**told, **({"reign": reigns[0].number, "models": dict(reigns[0].models)} if reigns else {})}
