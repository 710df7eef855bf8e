"""The model: a process that trains keeps the memory that it frees."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

BLOCKS = """
import resource
from contextlib import nullcontext
import torch
from model.parallel import ranks

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with {group}:
    for size in (1 << 20, 48 << 20, 80 << 20):
        for number in range(12):  # blocks of a size find their places in the first few rounds
            before = faults()
            torch.ones(size, dtype=torch.uint8)
        print((faults() - before) / (size / resource.getpagesize()))
"""


def shares_of_pages(group: str) -> list[float]:
    """Of blocks of three sizes that were taken and freed before: how many of their pages had to be asked for again."""
    done = subprocess.run([sys.executable, "-c", BLOCKS.format(group=group)], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_was_freed_is_used_again() -> None:
    assert max(shares_of_pages("ranks(1)")) < 0.05
    assert max(shares_of_pages("nullcontext()")) > 0.9  # else it is of no use any more
