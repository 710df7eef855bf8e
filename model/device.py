"""The model: *the device* of a rank is what it computes on: its machine's *CPU*, or a *card* (CUDA) of its own. Weights, moments and what
passes read lie there; batches are assembled on the CPU, and the few numbers by which ranks agree stay there. What differs between devices
is in this file; other modules ask it, or the tensors that they are given.

The *environment* is what decides bits beside data and settings: torch, precision, compiled or not, ranks, and the card, or CPU and threads.
A run resumes only in the environment that it began in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from model.hardware import cpu_name, peak_bytes
from schemas.errors import RequestError

CPU = torch.device("cpu")


def device_of_rank(asked: str) -> torch.device:
    """What this rank computes on, as `run.device` asks. Raises RequestError where there is no such thing."""
    return choose_device(asked, cards_here(), int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def left_idle(asked: str, device: torch.device) -> str | None:
    """What to say if `auto` took the CPU of a machine that has cards."""
    if asked != "auto" or device.type == "cuda" or not cards_here():
        return None
    return f"training on the CPU, as not each rank here has a card of its own: set run.ranks to {cards_here()} a machine to train on cards"


def cards_here() -> int:
    """Cards of this machine that torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def choose_device(asked: str, cards: int, rank: int, ranks: int) -> torch.device:
    """Of rank ``rank`` of the ``ranks`` on a machine with so many cards: `auto` takes cards if there is one for each."""
    if asked == "cpu" or (asked == "auto" and cards < ranks):
        return CPU
    if cards < ranks:
        seen = f"{cards} card{'s' if cards > 1 else ''}" if cards else "no card"
        raise RequestError(
            f"run.device: cuda: torch sees {seen} on this machine, and {ranks} rank{'s want one each' if ranks > 1 else ' wants one'}: "
            + (f"set run.ranks to {cards} a machine, or run.device: cpu" if cards else "install a torch for CUDA, or set run.device: cpu")
        )
    return torch.device("cuda", rank)


def prepare(device: torch.device) -> None:
    """Have this process compute on a device, by kernels whose sums are the same each time."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.cuda.set_device(device)


def backends(device: torch.device) -> str:
    """By what ranks send each other tensors of either kind."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def computing(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Within, products of float32 tensors are computed in ``dtype``."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def settle(device: torch.device) -> None:
    """Return when the device has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory(device: torch.device, ranks: int) -> int:
    """Bytes that so many ranks of a machine have: what the machine has, or a card each."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) * ranks
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def taken_bytes(device: torch.device) -> int:
    """Memory of a process that has no model yet: of its card, what is not free."""
    if device.type == "cuda":
        free, there = torch.cuda.mem_get_info(device)
        return there - free
    return peak_bytes()


def most_bytes(device: torch.device) -> int:
    """The most memory that this process held: by its tensors on its card, or in all."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def processor(device: torch.device) -> str:
    """The name of what computes."""
    return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})" if device.type == "cuda" else cpu_name()


def environment(precision: str, compiled: bool, ranks: int, device: torch.device = CPU) -> dict[str, Any]:
    """The environment of this process, as JSON."""
    found = {"torch": torch.__version__, "precision": precision, "compiled": compiled, "ranks": ranks}
    if device.type == "cuda":
        return {**found, "device": device.type, "card": processor(device)}
    return {**found, "threads": torch.get_num_threads(), "cpu": processor(device)}


def random_states(device: torch.device, name: str) -> dict[str, Tensor]:
    """Torch's random state in this process by name: ``name`` has the CPU's, and ``name.card`` its card's, if it has one."""
    return {name: torch.get_rng_state(), **({f"{name}.card": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})}


def set_random_states(device: torch.device, name: str, states: Mapping[str, Tensor]) -> None:
    """Go on from what ``random_states`` gave."""
    torch.set_rng_state(states[name])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[f"{name}.card"], device)
