"""The model: a *checkpoint* is a folder with the weights, moments and random state of a run as safetensors, and its
scalars in `state.json`. It is *durable* once its `done` marker is on disk. It is written by a thread, from a copy of the tensors, while
the run goes on; one at a time. A *saved model* is `model.safetensors` beside
a `config.json`, as Hugging Face writes the model's family (`model.hf`).

Nothing is pickled: torch's distributed checkpoint writes through its Hugging Face storage, each rank a share of the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.tensor import DTensor

from model.decoder import DecoderModel
from model.families import Causal, LanguageModel, build_model
from model.hf import Adapter, NotRepresented, adapter_for, adapter_named
from model.hf.adapter import Reader
from model.hf.files import Weights, save_tensors
from model.parallel import Ranks
from schemas import recipe
from schemas.errors import RequestError
from schemas.files import create, remove_tree, replace, sync_file, sync_folder

STATE = "state.json"
DONE = "done"
LATEST = "latest"


class Mismatch(RequestError):
    """A checkpoint can't be continued here, or a saved model is not what it should be; the message says why."""


class NotWritten(RequestError):
    """A checkpoint could not be written; those before it are still there."""


class Checkpoints:
    """The checkpoints of one run, below one folder; every rank calls the same methods together."""

    def __init__(self, folder: Path, keep: int, ranks: Ranks) -> None:
        self.folder, self._keep, self._ranks = folder, keep, ranks
        self._meeting = ranks.meeting()  # of the writers: their messages must not mix with those of steps
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        if ranks.first:
            folder.mkdir(exist_ok=True)
            for torn in folder.iterdir():
                if torn.is_dir() and not (torn / DONE).is_file():
                    remove_tree(torn)
        ranks.wait()

    def durable(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / DONE).is_file())

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest durable checkpoint and its scalars."""
        found = self.durable()
        return (found[-1], json.loads((found[-1] / STATE).read_text())) if found else None

    def begin(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Begin `step-N`: it will have these values, whatever becomes of the tensors meanwhile. Waits for the one before."""
        self.finish()
        mine = self._share(tensors)
        copied = {name: tensors[name].detach().to("cpu", copy=True) for name in mine}
        self._writing = self._writer.submit(self._write, step, copied, dict(state))

    def finish(self) -> None:
        """Return when what was begun is durable. Raises ``NotWritten`` if it can't be."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write `step-N`; it is durable when this returns."""
        self.begin(step, tensors, state)
        self.finish()
        return self._target(step)

    def _target(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _share(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Which tensors this rank copies and writes: those that are cut over ranks, and its part of those that several ranks have whole,
        dealt so that each writes about as many bytes."""
        whole = {name: tensor.nbytes for name, tensor in tensors.items() if not isinstance(tensor, DTensor)}
        held: list[dict[str, int]] = [json.loads(text) for text in self._ranks.gather(json.dumps(whole))]
        sizes = {name: size for names in held for name, size in names.items()}
        load, mine = [0] * len(held), [name for name in tensors if name not in whole]
        for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
            owner = min((rank for rank, names in enumerate(held) if name in names), key=lambda rank: load[rank])
            load[owner] += sizes[name]
            if owner == self._ranks.rank:
                mine.append(name)
        return mine

    def _write(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        temporary, target = self.folder / f".step-{step:08d}", self._target(step)
        writer = dcp.HuggingFaceStorageWriter(str(temporary), save_distributed=True)
        try:
            dcp.save(tensors, storage_writer=writer, process_group=self._meeting)
            dist.barrier(self._meeting)
            if self._ranks.first:
                self._seal(temporary, target, state)
        except (dcp.api.CheckpointException, OSError) as error:
            causes = [cause for cause, _ in error.failures.values()] if isinstance(error, dcp.api.CheckpointException) else [error]
            raise NotWritten(f"{target}: can't be written: {causes[0]}; the checkpoints before it are whole") from error
        dist.barrier(self._meeting)

    def _seal(self, temporary: Path, target: Path, state: Mapping[str, Any]) -> None:
        """All tensors are there: scalars, synced; then the marker, the name, and the `latest` pointer."""
        for file in temporary.iterdir():
            sync_file(file)
        create(temporary / STATE, (json.dumps(state, indent=1, sort_keys=True) + "\n").encode())
        create(temporary / DONE, b"")
        temporary.rename(target)
        sync_folder(self.folder)
        replace(self.folder / LATEST, f"{target.name}\n".encode())
        for old in self.durable()[: -self._keep]:
            remove_tree(old)

    def load(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """Fill the tensors in place from a checkpoint; raises ``Mismatch`` naming one that it lacks or has in another shape."""
        try:
            dcp.load(dict(tensors), storage_reader=dcp.HuggingFaceStorageReader(str(path)))
        except (dcp.api.CheckpointException, RuntimeError, ValueError) as error:
            raise Mismatch(f"{path}: does not fit this run: {error}") from error


def save_model(model: LanguageModel, folder: Path, config: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `model.safetensors` (float32, vocabulary of its real size) and `config.json`; return both paths.

    ``config`` adds keys to those that describe the architecture (``bos_token_id`` and the like). Tied heads are left out.
    """
    adapter, state = adapter_for(model.config), _trimmed(model)
    tensors = {t.name: t.export([state[name] for name in t.ours]).float() for t in adapter.tensors(model.config)}
    weights, description = folder / "model.safetensors", folder / "config.json"
    save_tensors(tensors, weights)
    content = {**adapter.config(model.config, model.vocab_size), **config}
    description.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return weights, description


def _trimmed(model: LanguageModel) -> dict[str, Tensor]:
    """A model's state, alive, with a vocabulary of its real size."""
    state: dict[str, Tensor] = model.state_dict()
    return state | {name: state[name][: model.vocab_size] for name in model.VOCABULARY}


@dataclass(frozen=True)
class Described:
    """What a `config.json` says."""

    config: dict[str, Any]
    adapter: Adapter[Any]
    architecture: recipe.Architecture
    vocab_size: int


def read_config(folder: Path) -> Described:
    """What the model saved in a folder is. Raises ``Mismatch`` naming the file, and what of it can't be represented."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        adapter = adapter_named(config)
        return Described(config, adapter, adapter.architecture_of(config), Reader(config).get("vocab_size"))
    except FileNotFoundError as error:
        raise Mismatch(f"{path}: is missing; a saved model has config.json and model.safetensors") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Mismatch(f"{path}: does not describe a model of ours: {error}") from error


def load_model(folder: Path, device: str = "cpu") -> tuple[LanguageModel, dict[str, Any]]:
    """The model saved in a folder (float32, ready to evaluate), and its `config.json`; any folder of Hugging Face's that an adapter
    reads will do. Raises ``Mismatch`` naming the file, and what of it can't be represented."""
    described = read_config(folder)
    with torch.random.fork_rng(devices=[]):
        model = build_model(described.architecture, described.vocab_size)
    fill_model(model, folder)
    return model.to(device).eval(), described.config


def fill_model(model: LanguageModel, folder: Path) -> None:
    """Give a model the weights of one like it that is saved in a folder. Raises ``Mismatch`` naming what they lack."""
    try:
        copy_into(_trimmed(model), adapter_for(model.config), model.config, Weights(folder))
    except NotRepresented as error:
        raise Mismatch(str(error)) from error


def load_decoder(folder: Path, device: str = "cpu") -> tuple[DecoderModel, dict[str, Any]]:
    """``load_model`` of a decoder. Raises ``Mismatch`` if it is of another kind."""
    model, config = load_causal(folder, device)
    if not isinstance(model, DecoderModel):
        raise Mismatch(f"{folder}: is {config['model_type']}: this needs a decoder")
    return model, config


def load_causal(folder: Path, device: str = "cpu") -> tuple[Causal, dict[str, Any]]:
    """``load_model`` of a model that goes on with a text. Raises ``Mismatch`` if it is of another kind."""
    model, config = load_model(folder, device)
    if not isinstance(model, Causal):
        hint = "`gristmill fill` lets an encoder fill in masks"
        raise Mismatch(f"{folder}: is {config['model_type']}, which does not go on with a text: this needs a decoder; {hint}")
    return model, config


@torch.no_grad()
def copy_into(state: Mapping[str, Tensor], adapter: Adapter[Any], architecture: Any, weights: Weights) -> None:
    """Copy a checkpoint's tensors into a model's, by our names. Raises `NotRepresented` for one that is missing, left over, or of another
    shape."""
    names = weights.names(adapter, architecture)
    for tensor in adapter.tensors(architecture):
        value, places = weights.tensor(names[tensor.name]), [state[name] for name in tensor.ours]
        file, shape = weights.files[names[tensor.name]], tensor.export(places).shape
        if value.shape != shape:
            raise NotRepresented(f"{file}: {tensor.name} has shape {list(value.shape)}, config.json wants {list(shape)}")
        if not value.is_floating_point():
            raise NotRepresented(f"{file}: {tensor.name} is {value.dtype}: only weights of floats can be represented")
        for place, part in zip(places, tensor.restore(value), strict=True):
            place.copy_(part)
