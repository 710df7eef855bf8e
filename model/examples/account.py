"""The model: an *account* says of each file: read = kept + rejected, by reason. A *reject* is a row that is no example of any subset: it
could not be made one, was there before, or has its like in a subset that it would give away (a *leak*).

Reasons of rows that could not be made: `invalid_json`, `invalid_csv`, `not_an_object`, `wrong_columns`, `missing_field`, `wrong_type`,
`empty_text`, `undecodable`, `wrong_length`, `invalid_tags`, `answer_not_found`, `wrong_role`. Of those that could: `duplicate`, `merged`
(what it has to say went to the row with the same input), `label_conflict`, `leak`, `near_leak`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.examples.kinds import Example
from schemas.arrow import SUBSETS

TEXT = 200
"""Characters of a leak's texts that are kept."""


@dataclass(frozen=True)
class Reject:
    """A row that was not kept."""

    file: str
    place: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Item:
    """An example and where it is from."""

    example: Example
    file: str
    place: str
    group: str | None = None

    @property
    def where(self) -> str:
        return f"{self.place} of {self.file}"

    def reject(self, reason: str, detail: str) -> Reject:
        return Reject(self.file, self.place, reason, detail)


@dataclass(frozen=True)
class Account:
    """Rows of one file."""

    read: int
    kept: Mapping[str, int]
    """By subset."""
    rejected: Mapping[str, int]
    """By reason."""
    mended: Mapping[str, int]
    """Of those read, by what was mended; in no sum."""

    def imbalance(self) -> str | None:
        """What does not add up, in words."""
        kept, rejected = sum(self.kept.values()), sum(self.rejected.values())
        return None if self.read == kept + rejected else f"{self.read:,} rows read, but {kept:,} kept and {rejected:,} rejected"


@dataclass(frozen=True)
class Leak:
    """An example that was dropped since a subset that judges has its like."""

    subset: str
    """That it was dropped from."""
    id: str
    of_subset: str
    of_id: str
    similarity: float
    """Jaccard index of their shingles; 1 if they are equal."""
    text: str
    """What was compared of the first, and of the other one: at most TEXT characters."""
    of_text: str


@dataclass(frozen=True)
class Report:
    """What reading a task's data found."""

    files: Mapping[str, Account]
    rejects: tuple[Reject, ...]
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    """What whoever reads a result must know, in sentences."""

    @property
    def rejected(self) -> dict[str, int]:
        """Rows of all files by reason."""
        return dict(Counter(reject.reason for reject in self.rejects).most_common())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def account(
    read: Mapping[str, int], kept: Mapping[str, Sequence[Item]], rejects: Iterable[Reject], mended: Mapping[str, Counter[str]]
) -> dict[str, Account]:
    """The account of each file, from the rows that it has, the items of each subset and all rejects. An account that does not balance is a
    bug, and ends it: rows would have been lost."""
    by_file: dict[str, Counter[str]] = {file: Counter() for file in read}
    reasons: dict[str, Counter[str]] = {file: Counter() for file in read}
    for subset in SUBSETS:
        for item in kept[subset]:
            by_file[item.file][subset] += 1
    for reject in rejects:
        reasons[reject.file][reject.reason] += 1
    accounts = {file: Account(read[file], dict(by_file[file]), dict(reasons[file]), dict(mended[file])) for file in read}
    for file, of_file in accounts.items():
        if problem := of_file.imbalance():
            raise AssertionError(f"{file}: {problem}")
    return accounts
