"""The model: a *start* is the model that a pretraining goes on from: from its *weights*, as it was saved, or from its *trunk*
(`model.trunk`). Of its shape and its vocabulary the new model is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoint import Mismatch, fill_model, read_config
from model.data import Batches
from model.families import LanguageModel
from model.handed_on import BEFORE, START, check_tokenizer
from model.hf import adapter_for
from model.known import NEW, OLD
from model.optim import WeightOptimizer
from model.replay import Replay
from model.trunk import Trunk
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.recipe import Architecture, Challenger

Load = Callable[[Path, Mapping[str, Tensor]], None]
"""Fills tensors in place from a folder, whatever ranks have of them."""


class Start:
    """What a run on a draft goes on from."""

    def __init__(self, model: Artifact, tokenizer: Artifact, settings: Challenger) -> None:
        """Raises RequestError if the model is of another tokenizer or shape, or lacks the trunk that is asked for."""
        self.model = model
        check_tokenizer(model, tokenizer)
        _check_shape(model, settings.architecture, tokenizer.facts("tokenizer")["vocab_size"])
        self._trunk = Trunk(model, settings.optimizer.name) if settings.start == "trunk" else None
        self.updates = self._trunk.updates if self._trunk else 0
        """That the optimizer's moments have seen."""

    def give_weights(self, model: LanguageModel) -> None:
        """Fill a model in one piece with the start's weights; those of a trunk follow, with its moments."""
        if self._trunk is None:
            fill_model(model, self.model.path)

    def give_trunk(self, weights: Mapping[str, Tensor], optimizer: WeightOptimizer, load: Load) -> None:
        """Fill weights and moments with those of the trunk, if it goes on from there; all ranks call it together."""
        if self._trunk is not None:
            load(self._trunk.folder, weights)
            optimizer.set_steps(self.updates)


def start_of(draft: Draft, settings: Challenger) -> Start | None:
    """What a draft goes on from, if it does."""
    return Start(draft.input(START), draft.input("tokenizer"), settings) if settings.start else None


def replay_of(draft: Draft, settings: Challenger) -> Replay | None:
    """How old and new text are told apart and mixed, if they are."""
    return Replay(draft.input(BEFORE).path, settings.replay) if draft.has_input(BEFORE) else None


def not_replayed(draft: Draft, settings: Challenger, batches: Batches) -> str | None:
    """Why old text that is asked for is not read, if so."""
    if not (settings.start and settings.replay):
        return None
    if not draft.has_input(BEFORE):
        return "nothing tells which text the model knew, so all of it counts as new, and nothing is replayed"
    if any(batches.streams[number].startswith(f"{OLD}/") for number in batches.phases.rows[0].streams):
        return None
    return "none of the text that the model knew is among the tokens of now, so nothing is replayed"


def steps_of(draft: Draft, settings: Challenger, batches: Batches) -> int:
    """How long a run is: its steps, or those that its epochs take; what goes on from a model counts passes over the new text together,
    others of the stream that is read most often."""
    if settings.steps:
        steps = settings.steps
    elif settings.start:
        taken = batches.phases.rows[0].streams.tolist()
        new = [number for number in taken if batches.streams[number].startswith(f"{NEW}/")] if draft.has_input(BEFORE) else taken
        steps = batches.phases.steps_over(new, settings.epochs or 0)
    else:
        steps = batches.phases.steps_within(settings.epochs or 0)
    return min(steps, settings.max_steps or steps)


def _check_shape(model: Artifact, wanted: Architecture, vocab_size: int) -> None:
    try:
        found = read_config(model.path)
    except Mismatch as error:
        raise RequestError(f"{model.reference} can't be gone on from: {error}") from error
    sides = [_config(found.architecture, found.vocab_size), _config(wanted, vocab_size)]
    different = [key for key in sorted(sides[0].keys() | sides[1].keys()) if sides[0].get(key) != sides[1].get(key)]
    if different:
        told = ", ".join(f"{key} {sides[0].get(key)} -> {sides[1].get(key)}" for key in different)
        raise RequestError(f"{model.reference} is of another shape than pretrain.model ({told}): take its shape, or retrain.start: scratch")


def _config(architecture: Architecture, vocab_size: int) -> dict[str, Any]:
    return adapter_for(architecture).config(architecture, vocab_size)
