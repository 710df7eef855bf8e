"""The model: a *child* is the process that does a step's work on a draft: `python -m MODULE DRAFT`.

Exit 0: the work is recorded. Exit 1: an error that names what to mend, in one line. Exit 2: no draft was named.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from schemas.artifact import Damaged
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.faults import explain

RUN_FACTS = "run-facts.json"
"""In the scratch folder: what a child wants told in `run.json`, since it is no content of the artifact."""


def run_child(module: str, arguments: list[str], work: Callable[[Draft], None]) -> int:
    """Do `work` on the draft at `arguments[0]`; return the exit code."""
    if len(arguments) != 1:
        print(f"usage: python -m {module} DRAFT", file=sys.stderr)
        return 2
    try:
        work(Draft.open(arguments[0]))
    except (RequestError, Damaged) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        traceback.print_exc()
        print(f"error: {explain(error, Path(arguments[0]), module)}", file=sys.stderr, flush=True)
        return 1
    return 0
