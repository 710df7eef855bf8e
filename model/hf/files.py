"""The model: the *weights* of a folder are the tensors of its `model.safetensors`, or of the *shards* that its
`model.safetensors.index.json` names. Nothing else is read: other formats are pickles, which run whatever code they hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.hf.adapter import Adapter, NotRepresented

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD_BYTES = 5 << 30


class Weights:
    """The tensors of a folder, read one by one."""

    def __init__(self, folder: Path) -> None:
        """Raises `NotRepresented` naming the file that is missing or can't be read."""
        self.files: dict[str, Path] = {}
        """Of each tensor, by name."""
        self._open: dict[Path, Any] = {}
        for path in weight_files(folder):
            try:
                self._open[path] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise NotRepresented(f"{path}: can't be read: {error}") from error
            self.files |= dict.fromkeys(self._open[path].keys(), path)

    def tensor(self, name: str) -> Tensor:
        value: Tensor = self._open[self.files[name]].get_tensor(name)
        return value

    def names(self, adapter: Adapter[Any], architecture: Any) -> dict[str, str]:
        """Names here by the adapter's own: a checkpoint of the base alone lacks its prefix.

        All tensors must be there, and nothing else but what the adapter ignores, and copies of tensors that these are tied to.
        Raises `NotRepresented`.
        """
        wanted, copies = {tensor.name for tensor in adapter.tensors(architecture)}, adapter.copies(architecture)
        known = wanted | set(copies)
        found = {_name_now(name, adapter, known): name for name in self.files}
        found = {now: name for now, name in found.items() if now in known or not name.endswith(adapter.ignored)}
        for copy, tied in copies.items():
            name = found.pop(copy, None)
            if name is not None and tied in found and not torch.equal(self.tensor(name), self.tensor(found[tied])):
                raise NotRepresented(f"{self.files[name]}: {name} differs from {found[tied]}, though config.json ties them")
        if different := sorted(set(found) ^ wanted):
            told = [f"{name} is {'missing' if name in wanted else 'left over'}" for name in different[:3]]
            raise NotRepresented(f"{next(iter(self._open))}: tensors differ from config.json's: {', '.join(told)}")
        return found


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights. Raises `NotRepresented` if there are none, or the index names what is no file beside it."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not index.is_file():
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        hint = f"; {pickled[0]} is a pickle and is not opened: save it as safetensors where you trust it" if pickled else ""
        raise NotRepresented(f"{folder / WEIGHTS}: can't be read: it is missing, and so is {INDEX}{hint}")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotRepresented(f"{index}: is not an index of shards: {error!r}") from error
    if outside or not names:
        raise NotRepresented(f"{index}: names {outside[0]!r}, which is no file beside it" if outside else f"{index}: names no file")
    return [folder / name for name in names]


def _name_now(name: str, adapter: Adapter[Any], known: set[str]) -> str:
    """What the adapter calls a tensor."""
    for end, now in adapter.renamed.items():
        if name.endswith(end):
            name = name.removesuffix(end) + now
    return longer if (longer := adapter.base + name) in known and name not in known else name


def copy_weights(source: Path, target: Path, shard_bytes: int = SHARD_BYTES) -> list[str]:
    """Copy a folder's tensors to another as one file, or as shards of at most `shard_bytes` with their index; return the files' names.

    A tensor that is larger has a shard of its own.
    """
    weights = Weights(source)
    groups: list[list[str]] = []
    room = total = 0
    for name in sorted(weights.files):
        size = weights.tensor(name).nbytes
        if not groups or size > room:
            groups.append([])
            room = shard_bytes
        groups[-1].append(name)
        room -= size
        total += size
    if len(groups) == 1:
        _save(weights, groups[0], target / WEIGHTS)
        return [WEIGHTS]
    files = [f"model-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    for file, names in zip(files, groups, strict=True):
        _save(weights, names, target / file)
    places = {name: file for file, names in zip(files, groups, strict=True) for name in names}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (target / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return [*files, INDEX]


def _save(weights: Weights, names: Iterable[str], path: Path) -> None:
    save_tensors({name: weights.tensor(name) for name in names}, path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to one file, marked as `transformers` wants it."""
    save_file(dict(tensors), path, metadata={"format": "pt"})
