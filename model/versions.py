"""The model: a *step version* is a literal that stands for the code of a step; raise it by hand when the step's output
changes. *Engines* are the libraries whose versions decide an output too.

Cheap to import: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from schemas.recipe import Pretrain, Section

PRETRAIN_VERSION = 2
FINETUNE_VERSION = 1
EVALUATE_VERSION = 1


def engines() -> dict[str, str]:
    """Versions of the libraries that compute: {"torch": "2.13.0+cpu", ...}."""
    return {name: version(name) for name in ("torch", "numpy", "tokenizers")}


LATER: Mapping[str, Sequence[str]] = {
    "": ("accumulate", "average", "z_loss", "loss_chunk", "on_nonfinite"),
    "optimizer": ("momentum",),
    "schedule": ("name",),
}
"""By section, keys that came later: a recipe that leaves them at their defaults has the identity that it had before."""


def pretrain_settings(settings: Pretrain) -> dict[str, Any]:
    """The section as JSON, for the step's identity."""
    value = settings.model_dump(mode="json")
    for section, keys in LATER.items():
        own: Section = getattr(settings, section) if section else settings
        told = value[section] if section else value
        for key in keys:
            if getattr(own, key) == type(own).model_fields[key].default:
                del told[key]
    return value
