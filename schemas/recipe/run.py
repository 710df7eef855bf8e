"""The model: the section that says how and where a recipe runs; it is never part of an identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.recipe.section import Positive, Section

Timed = Literal["documents", "tokenizer", "tokens", "pretrain", "finetune", "evaluate"]


class Run(Section):
    """How and where it runs; never part of an identity."""

    store: str = ".gristmill/store"
    """Folder of the artifacts, relative to the working directory."""
    workers: Positive = 2
    """Processes of the data jobs."""
    runner: Literal["local", "flink", "spark", "dataflow"] = "local"
    """Beam runner of the documents step; local is FnApiRunner, in process for one worker. For others see docs/deploying.md."""
    runner_options: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], str] = {}
    """Options of that runner by Beam's names, such as `flink_master`; none of local."""
    min_free: Annotated[float, Field(ge=0, lt=1)] | Annotated[int, Field(ge=1)] = 0
    """What a step leaves free on the store's disk at least: bytes, or a share of the disk below 1. A step for which there isn't room is
    not begun."""
    ranks: Positive = 2
    """Processes of a training, over all machines."""
    threads_per_rank: Positive = 1
    machines: Positive = 1
    """Machines of a training, which share the store at the same path; `gristmill join` is run on all but the first."""
    meet: Annotated[str, Field(pattern=r"^[^:/]+:[0-9]+$")] | None = None
    """Address of the first machine and a free port of it (`10.0.0.1:29400`), where the machines meet; needed by more than one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What ranks of a pretraining compute on: the CPU, or a card each (cuda); auto: cards if a machine has one for each of its ranks."""
    shard: Literal["auto", "ddp", "fsdp", "hsdp", "tensor"] = "auto"
    """How a training's weights, gradients and moments lie on ranks: whole on each (ddp), cut over all (fsdp), cut over the ranks of each
    machine (hsdp), or, of a decoder, cut over ranks of one machine that compute each sample together (tensor); auto: whole if that fits in
    half of the memory, else fsdp. Bits of the result differ by rounding, and its facts say what it was."""
    recompute: bool = False
    """Whether a training's layers compute their activations again in the backward pass, instead of keeping them: less memory, more time."""
    reshard: bool = False
    """Whether a training may go on from a checkpoint of another number of ranks, or of another `shard`. Samples are the same; the result
    differs by rounding, and the model's facts say so."""
    restarts: Annotated[int, Field(ge=0)] = 3
    """How often a training whose rank died goes on from its newest checkpoint by itself."""
    time_limit: Mapping[Timed, Annotated[float, Field(gt=0)]] = {}
    """Seconds that a step may take, by its name (`{pretrain: 86400}`). After them it is told to end, as a cancelled one is: a training
    writes a checkpoint, and the run fails. The next one goes on from there."""
    tensorboard: str | None = None
    """Folder for the event files of TensorBoard, which show a training while it runs, relative to the working directory; null: none."""
    settle: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which a file must have been unchanged before an incremental version reads it."""
    marker: Annotated[str, Field(pattern=r"^[^/]+$")] | None = None
    """What senders leave behind when a file is whole: with a dot in front, the ending of a file beside it (`.done`); else the name of a
    file in its folder (`_SUCCESS`). Incremental versions read only such files; null: nobody does so."""

    @model_validator(mode="after")
    def _options_are_of_a_cluster(self) -> Run:
        if self.runner == "local" and self.runner_options:
            raise ValueError("runner_options: are of a cluster, and runner is local, which has none")
        return self

    @model_validator(mode="after")
    def _machines_meet(self) -> Run:
        if self.ranks % self.machines:
            raise ValueError(f"ranks: {self.ranks} do not divide over machines, which is {self.machines}")
        if (self.machines > 1) != (self.meet is not None):
            raise ValueError("machines and meet belong together: give both, or neither")
        if self.shard == "tensor" and self.machines > 1:
            raise ValueError("shard: tensor is of one machine, as ranks exchange messages within each layer: take fsdp or hsdp")
        return self

    @property
    def readers(self) -> int:
        """Ranks that read samples of their own: all, unless they compute each sample together."""
        return 1 if self.shard == "tensor" else self.ranks

    def limit_of(self, step: str) -> float | None:
        """Seconds that a step may take, if there is a limit."""
        return next((seconds for name, seconds in self.time_limit.items() if name == step), None)
