"""The model: what a flow *publishes* are Prefect artifacts: what a step made, as a table of its ledger or a list of its facts, and pages of
Markdown. They are for reading; nothing of ours is decided by them.
"""

from __future__ import annotations

import re

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.ensure import Outcome


def publish_step(outcome: Outcome) -> None:
    """Publish the ledger of what a step made as a table if it has one, else the facts of its parts."""
    manifest = outcome.artifact.manifest
    about = f"{outcome.artifact.reference}, fingerprint {manifest.fingerprint[:8]}, {outcome.action}"
    if manifest.ledgers:
        rows = [
            {
                "source": source,
                "read": ledger.records_read,
                "kept": ledger.records_kept,
                "failed": ledger.records_failed,
                **{f"rejected: {reason}": n for reason, n in sorted(ledger.rejected.items())},
            }
            for source, ledger in manifest.ledgers.items()
        ]
        create_table_artifact(key=key_of(manifest.name, outcome.step), table=rows, description=about)
    else:
        facts = "\n".join(f"- **{k}**: `{str(v)[:300]}`" for part in manifest.parts[:1] for k, v in part.facts.items())
        publish_page(manifest.name, outcome.step, f"{about}\n\n{facts}")


def publish_page(name: str, what: str, markdown: str) -> None:
    """Publish a page about `what` of the recipe `name`; the key is the same each time, so that its history can be read."""
    create_markdown_artifact(key=key_of(name, what), markdown=markdown)


def key_of(name: str, what: str) -> str:
    """What Prefect takes as the key of an artifact.

    >>> key_of("My_corpus.v2", "tokens")
    'my-corpus-v2-tokens'
    """
    return re.sub(r"[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")
