"""The model: an export has *parity* if who reads it gets the same model: our own reader the same weights, bit by bit; and `transformers`,
where it is installed and the model goes on with a text, the same logits, as far as float32 can tell: no score off by more than 1e-4 and
1.3e-6 of the largest score of its place (what `torch.testing` allows float32 in proportion; a small score may be the sum of large terms),
no distribution by more than 1e-9 nats, or than scores so far off make.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import load_model
from model.families import Causal
from model.finetune.saved import is_headed, load_headed
from model.hf.export import CONFIG, export_model
from schemas.errors import RequestError
from schemas.files import remove_tree

SCORE, NATS, SHARE = 1e-4, 1e-9, 1.3e-6
LARGE = 100.0
"""A score above which it is told."""
PROBE = 64
"""Tokens that logits are compared on."""


@dataclass(frozen=True)
class Parity:
    """What was found."""

    passed: bool | None
    """None: it can't be exported."""
    told: str
    """In words."""


def _peer() -> str | None:
    """The version of `transformers`, if it is installed."""
    try:
        return version("transformers")
    except PackageNotFoundError:
        return None


def parity(folder: Path, scratch: Path) -> Parity:
    """Export the saved model of `folder` below `scratch`, and read it back."""
    out = scratch / "exported"
    remove_tree(out)
    try:
        export_model(folder, out)
    except RequestError as error:
        return Parity(None, str(error))
    try:
        headed = is_headed(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        load: Any = load_headed if headed else load_model
        (ours, config), (back, _) = load(folder), load(out)
        theirs, state = back.state_dict(), ours.state_dict()
        if state.keys() != theirs.keys() or not all(torch.equal(state[name], theirs[name]) for name in state):
            return Parity(False, "the weights of the export are not those of the model")
        if headed or not isinstance(ours, Causal) or not _peer():
            return Parity(True, "the export has the same weights, bit by bit")
        return _judged(*_scores(ours, out, int(config["vocab_size"])))
    finally:
        remove_tree(out)


def _judged(found: Tensor, expected: Tensor) -> Parity:
    """Of our scores [..., vocabulary], and those of `transformers`."""
    off, largest = (found - expected).abs(), expected.abs().amax(-1, keepdim=True)
    p, q = found.double().log_softmax(-1), expected.double().log_softmax(-1)
    nats = (p.exp() * (p - q)).sum(-1, keepdim=True)
    # Scores of which each is off by t at the most make distributions that are t**2 / 2 nats apart at the most (Hoeffding's lemma).
    passed = bool((off <= SCORE + SHARE * largest).all() and (nats <= ((SHARE * largest) ** 2 / 2).clamp(min=NATS)).all())
    worst, apart, top = (float(one.max()) for one in (off, nats, largest))
    told = f"transformers {_peer()} gives scores that are at most {worst:.1e} off, and distributions {apart:.1e} nats"
    return Parity(passed, told if top <= LARGE else f"{told}; the largest score is {top:,.0f}")


def _scores(ours: Any, out: Path, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Our scores of a text, and those of `transformers`."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is asked of anybody
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(out), dtype=torch.float32).eval()
    length = min(PROBE, int(ours.config.context))
    ids = torch.from_numpy(np.random.default_rng(0).integers(vocabulary, size=(1, length)))
    with torch.no_grad():
        return ours(ids)[..., :vocabulary], theirs(ids).logits[..., :vocabulary]
