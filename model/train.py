"""The model: *pretraining* turns a tokens artifact into a model artifact, by a *trainer* on each rank (`model.trainer`). A run that was
killed goes on from its newest durable checkpoint and ends in the same bits.

    torchrun --standalone --nproc-per-node=2 -m model.train DRAFT        or, as one process: python -m model.train DRAFT

Exit 0: the model's part is recorded. Exit 75: stopped by SIGTERM after a checkpoint; start it again to go on (torchrun
itself then exits with 1). Exit 1: an error, in one line. A rank that died is torchrun's to restart: `model.restarts`.
"""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError

from model.device import device_of_rank
from model.numa import near_its_memory
from model.parallel import Stopped, ranks
from model.restarts import give_up, worth_trying
from model.trainer import STAGE, Trainer
from schemas.artifact import Damaged
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Challenger

EXIT_STOPPED = 75


def main(arguments: list[str]) -> int:
    """Run the step on the draft at ``arguments[0]``; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m model.train DRAFT", file=sys.stderr)
        return 2
    try:
        draft = Draft.open(arguments[0])
        if draft.part(STAGE, "model"):
            return 0
        settings = Challenger.model_validate(draft.settings)
        if not worth_trying(draft.scratch()):
            return 1
    except (RequestError, Damaged, ValidationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # Kernels are kept with the draft: a resumed run needs no second compilation, and nothing is left in the home folder.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(draft.scratch() / "kernels")
    run = draft.task["run"]
    try:
        device = device_of_rank(run.get("device", "auto"))
    except RequestError as error:
        give_up(draft.scratch(), str(error))
        return 1
    threads = int(run.get("threads_per_rank", 1))
    with near_its_memory(threads), ranks(threads, device) as group:
        try:
            Trainer(draft, settings, group).run()
        except Stopped as stopped:
            print(stopped, file=sys.stderr, flush=True)
            return EXIT_STOPPED
        except (RequestError, Damaged) as error:
            give_up(draft.scratch(), str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
