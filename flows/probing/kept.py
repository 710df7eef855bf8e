"""The model: what a probe found is *kept* in an evaluation: its result, and details to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from flows.evaluated import details_of, results_of
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.fingerprint import digest_file
from schemas.results import Result

RUN = "run"
"""Input of what is told by a model's `run.json`."""


@dataclass(frozen=True)
class Kept:
    """A probe's report, and where it is kept."""

    result: Result
    details: Mapping[str, Any]
    evaluation: Artifact

    def as_json(self, model: str) -> dict[str, Any]:
        return {"model": model, "result": self.result.as_json(), "details": dict(self.details)}


def kept_in(evaluation: Artifact) -> Kept:
    """The report of a probe's evaluation. Raises `Damaged` naming the file."""
    (result,), details = results_of(evaluation), details_of(evaluation)
    return Kept(result, details[result.task], evaluation)


def quoted(details: Mapping[str, Any], tokens: Artifact, model: Artifact) -> dict[str, Any]:
    """Details of `memorisation` with the text of each span, read where it stands in the tokens that were searched."""
    spans = [*details["examples"], *filter(None, [details["longest"]])]
    rows = dict(_rows(tokens, {bytes.fromhex(span["doc_id"]) for span in spans}))
    tokenizer = Tokenizer.from_file(str(model.paths("tokenizer")[0]))

    def with_text(span: Mapping[str, Any]) -> dict[str, Any]:
        return {**span, "text": tokenizer.decode(rows[bytes.fromhex(span["doc_id"])][span["at"] : span["at"] + span["tokens"]])}

    longest = with_text(details["longest"]) if details["longest"] else None
    return {**details, "longest": longest, "examples": [with_text(span) for span in details["examples"]]}


def _rows(tokens: Artifact, doc_ids: set[bytes]) -> Iterator[tuple[bytes, list[int]]]:
    wanted = pa.array(sorted(doc_ids), pa.binary(16))
    for path in tokens.paths("tokens"):
        table = read_shard(path).select(["doc_id", "tokens"])
        for row in table.filter(pc.is_in(table.column("doc_id"), wanted)).to_pylist():
            yield row["doc_id"], row["tokens"]


def run_digest(model: Artifact) -> str:
    """Of what a model's `run.json` says, which no content digest covers."""
    path = model.path / "run.json"
    return digest_file(path) if path.is_file() else "none"
