"""The model: a *step version* is a literal that stands for the code of a step; raise it by hand when the step's output
changes. *Engines* are the libraries whose versions decide an output too.

Cheap to import: no torch.
"""

from __future__ import annotations

from importlib.metadata import version

PRETRAIN_VERSION = 2
FINETUNE_VERSION = 2
EVALUATE_VERSION = 2
EVALUATE_TASKS_VERSION = 1
IMPORT_VERSION = 1


def engines() -> dict[str, str]:
    """Versions of the libraries that compute: {"torch": "2.13.0+cpu", ...}."""
    return {name: version(name) for name in ("torch", "numpy", "tokenizers")}
