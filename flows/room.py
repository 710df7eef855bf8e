"""The model: *room* is what a step will take of the store's disk while it works, more than what it leaves. It is estimated from what is
known beforehand, on the safe side of what was measured (LOG.md), so that a disk which is too small is found before anything is spent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from flows.progress import quantity
from flows.ready import Ready
from flows.steps import FINETUNE, Step
from pipelines.splits import weighed_bytes
from schemas.artifact import Artifact
from schemas.draft import PARENT
from schemas.errors import RequestError
from schemas.recipe import Pretrain, Recipe

_MB = 1_000_000
LEAST = 16 * _MB
"""What any step may write: logs, records, reports."""
DOCUMENTS = 3.0
"""Bytes for a byte of text: shards, rejects and digests, and the text of the splits that are not yet finished."""
TOKENS = 1.5
"""For a byte of document shards."""
KERNELS = 250 * _MB
"""What torch.compile writes."""
_STATE = 12
"""Bytes of a weight in a checkpoint: itself, and two moments."""
_WEIGHT = 4


def needed(step: Step, recipe: Recipe, ready: Ready | None, inputs: Mapping[str, Artifact]) -> int:
    """Bytes that a step may take while it works. `ready` is None while an input is still to be made: then it is what is known already."""
    if step.name == "documents" and ready is not None:
        return LEAST + int(DOCUMENTS * sum(weighed_bytes(piece) for split in ready.splits for piece in split["pieces"]))
    if step.name == "tokens" and ready is not None:
        manifest = inputs["documents"].manifest
        parts = manifest.own_parts if PARENT in ready.identity.inputs else manifest.parts
        return LEAST + int(TOKENS * sum(file.bytes for part in parts for file in part.files if file.role == "documents"))
    if step.name == "pretrain" and recipe.pretrain is not None:
        told = inputs["tokenizer"].facts("tokenizer")["vocab_size"] if "tokenizer" in inputs else recipe.tokenizer.vocab_size
        return LEAST + _training(recipe.pretrain, told)
    if step.name == FINETUNE and "pretrain" in inputs:
        files = [file for part in inputs["pretrain"].manifest.parts for file in part.files]
        return LEAST + (2 * _STATE // _WEIGHT) * sum(file.bytes for file in files if file.path == "model.safetensors")
    return LEAST


def _training(settings: Pretrain, vocabulary: int) -> int:
    """All checkpoints that are kept, the one that is being written, a trunk, and the model; an average is a second set of weights."""
    average = _WEIGHT if settings.average is not None else 0
    weights = weights_at_most(settings.architecture, vocabulary)
    checkpoints = (settings.keep_checkpoints + 1 + settings.keep_trunk) * (_STATE + average) * weights
    return checkpoints + 2 * (_WEIGHT + average) * weights + (KERNELS if settings.compile else 0)


def weights_at_most(model: object, vocabulary: int) -> int:
    """Weights of a model, without building it: never fewer than it has, and not many more."""
    width, layers = int(getattr(model, "width")), int(getattr(model, "layers"))  # noqa: B009
    inner = int(getattr(model, "heads", 0)) * int(getattr(model, "head_size", 0))
    ffn = int(getattr(model, "ffn", 0))
    attention, feed = 4 * width * inner + 4 * inner, 3 * width * ffn + 2 * ffn
    family = getattr(model, "family", None)
    if family == "lstm":
        layer = 8 * width * width + 8 * width
    elif family == "t5":
        layer = 3 * attention + 2 * feed
    else:
        layer = attention + feed
    rows = -(-vocabulary // 64) * 64 + 512  # padding, and ids that a tokenizer adds to what was asked for
    tables = 1 if getattr(model, "tie_embeddings", True) else 2
    return layers * (layer + 8 * width) + tables * rows * (width + 1) + (int(getattr(model, "context", 0)) + width + 8) * width


def check_room(step: Step, recipe: Recipe, ready: Ready, inputs: Mapping[str, Artifact], root: Path, draft: Path | None) -> None:
    """Raises `RequestError` if the store's disk has no room for a step; what an unfinished `draft` of it holds is there already."""
    need = max(needed(step, recipe, ready, inputs) - (taken(draft) if draft is not None else 0), 0)
    free, keep = free_bytes(root), kept_free(recipe, root)
    if need > free - keep:
        kept = f", of which run.min_free keeps {quantity(keep, 'bytes')}" if keep else ""
        raise RequestError(
            f"{step.name}: needs about {quantity(need, 'bytes')} on the disk of {root}, where {quantity(free, 'bytes')} are free{kept}. "
            "Nothing was begun. Make room there (`gristmill gc` says what may go), or take a store on another disk (run.store)"
        )


def free_bytes(root: Path) -> int:
    """Bytes that may be written to the disk of a folder, which need not be there yet."""
    return shutil.disk_usage(_existing(root)).free


def kept_free(recipe: Recipe, root: Path) -> int:
    """What the recipe's `run.min_free` comes to on that disk."""
    asked = recipe.run.min_free
    return int(asked * shutil.disk_usage(_existing(root)).total) if asked < 1 else int(asked)


def _existing(root: Path) -> Path:
    return next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())


def taken(folder: Path) -> int:
    """Bytes of all files below a folder, as they lie on the disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:  # somebody works here
                continue
    return total
