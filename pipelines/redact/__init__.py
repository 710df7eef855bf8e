"""The model: *redaction* finds what tells who somebody is or opens what is theirs, and puts a typed placeholder there.

`find` says where values are, `redact` replaces them, `redact_json` does so in the strings of a JSON object, and
`redact_rejects` in what is kept of a record that is not.
"""

from __future__ import annotations

from pipelines.redact.fields import redact_json
from pipelines.redact.redactor import FINDERS, Found, Redacted, find, redact
from pipelines.redact.rejects import redact_rejects

__all__ = ["FINDERS", "Found", "Redacted", "find", "redact", "redact_json", "redact_rejects"]
