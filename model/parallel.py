"""The model: a *rank* is one process of a training. Ranks hold equal weights, take equal shares of each batch, and meet in
two all-reduces a step: of gradients, inside DDP, and of a small *verdict* that says whether all may go on.

Modules know nothing of this. One process without torchrun is a group of one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.device import CPU, backends, prepare
from model.memory import keep_freed_memory
from model.network import use_the_way_to_others
from schemas.errors import RequestError
from schemas.process import die_with_parent

BUCKET_MIB = 1 << 16


class Stopped(Exception):
    """Some rank was asked to stop (SIGTERM)."""


class NotFinite(RequestError):
    """The loss or the gradient norm of some rank is infinite or not a number."""


@dataclass(frozen=True)
class Verdict:
    """What all ranks agree on after a backward pass."""

    loss: float
    """Mean over ranks, nats a token."""
    finite: bool
    stop: bool


class Ranks:
    """The group of processes of a training, this one's number in it, its device, and its stop flag."""

    def __init__(self, rank: int, count: int, device: torch.device = CPU) -> None:
        self.rank, self.count, self.device = rank, count, device
        self.stop_asked = False

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, loss: Tensor, norm: Tensor) -> Verdict:
        """All-reduce this rank's loss, whether loss and gradient norm are finite, and its stop flag."""
        value = float(loss.detach())
        bad = not (torch.isfinite(loss.detach()) and torch.isfinite(norm))
        message = torch.tensor([0.0 if bad else value, float(bad), float(self.stop_asked)], dtype=torch.float64)
        dist.all_reduce(message)
        total, bad_ranks, stops = message.tolist()
        return Verdict(total / self.count, bad_ranks == 0, stops > 0)

    def add(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the ranks."""
        if self.count > 1:  # a group of one may be within a larger one: of ranks that do the same
            dist.all_reduce(values)
        return values

    @torch.no_grad()
    def hand_round(self, tensors: Sequence[Tensor], owner: int) -> None:
        """Give every rank the values that rank ``owner`` has in these tensors, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.broadcast(flat, src=owner)
        if self.rank != owner:
            for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(values.view_as(tensor))

    def first_decides(self, choice: bool) -> bool:
        """Rank 0's choice, on all ranks."""
        box = torch.tensor([int(choice)])
        dist.broadcast(box, src=0)
        return bool(box.item())

    def gather(self, text: str) -> list[str]:
        """The texts of all ranks, in order of rank, on all ranks."""
        mine = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(mine)]))
        longest = max(int(size) for size in sizes)
        found = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(found, nn.functional.pad(mine, (0, longest - len(mine))))
        return [bytes(row[: int(size)].tolist()).decode() for row, size in zip(found, sizes, strict=True)]

    def meeting(self) -> dist.ProcessGroup:
        """Another group of the same ranks, for threads beside those that take the steps."""
        return dist.new_group(backend="gloo")

    def wait(self) -> None:
        """Return when all ranks got here."""
        dist.barrier()

    def replicate(self, module: nn.Module) -> DistributedDataParallel:
        """The module as a replica: gradients are averaged over ranks in one bucket at the end of each backward pass."""
        return DistributedDataParallel(module, bucket_cap_mb=BUCKET_MIB, gradient_as_bucket_view=True)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.stop_asked = True


@contextmanager
def ranks(threads: int, device: torch.device = CPU) -> Iterator[Ranks]:
    """Join the group that torchrun made (or be a group of one), with ``threads`` threads and deterministic algorithms.

    SIGTERM sets the stop flag. The process keeps the memory that it frees, ever after. Under torchrun a rank dies with its launcher.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    keep_freed_memory()
    prepare(device)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent()
        use_the_way_to_others()
        dist.init_process_group(backends(device))
    else:
        dist.init_process_group(backends(device), store=dist.HashStore(), rank=0, world_size=1)
    group = Ranks(dist.get_rank(), dist.get_world_size(), device)
    handler = signal.signal(signal.SIGTERM, group._ask)
    try:
        yield group
    finally:
        signal.signal(signal.SIGTERM, handler)
        dist.destroy_process_group()
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
