"""The model: `python -m pipelines.tokenizer DRAFT` does the step's work on a draft, with as many threads as the run has workers."""

from __future__ import annotations

import os
import sys

from pipelines.tokenizer.step import run
from schemas.child import run_child
from schemas.draft import Draft


def _work(draft: Draft) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(draft.task["run"]["workers"])
    run(draft)


if __name__ == "__main__":
    sys.exit(run_child("pipelines.tokenizer", sys.argv[1:], _work))
