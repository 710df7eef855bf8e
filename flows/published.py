"""The model: what a run *publishes* is small Prefect artifacts about what it makes, for people who look at a run in the browser: a table of
the ledger or of metrics, facts, a link to the report; and while a step works, its *progress*. The figures themselves are in the store.
"""

from __future__ import annotations

import contextvars
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.ensure import Outcome
from flows.evaluated import results_of
from flows.progress import Progress, quantity
from schemas.artifact import Artifact

Json = dict[str, Any]

EVERY = 5.0
"""Seconds between updates of a progress."""
_SHOWN = 300
"""Characters of a fact."""


def key_of(name: str, what: str) -> str:
    """What Prefect takes as the key of an artifact: small letters, digits and dashes.

    >>> key_of("My_corpus.v2", "tokens")
    'my-corpus-v2-tokens'
    """
    return re.sub(r"[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")


def publish_step(outcome: Outcome) -> None:
    """Publish what a step came to: its ledger, or the facts of its parts; and what an evaluation found."""
    manifest = outcome.artifact.manifest
    about = f"{outcome.artifact.reference}, fingerprint {manifest.fingerprint[:8]}, {outcome.action}"
    if manifest.ledgers:
        publish_table(key_of(manifest.name, outcome.step), _ledger_rows(outcome.artifact), about)
        return
    facts = "\n".join(f"- **{k}**: `{str(v)[:_SHOWN]}`" for part in manifest.parts[:1] for k, v in part.facts.items())
    publish_page(manifest.name, outcome.step, f"{about}\n\n{facts}", about)
    if outcome.artifact.kind == "evaluation" and (rows := _metric_rows(outcome.artifact)):
        publish_table(key_of(manifest.name, f"{outcome.step}-metrics"), rows, about)


def publish_page(name: str, what: str, markdown: str, about: str | None = None) -> None:
    """Publish a page about `what` of the recipe `name`; the key is the same each time, so that its history can be read."""
    create_markdown_artifact(key=key_of(name, what), markdown=markdown, description=about)


def publish_table(key: str, rows: Sequence[Mapping[str, Any]], about: str) -> None:
    create_table_artifact(key=key, table=[dict(row) for row in rows], description=about)


def publish_report(name: str, path: Path) -> None:
    """Publish a link to the report page of a run, and where it lies: a browser follows it only if it may open files."""
    create_link_artifact(key=key_of(name, "report"), link=path.resolve().as_uri(), link_text=path.name, description=f"`{path.resolve()}`")


def _ledger_rows(artifact: Artifact) -> list[Json]:
    """One row a source; each has all reasons, as the browser takes the columns from the first one."""
    ledgers = artifact.manifest.ledgers
    reasons = sorted({reason for ledger in ledgers.values() for reason in ledger.rejected})
    return [
        {
            "source": source,
            "read": ledger.records_read,
            "kept": ledger.records_kept,
            "failed": ledger.records_failed,
            **{f"rejected: {reason}": ledger.rejected.get(reason, 0) for reason in reasons},
        }
        for source, ledger in ledgers.items()
    ]


def _metric_rows(artifact: Artifact) -> list[Json]:
    """One row a task and system, with the metric that decides and its interval."""
    rows = []
    for result in results_of(artifact):
        for system, measures in result.systems.items():
            if (measure := measures.get(result.headline)) is not None:
                low, high = measure.interval or (None, None)
                row = {"task": result.task, "system": system, "metric": result.headline, "value": measure.value}
                rows.append({**row, "95 % from": low, "to": high, "items": result.n})
    return rows


class PublishedProgress:
    """A step's progress as a Prefect artifact that is kept up to date from a thread of its own: a server that is slow, or away for a
    while, must not hold the work up. Call it with what is known, as often as you like; nothing is published before it was called."""

    def __init__(self, key: str, about: str) -> None:
        self._key, self._about = key, about
        self._last: Progress | None = None
        self._id: UUID | None = None
        self._stop = threading.Event()

    def __call__(self, progress: Progress) -> None:
        self._last = progress

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._keep,), name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._last is not None and kind is None:
            self._thread.join(EVERY)
            self._tell(Progress(1, 1, "", "done"))

    def _keep(self) -> None:
        told: Progress | None = None
        while not self._stop.wait(EVERY if told else 1.0):
            if self._last is not None and self._last != told:
                self._tell(told := self._last)

    def _tell(self, progress: Progress) -> None:
        share = 100.0 * progress.done / progress.total if progress.total else 0.0
        amount = f"{quantity(progress.done, progress.unit)} of {quantity(progress.total, progress.unit)}" if progress.unit else ""
        text = f"{self._about}: {', '.join(filter(None, (amount, progress.note)))}"
        try:
            if self._id is None:
                self._id = cast(UUID, create_progress_artifact(progress=min(share, 100.0), key=self._key, description=text))
            else:
                update_progress_artifact(self._id, min(share, 100.0), text)
        except Exception as error:  # of the network, of the server: the next one tells more anyway
            get_run_logger().debug("progress was not published: %s", error)
