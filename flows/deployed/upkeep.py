"""The model: *upkeep* of a store, as tasks: a sweep, which removes only if asked to; audits of a sample; who holds which step."""

from __future__ import annotations

import random
import time
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.gc import Rules, examine, remove
from flows.gc.lines import seconds
from flows.lineage import made_from
from flows.progress import quantity
from flows.published import key_of, publish_table
from schemas.artifact import Damaged
from schemas.audit import audit
from schemas.lease import Lease
from schemas.store import LEASES, Store

_TOLD = 500
"""Rows of a table in the browser."""


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="sweep")
def sweep_task(store: str, keep: int, grace: str, yes: bool) -> str:
    """Show what stays and what may go; remove that if `yes`."""
    opened, rules = Store(store), Rules(keep, seconds(grace))
    findings = examine(opened, rules, time.time())
    going = [row for row in findings.rows() if not row["stays"]]
    kept = remove(opened, rules, findings) if yes and going else []
    shown: list[dict[str, Any]] = [{"path": r["path"], "what": r["what"], "bytes": r["bytes"], "why": r["why"]} for r in going[:_TOLD]]
    done = f"{len(going) - len(kept):,} removed" if yes else f"{len(going):,} may go, {quantity(findings.bytes, 'bytes')}"
    publish_table(key_of("sweep", opened.root.name), shown or [{"path": "", "what": "nothing may go"}], f"{opened.root}: {done}")
    for row in kept:
        get_run_logger().info(f"kept {row['path']}: {row['why']}")
    return done


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="leases")
def leases_task(store: str) -> str:
    """Tell who works on what. A lease whose owner died is free by that; nothing needs to be done."""
    held = []
    for folder in sorted({path.parent for path in (Store(store).root / LEASES).rglob("*.json")}):
        if (holder := Lease(folder, lambda _: None).holder()) is not None:
            held.append({"step": folder.relative_to(Store(store).root / LEASES).as_posix(), "holder": holder})
    publish_table(key_of("leases", Store(store).root.name), held or [{"step": "none is held", "holder": ""}], f"leases of {store}")
    return f"{len(held)} held"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="audit {reference}")
def audit_task(store: str, reference: str) -> list[str]:
    """What is wrong with an artifact, derived from its files."""
    opened = Store(store)
    try:
        found = opened.find(reference)
        findings = audit(found, made_from(opened, found, "documents"))
    except Damaged as error:
        findings = [str(error)]
    for finding in findings:
        get_run_logger().error(finding)
    get_run_logger().info(f"{reference}: {len(findings)} findings")
    return findings


def sample(store: Store, count: int) -> list[str]:
    """References of artifacts, drawn by lot."""
    listed = [artifact.reference for artifact in store.artifacts()]
    return sorted(random.sample(listed, min(count, len(listed))))
