"""The model: a *trunk* is a run as it was before its learning rate began to decay: its weights and the optimizer's moments, by our names of
parameters, whole whatever ranks there were. What goes on from it learns as if the run had never ended.

    trunk/state.safetensors   model.{parameter}, optimizer.{parameter}.{moment}
    trunk/trunk.json          steps and samples taken, updates made, the optimizer's name

While the run goes on the trunk is a checkpoint in a folder of its own, durable before any later checkpoint is: a run that is killed has it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from model.checkpoint import Checkpoints, Mismatch
from model.hf.files import save_tensors
from model.parallel import Ranks
from schemas.artifact import Artifact, File
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.files import remove_tree
from schemas.fingerprint import canonical_json, read_json

FOLDER = "trunk"
STATE, TOLD = f"{FOLDER}/state.safetensors", f"{FOLDER}/trunk.json"


class TrunkKeeper:
    """Keeps the trunk of a run on a draft; every rank calls the same methods together."""

    def __init__(self, draft: Draft, at: int, group: Ranks) -> None:
        """``at``: steps that are taken before."""
        self.at, self._draft, self._group = at, draft, group
        self._kept = Checkpoints(draft.scratch() / FOLDER, 1, group)

    def keep(self, tensors: Mapping[str, Tensor], samples: int, updates: int, optimizer: str) -> None:
        """Write it; it is durable when this returns. One that is there is of a try that was killed before it left a checkpoint."""
        if self._group.first:
            for before in self._kept.durable():
                remove_tree(before)
        self._group.wait()
        self._kept.save(self.at, tensors, {"steps": self.at, "samples": samples, "updates": updates, "optimizer": optimizer})

    def adopt(self) -> list[File]:
        """Make it files of the draft, on rank 0. Raises ``Mismatch`` if it isn't there."""
        newest = self._kept.newest()
        if newest is None:
            raise Mismatch(f"{self._draft.scratch() / FOLDER}: the trunk is missing: remove {self._draft.path}, and run the step again")
        path, told = newest
        state, description = self._draft.scratch() / "trunk.safetensors", self._draft.scratch() / "trunk.json"
        save_tensors(_whole(path), state)
        description.write_bytes(canonical_json(told))
        return [self._draft.adopt_as(state, STATE, FOLDER), self._draft.adopt_as(description, TOLD, FOLDER)]


def _whole(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, whatever ranks wrote which pieces of them; nobody else is asked."""
    reader = dcp.HuggingFaceStorageReader(str(path))
    found = reader.read_metadata().state_dict_metadata
    shapes = {name: about for name, about in sorted(found.items()) if isinstance(about, TensorStorageMetadata)}
    tensors = {name: torch.empty(about.size, dtype=about.properties.dtype) for name, about in shapes.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that no other rank is asked
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    return tensors


class Trunk:
    """The trunk of a model."""

    def __init__(self, model: Artifact, optimizer: str) -> None:
        """Raises RequestError if the model has none, or one of another optimizer."""
        if not (model.path / TOLD).is_file():
            raise RequestError(f"{model.reference} has no trunk: take retrain.start: weights; pretrain.keep_trunk: true keeps one")
        told = read_json(model.path / TOLD)
        if told["optimizer"] != optimizer:
            raise RequestError(
                f"{model.reference} has the moments of {told['optimizer']} in its trunk, and pretrain.optimizer.name is {optimizer}: "
                f"take {told['optimizer']}, or retrain.start: weights"
            )
        self.folder: Path = model.path / FOLDER
        self.updates = int(told["updates"])
        """That its moments have seen."""
