from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from schemas.recipe import Rules


def judge(
    signals: pa.StructArray, langs: Sequence[str], lang_scores: Sequence[float], rules: Mapping[str, Rules]
) -> list[tuple[str, str] | None]:
    """Reason and detail of the first rule each document fails, in the order of `Rules`' fields; None if it is kept."""
    raise NotImplementedError
