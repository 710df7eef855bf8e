"""The model: a *reject* tells what was wrong with a record, in words that may quote it, and holds the record's text. Both are
redacted: what is not kept must not be where a value survives.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.redact.redactor import redact
from pipelines.stages import DETAIL_LIMIT
from schemas.recipe import Redact


def redact_rejects(rejects: pa.RecordBatch, settings: Redact, *, keep_raw: bool) -> pa.RecordBatch:
    """Rejects with redacted details, and redacted texts unless raw ones are asked for.

    If redaction itself is what can't be done, texts are left out and details say no more than that.
    """
    if not rejects.num_rows:
        return rejects
    placeholders = settings.placeholders
    columns = {name: rejects.column(name) for name in rejects.schema.names}
    # a detail of this length was cut, maybe in the middle of a value
    cut = pc.greater_equal(pc.utf8_length(columns["detail"]), DETAIL_LIMIT)
    whole_words = pc.replace_substring_regex(columns["detail"], r"\S*$", "")
    try:
        columns["detail"] = redact(pc.if_else(cut, whole_words, columns["detail"]), placeholders).texts
        if not keep_raw:
            columns["text"] = redact(pc.fill_null(columns["text"], ""), placeholders).texts
    except Exception as error:  # a record that no finder foresaw; rejects are the last place that a record comes to
        columns["detail"] = pa.array([f"not shown: redaction failed ({type(error).__name__})"] * rejects.num_rows, pa.string())
        if not keep_raw:
            columns["text"] = pa.nulls(rejects.num_rows, pa.string())
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=rejects.schema)
