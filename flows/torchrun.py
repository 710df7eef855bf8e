"""The model: *torchrun* starts the ranks of a training on a machine, and starts them anew when one dies. With several machines there is one
torchrun on each; they *meet* at an address of the first machine, and share the store. `gristmill run` is the first machine's;
`gristmill join` that of every other.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.launch import run_child
from model.network import address_towards
from schemas.artifact import MANIFEST
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Run

STORE_PER_START = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
"""Ranks that are started anew would else read the addresses of the dead ones in the store of the first start (pytorch/pytorch#135712)."""


def torchrun(module: str, draft: Path, run: Run, *, first: bool = True) -> list[str]:
    """The command that trains on a draft, or this machine's part of it."""
    launcher = ["env", f"{STORE_PER_START}=1", sys.executable, "-m", "torch.distributed.run"]
    launcher += [f"--nproc-per-node={run.ranks // run.machines}"]
    launcher += [f"--max-restarts={run.restarts}", *(_meeting(draft, run, first) if run.meet else ["--standalone"]), "--no-python"]
    return [*launcher, sys.executable, "-m", "schemas.process", "-", sys.executable, "-m", module, str(draft)]


def _meeting(draft: Path, run: Run, first: bool) -> list[str]:
    assert run.meet is not None
    host, _, port = run.meet.rpartition(":")
    try:
        address = address_towards(host, int(port))
    except OSError as error:
        raise RequestError(f"run.meet: {run.meet}: can't be reached from {socket.gethostname()}: {error}") from error
    options = [f"--nnodes={run.machines}", "--rdzv-backend=c10d", f"--rdzv-endpoint={run.meet}", f"--rdzv-id={draft.name}"]
    return [*options, f"--rdzv-conf=is_host={str(first).lower()}", f"--local-addr={address}"]


def join(path: Path, say: Callable[[str], None]) -> None:
    """Be another machine of the training on the draft at ``path``, to its end. Raises `RequestError` if it wants none, `ChildFailed`."""
    draft = Draft.open(path)
    if (path / MANIFEST).is_file():
        say(f"{path}: is finished")
        return
    run = Run.model_validate(draft.task.get("run", {}))
    if not run.meet:
        raise RequestError(f"{path}: is trained on one machine: set run.machines and run.meet in the recipe, and run it again")
    log = Path(tempfile.mkdtemp(prefix="gristmill-join-")) / "log.txt"  # not with the draft: the first machine clears that away
    say(f"{path}: {run.ranks // run.machines} of {run.ranks} ranks here, meeting at {run.meet}; log in {log}")
    command, env = torchrun("model.train", draft.path.resolve(), run, first=False), {"OMP_NUM_THREADS": str(run.threads_per_rank)}
    run_child(command, log, lambda: None, env)
    say(f"{path}: trained")
