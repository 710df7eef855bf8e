"""The model: the *report file* of a run is `reports/NAME.html` beside the store, about an artifact and its lineage."""

from __future__ import annotations

from pathlib import Path

from flows.lineage import lineage
from flows.report import gather, write_report
from flows.report.gather import found_about, is_probe, newest
from flows.report.tongues import ENGLISH
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.store import Store


def report_path(store: Store, name: str) -> Path:
    return store.root.parent / "reports" / f"{name}.html"


def write_run_report(store: Store, artifact: Artifact, target: Path | None = None, tongue: str = ENGLISH) -> Path:
    """Write the report page; raises `RequestError` if the documents it began with are no longer in the store."""
    made = lineage(store, artifact)
    if "documents" not in made:
        raise RequestError(f"{artifact.reference}: the documents it was made from are not in {store.root}: nothing to report on")
    facts = gather(
        documents=made["documents"],
        tokenizer=made.get("tokenizer"),
        tokens=made.get("tokens"),
        pretrain=made.get("pretrain"),
        finetune=made.get("finetune"),
        evaluation=made.get("evaluate"),
        probes=[
            one for step in ("pretrain", "finetune") if step in made for one in newest(filter(is_probe, found_about(store, made[step])))
        ],
    )
    target = target or report_path(store, artifact.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_report(target, facts, tongue)
    return target
