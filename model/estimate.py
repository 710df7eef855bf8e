"""The model: an *estimate* says, before a pretraining starts, what it will take: memory of a rank (its process, and the footprint of what
it computes), tokens a second, time. Speed is this machine's measured peak of matrix products times a *utilization*, which is that of
the most similar run known here, or else a guess from the width; where the memory does not suffice, it says what to change.

    python -m model.estimate < REQUEST        one JSON object in, one out; see `request`
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from model.device import CPU, cards_here, choose_device, memory, processor, taken_bytes
from model.families import stays_uncompiled
from model.footprint import Footprint, footprint
from model.hardware import compiler_problem
from model.phases import stages
from model.speed import matmul_rate
from schemas.errors import RequestError
from schemas.recipe import Pretrain, Run

GUESSES = ((128, 0.15), (256, 0.35), (512, 0.5))
"""Utilization by width, in bf16 and compiled; linear between them."""
UNCOMPILED = 0.6
"""Times that, about, without a compiler."""
SPARE = 0.9
"""Of the machine's memory that ranks may take: flows, the system and its cache of files want some."""
CHUNKS, MOST_PARTS = 1024, 1024


@dataclass(frozen=True)
class Known:
    """A run that was measured."""

    artifact: str
    cpu: str
    """Or its card."""
    precision: str
    compiled: bool
    width: int
    utilization: float


@dataclass(frozen=True)
class Estimate:
    """What a pretraining will take; bytes are of one rank."""

    ranks: int
    steps: int | None
    tokens: int | None
    """None: as many as the recipe's epochs have, which its tokens will tell."""
    process: int
    footprint: Footprint
    machine: int
    """Bytes of memory that there are."""
    peak: float
    """Operations a second of all ranks."""
    utilization: float
    utilization_of: str | None
    """The run that had it; None: a guess."""
    advice: tuple[str, ...]
    """What to change, if the memory does not suffice."""

    @property
    def rank_bytes(self) -> int:
        return self.process + self.footprint.bytes

    @property
    def suffices(self) -> bool:
        return fits(self.ranks, self.rank_bytes, self.machine)

    @property
    def tokens_per_second(self) -> float:
        return self.peak * self.utilization / self.footprint.operations

    @property
    def seconds(self) -> float | None:
        return None if self.tokens is None else self.tokens / self.tokens_per_second

    def as_json(self) -> dict[str, Any]:
        told = {"rank_bytes": self.rank_bytes, "suffices": self.suffices, "seconds": self.seconds}
        return {**asdict(self), **told, "tokens_per_second": self.tokens_per_second, "advice": list(self.advice)}


def fits(ranks: int, rank_bytes: int, machine: int) -> bool:
    return ranks * rank_bytes <= SPARE * machine


def estimate(
    settings: Pretrain,
    vocabulary: Mapping[str, Any],
    run: Run,
    *,
    process: int,
    machine: int,
    peak: float,
    compiled: bool,
    cpu: str,
    known: Sequence[Known],
    device: torch.device = CPU,
) -> Estimate:
    """``process``: bytes that a rank takes before it has a model; ``machine``: bytes of memory; ``compiled``: whether it can be; ``cpu``:
    the name of what computes."""
    found = footprint(settings, vocabulary, run.readers, compiled, device)
    share, of = utilization(settings, compiled, cpu, known)
    advice: tuple[str, ...] = ()
    if not fits(run.ranks, process + found.bytes, machine):
        advice = tuple(_advice(settings, vocabulary, run, process, machine, compiled, device)) or (
            "nothing short of a smaller model or more memory: its weights, gradients and moments alone are too much",
        )
    steps, tokens = settings.steps, None
    if steps is not None:
        rows = stages(settings)
        ends = [*(row.step for row in rows[1:]), steps]
        tokens = sum((end - row.step) * row.batch * row.context for row, end in zip(rows, ends, strict=True))
    return Estimate(run.ranks, steps, tokens, process, found, machine, peak, share, of, advice)


def utilization(settings: Pretrain, compiled: bool, cpu: str, known: Sequence[Known]) -> tuple[float, str | None]:
    """The share of the peak to expect, and the run of this machine that had it, the most like it in width; without one, a guess."""
    width = settings.architecture.width
    like = [run for run in known if (run.cpu, run.precision, run.compiled) == (cpu, settings.precision, compiled)]
    if like:
        nearest = min(like, key=lambda run: abs(math.log(run.width / width)))
        return nearest.utilization, nearest.artifact
    widths, shares = zip(*GUESSES, strict=True)
    return float(np.interp(width, widths, shares)) * (1 if compiled else UNCOMPILED), None


def _advice(
    settings: Pretrain, vocabulary: Mapping[str, Any], run: Run, process: int, machine: int, compiled: bool, device: torch.device
) -> Iterator[str]:
    """The least change of each kind that makes it fit, with what a rank takes then."""
    for name, choices in _choices(settings, run, compiled, device):
        for said, changed, ranks in choices:
            try:
                readers = run.model_copy(update={"ranks": ranks}).readers
                size = process + footprint(changed, vocabulary, readers, compiled, device).bytes
            except RequestError:  # it does not divide
                continue
            if fits(ranks, size, machine):
                yield f"{name}: {said}, {gigabytes(size)} a rank"
                break


def _choices(settings: Pretrain, run: Run, compiled: bool, device: torch.device) -> Iterator[tuple[str, list[tuple[str, Pretrain, int]]]]:
    share = min(stage.batch for stage in stages(settings)) // run.readers
    parts = [parts for parts in range(settings.accumulate + 1, min(share, MOST_PARTS) + 1) if share % parts == 0]
    yield "pretrain.accumulate", [(str(n), settings.model_copy(update={"accumulate": n}), run.ranks) for n in parts]
    if not compiled and (settings.loss_chunk or CHUNKS + 1) > CHUNKS:
        yield "pretrain.loss_chunk", [(str(CHUNKS), settings.model_copy(update={"loss_chunk": CHUNKS}), run.ranks)]
    if not settings.phases:
        sizes = [size for size in (settings.batch // 2**n for n in range(1, 10)) if size and size % run.readers == 0]
        yield "pretrain.batch", [(str(size), settings.model_copy(update={"batch": size}), run.ranks) for size in sizes]
    if device.type == "cuda":  # each rank has a card to itself: fewer ranks leave it no more
        return
    cores = run.ranks * run.threads_per_rank
    fewer = [n for n in range(run.ranks - 1, 0, -1) if cores % n == 0]
    yield "run.ranks", [(f"{n} with run.threads_per_rank: {cores // n}", settings, n) for n in fewer]


def lines(found: Estimate) -> list[str]:
    """For people."""
    f = found.footprint
    moments = f"{megabytes(f.moments)} moments" + (f", {megabytes(f.average)} average" if f.average else "")
    moments += f", {megabytes(f.checkpoint)} checkpoint"
    parts = f"{megabytes(found.process)} process, {megabytes(f.weights)} weights, {megabytes(f.gradients)} gradients, {moments}"
    tokens = f"{found.steps:,} steps, {found.tokens:,} tokens" if found.tokens is not None else "as many tokens as its epochs have"
    source = f"as {found.utilization_of} had it here" if found.utilization_of else "a guess from the width"
    told = [
        f"{f.parameters:,} parameters, {tokens}",
        f"memory {gigabytes(found.rank_bytes)} a rank: {parts}, {megabytes(f.activations)} activations, {megabytes(f.logits)} logits",
        f"about {found.tokens_per_second:,.0f} tokens/s, {found.utilization:.0%} ({source}) of this machine's "
        f"{found.peak / 1e9:,.0f} billion operations/s" + (f": {_time(found.seconds)}" if found.seconds is not None else ""),
    ]
    if not found.suffices:
        need = f"{found.ranks} ranks take {gigabytes(found.ranks * found.rank_bytes)}" if found.ranks > 1 else "the rank takes too much"
        told.append(f"WARNING: {need}, and this machine has {gigabytes(found.machine)}. What would do: {'; or '.join(found.advice)}")
    return told


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else gigabytes(size)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def _time(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.0f} s"


def request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate for ``{"settings": Pretrain, "vocabulary": a tokenizer's facts, "run": Run, "known": [Known]}``, on this machine, now; with
    its ``lines``."""
    import model.trainer  # noqa: F401  (what a rank holds, too)

    settings, run = Pretrain.model_validate(asked["settings"]), Run.model_validate(asked["run"])
    device = choose_device(run.device, cards_here(), 0, run.ranks // run.machines)
    process = taken_bytes(device)
    torch.set_num_threads(max(min(run.ranks * run.threads_per_rank, os.cpu_count() or 1), 1))
    peak = matmul_rate(torch.bfloat16 if settings.precision == "bf16" else torch.float32, device)
    peak *= run.ranks if device.type == "cuda" else 1  # on the CPU it was that of all ranks' threads
    compiled = settings.compile and not (stays_uncompiled(settings.model) or compiler_problem())
    found = estimate(
        settings, asked["vocabulary"], run, process=process, machine=memory(device, run.ranks), peak=peak,
        compiled=compiled, cpu=processor(device), known=[Known(**run) for run in asked["known"]], device=device,
    )  # fmt: skip
    return {**found.as_json(), "lines": lines(found)}


def main() -> int:
    try:
        print(json.dumps(request(json.load(sys.stdin))))
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
