"""The model: the *weights* of a language are one safetensors file: the tensors of its *tagger* and, where words aren't parted
by spaces, of its *segmenter*; the header says where their windows lie. Those that ship with this package lie in `weights/`,
each with a model card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from pipelines.annotate.fast.window_net import WindowNet, net_from
from pipelines.annotate.fast.word_set import Bits
from schemas.errors import RequestError

FORMAT = "gristmill window nets 1"
"""Of the file, the features and the arithmetic: raised when a net would label differently."""

TAGGER, SEGMENTER = "tagger", "segmenter"
WORDS = "words"

Tensors = Mapping[str, npt.NDArray[np.generic]]
Windows = tuple[tuple[int, ...], ...]
"""For each stream of a net the places that it looks at, relative to the token."""


@dataclass(frozen=True)
class Weights:
    """An opened file."""

    lang: str
    digest: str
    """First 8 hex digits of the file's XXH3."""
    nets: Mapping[str, WindowNet]
    words: Bits
    """The word set of the segmenter; empty where there is none."""


def packaged(lang: str) -> Path | None:
    """The file that ships for a language, if there is one."""
    if not lang.isascii() or not lang.isalnum():
        return None
    path = Path(__file__).parent / "weights" / f"{lang}.safetensors"
    return path if path.is_file() else None


def languages() -> list[str]:
    """Those that weights ship for."""
    return sorted(path.stem for path in (Path(__file__).parent / "weights").glob("*.safetensors"))


def read_weights(path: Path) -> Weights:
    """Open a file. Raises `RequestError` naming it if it holds no weights of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if header.get("format") != FORMAT:
            raise RequestError(f"{path}: is not a file of {FORMAT!r}: train it again with `gristmill tagger train`")
        nets = {}
        for kind, windows in json.loads(header["windows"]).items():
            own = {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}
            nets[kind] = net_from(own, windows)
        digest = xxhash.xxh3_64_hexdigest(path.read_bytes())[:8]
        return Weights(header["lang"], digest, nets, tensors.get(WORDS, np.zeros(0, np.uint8)))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RequestError(f"{path}: is not a readable file of weights: {error}") from error


def write_weights(path: Path, lang: str, nets: Mapping[str, tuple[Windows, Tensors]], words: Bits) -> None:
    """Write the tensors of each net, its windows, and the word set; equal weights give equal bytes."""
    from safetensors.numpy import save_file

    tensors = {f"{kind}.{name}": np.ascontiguousarray(value) for kind, (_, net) in nets.items() for name, value in net.items()}
    if words.size:
        tensors[WORDS] = words
    header = {"format": FORMAT, "lang": lang, "windows": json.dumps({kind: windows for kind, (windows, _) in nets.items()})}
    save_file(tensors, str(path), metadata=header)
