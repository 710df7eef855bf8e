"""The model: an input is *settled* when nobody writes it any more; until then it *waits*, and is read another time.

Nothing tells for certain that a file is whole, so every sign must agree: its name is not one that writers give to unfinished files; nothing
of it (size, content, place) has changed for some seconds, by its times of modification and of change; it is the same after its digest was
computed as before; and, if the senders leave a *marker* behind each file or in each folder, that is there.

What lies at a URL is put there as a whole by most servers, and has no times to trust: there the name and the marker decide.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from pipelines.places import Place, place_of

_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", ".swp", "~")
"""Endings that browsers, copiers and editors give to what isn't finished; names that begin with a dot are rsync's and others'."""


@dataclass(frozen=True)
class Settling:
    """When an input counts as settled."""

    seconds: float
    """For which it must have been unchanged."""
    marker: str | None = None
    """With a dot in front, the ending of a file beside it (`a.jsonl.done`); else the name of one in its folder (`_SUCCESS`)."""

    def is_marker(self, uri: str) -> bool:
        """Whether a file is a marker itself, and so no input."""
        if self.marker is None:
            return False
        return uri.endswith(self.marker) if self.marker.startswith(".") else uri.rpartition("/")[2] == self.marker

    def why_waits(self, root: str, uri: str) -> str | None:
        """Why an input of a source waits; None: it doesn't. Raises `OSError`."""
        if is_unfinished(uri):
            return "its name is that of an unfinished file"
        if self.marker is not None and not self._marker_of(root, uri).exists():
            return f"its marker ({self.marker}) is not there"
        place = place_of(root, uri)
        if place.is_remote:
            return None
        status = os.stat(place.name)
        age = time.time() - max(status.st_mtime, status.st_ctime)
        if age < 0:
            return f"was changed {-age:.0f} s in the future, by the clock of its file system"
        return f"was changed {age:.0f} s ago" if age < self.seconds else None

    def _marker_of(self, root: str, uri: str) -> Place:
        marker = self.marker or ""
        return place_of(root, uri + marker if marker.startswith(".") else uri[: uri.rfind("/") + 1] + marker)


def is_unfinished(uri: str) -> bool:
    """Whether a name is one that writers give to files that aren't finished."""
    return any(name.startswith(".") for name in uri.split("/")) or uri.lower().endswith(_UNFINISHED)
