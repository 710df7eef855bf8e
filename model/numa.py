"""The model: a *node* is a part of a machine: some of its CPUs, and the memory that is near to them. On a machine of several nodes each
rank keeps to the CPUs of one; its memory follows, as Linux gives a process memory of the node that it first writes it from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

NODES = Path("/sys/devices/system/node")


@contextmanager
def near_its_memory(threads: int) -> Iterator[None]:
    """Within, this thread, and those that it starts, keep to the node of torchrun's rank; where one has all CPUs, to all."""
    ranks, rank = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # Linux has it
    mine = cpus_of_rank(NODES, before, rank, ranks, threads)
    if mine == before:
        yield
        return
    os.sched_setaffinity(0, mine)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpus_of_rank(folder: Path, allowed: Set[int], rank: int, ranks: int, threads: int) -> Set[int]:
    """The CPUs, of those ``allowed``, that a rank of a machine keeps to: neighbours share a node. All, if it is alone, or if a node is too
    small for the threads of its ranks. ``folder``: laid out as /sys/devices/system/node."""
    nodes = [cpus for cpus in (found & allowed for found in nodes_of(folder)) if cpus]
    if ranks == 1 or len(nodes) < 2:
        return allowed
    mine = rank * len(nodes) // ranks
    sharing = sum(other * len(nodes) // ranks == mine for other in range(ranks))
    return nodes[mine] if len(nodes[mine]) >= sharing * threads else allowed


def nodes_of(folder: Path) -> list[set[int]]:
    """The CPUs of each node, in order of the nodes; none of a machine that does not tell."""
    lists = sorted(folder.glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name.removeprefix("node")))
    return [cpus_in(path.read_text()) for path in lists]


def cpus_in(text: str) -> set[int]:
    """A list of CPUs as the kernel writes it: `0-3,8` is 0, 1, 2, 3 and 8."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return found
