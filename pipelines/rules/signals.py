from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def measure(texts: Sequence[str], langs: Sequence[str]) -> pa.StructArray:
    """Signals of each text: a struct array of float32 fields `schemas.arrow.SIGNALS`, row i for text i."""
    raise NotImplementedError


def engines() -> dict[str, str]:
    """Versions of what decides the signals, for fingerprints."""
    raise NotImplementedError
