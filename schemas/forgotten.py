"""The model: a *mark* beside a version says that documents were forgotten which it holds, or was made from. It is no content: no digest
covers it. A *retired* version is no longer read: it waits for `gristmill gc`, which leaves of it only what living versions inherit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from schemas.files import replace as replace_file
from schemas.fingerprint import canonical_json, read_json

MARK = "forgotten.json"


@dataclass(frozen=True)
class Mark:
    """See the module."""

    by: str
    """Reference of the version of documents that does without them."""
    documents: int
    """How many of them it holds; 0 for what was only made from such a version."""
    retired: bool = False

    @property
    def told(self) -> str:
        """The same in words."""
        what = f"holds {self.documents:,} rows of" if self.documents else "was made from"
        return f"{what} documents that were forgotten, see {self.by}"


def read_mark(version: Path) -> Mark | None:
    """The mark of a version's folder, if it has one."""
    path = version / MARK
    return Mark(**read_json(path)) if path.is_file() else None


def set_mark(version: Path, mark: Mark) -> None:
    """Mark a version, or mark it anew; what is retired stays so."""
    before = read_mark(version)
    if before is not None and before.retired:
        mark = replace(mark, retired=True)
    if mark != before:
        replace_file(version / MARK, canonical_json(asdict(mark)))


def is_retired(version: Path) -> bool:
    mark = read_mark(version)
    return mark is not None and mark.retired
