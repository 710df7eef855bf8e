"""The model: *spared* modules are optional parts of packages that no job of ours uses, and that a process would pay for all the
same: half of the time that Beam takes to import, and 60 MB. Beam and pyarrow do without them where they aren't installed; so
a process of ours says that they aren't.

(A `None` in `sys.modules` says so too, but pyarrow takes it for the module: Cython looks there by itself.)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

SPARED = frozenset({"pandas", "pymongo", "apache_beam.io.gcp.bigquery"})


class _Spared(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname in SPARED:
            raise ModuleNotFoundError(f"{fullname} is spared: see {__file__}", name=fullname)
        return None


def spare() -> None:
    """Call this first in a process that is ours from start to end; what is imported already stays."""
    sys.meta_path.insert(0, _Spared())
