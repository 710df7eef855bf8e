"""The model: an *example* is a text with *marked* spans, each of a kind; to *evaluate* redaction is to compare what it finds with
what is marked, kind by kind.

    precision   of the spans that were found, the share that overlap a marked span of their kind
    recall      of the marked spans, the share of which every character is in found spans, of whatever kind: nothing is left
    exact       of the marked spans, the share that were found with just these ends and this kind

A file is a JSON array or JSON lines of objects with `text` (or `full_text`) and `spans`, each with `start` and `end` (or
`start_position`, `end_position`) in characters and `kind` (or `entity_type`), as of presidio-research. Marks of other kinds
are nobody's fault: they are left out, and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from pipelines.redact.redactor import find
from schemas.arrow import REDACTED
from schemas.errors import RequestError

_NAMES = {
    "email_address": "email", "phone_number": "phone", "ip_address": "ip", "credit_card": "card", "credit_card_number": "card",
    "cn_id_card": "id_card", "cn_resident_id": "id_card", "api_key": "secret", "token": "secret", "password": "secret",
    "private_key": "secret", **{kind: kind for kind in REDACTED},
}  # fmt: skip
"""Names of kinds that other data sets use, in lower case."""


class Span(NamedTuple):
    """Characters `start` to `end` are a value of a kind."""

    start: int
    end: int
    kind: str


class Example(NamedTuple):
    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Score:
    """Of one kind; a share of nothing is null."""

    marked: int
    found: int
    precision: float | None
    recall: float | None
    exact: float | None


@dataclass(frozen=True)
class Scores:
    examples: int
    kinds: Mapping[str, Score]
    """Those that are marked or found."""
    left_out: Mapping[str, int]
    """Marks of other kinds, by their name."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(path: Path) -> Scores:
    """Scores of all kinds of redaction on a file of examples. Raises `RequestError` naming what is wrong with it."""
    examples, left_out = read_examples(path)
    found = found_in([example.text for example in examples])
    kinds = {}
    for kind in REDACTED:
        marked = [(n, span) for n, example in enumerate(examples) for span in example.spans if span.kind == kind]
        ours = [(n, span) for n, spans in enumerate(found) for span in spans if span.kind == kind]
        if marked or ours:
            right = sum(any(_overlap(span, mark) for mark in examples[n].spans if mark.kind == kind) for n, span in ours)
            covered = sum(_covered(mark, found[n]) for n, mark in marked)
            exact = sum(mark in found[n] for n, mark in marked)
            shares = _share(right, len(ours)), _share(covered, len(marked)), _share(exact, len(marked))
            kinds[kind] = Score(len(marked), len(ours), *shares)
    return Scores(len(examples), kinds, dict(sorted(left_out.items())))


def read_examples(path: Path) -> tuple[list[Example], Counter[str]]:
    """The examples of a file, and how many marks of other kinds it has, by name."""
    try:
        content = path.read_bytes()
        records = (
            orjson.loads(content) if content.lstrip().startswith(b"[") else [orjson.loads(line) for line in content.splitlines() if line]
        )
        examples, left_out = [], Counter[str]()
        for record in records:
            spans = []
            for mark in record["spans"]:
                name = str(mark["kind"] if "kind" in mark else mark["entity_type"])
                if (kind := _NAMES.get(name.lower())) is None:
                    left_out[name] += 1
                    continue
                start = mark["start"] if "start" in mark else mark["start_position"]
                spans.append(Span(int(start), int(mark["end"] if "end" in mark else mark["end_position"]), kind))
            examples.append(Example(str(record["text"] if "text" in record else record["full_text"]), tuple(spans)))
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path}: not a file of examples ({type(error).__name__}: {error}); want JSON objects with text and spans, "
            "and in each span start, end and kind"
        ) from error
    return examples, left_out


def found_in(texts: Sequence[str]) -> list[list[Span]]:
    """What is found in each text, in characters."""
    found: list[list[Span]] = [[] for _ in texts]
    for row, start, end, kind in zip(*find(pa.array(texts, pa.string()), REDACTED), strict=True):
        whole = texts[row].encode()
        before = len(whole[:start].decode())
        found[row].append(Span(before, before + len(whole[start:end].decode()), kind))
    return found


def _overlap(a: Span, b: Span) -> bool:
    return a.start < b.end and b.start < a.end


def _covered(mark: Span, found: Sequence[Span]) -> bool:
    at = mark.start
    for span in found:  # in order, none overlap
        if span.start <= at < span.end:
            at = span.end
    return at >= mark.end


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
