"""The model: to *judge* is to ask several *systems* the same items, and to keep what each item came to: the challenger (`model`), and what
it is compared with. A system is a *bundle*: a pretrained model, and the one that was fine-tuned from it, if any. Judging is a step, whose
work is in `flows.retraining.judged`, and makes an evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from flows.ensure import Outcome, Say, Watch, unwatched
from flows.ready import Ready
from flows.single import ensure_single
from flows.steps import Step
from model.examples.opened import files_digest
from model.versions import engines
from pipelines.places import absolute
from schemas.artifact import Artifact
from schemas.fingerprint import Identity
from schemas.recipe import Recipe
from schemas.recipe.names import GATE
from schemas.recipe.task import SUBSETS
from schemas.results import MODEL
from schemas.store import Store

STEP, VERSION = "judge", 2
SETS = ("old", "new")
"""Of held-out text, see `flows.retraining.held_out`."""
CHAMPION = "champion"
"""The system that a challenger is compared with."""
TASKS, BIAS, MEMORISATION, PARITY = "tasks", "bias", "memorisation", "parity"
"""What is asked beside held-out text."""


@dataclass(frozen=True)
class Bundle:
    """A system."""

    pretrain: Artifact
    finetune: Artifact | None = None

    @property
    def models(self) -> dict[str, Artifact]:
        """By the step that made them."""
        return {"pretrain": self.pretrain, **({"finetune": self.finetune} if self.finetune is not None else {})}


def judge(
    store: Store,
    of: Recipe,
    systems: Mapping[str, Bundle],
    corpus: Mapping[str, Artifact],
    asked: Sequence[str],
    say: Say,
    watch: Watch = unwatched,
) -> Outcome:
    """Have evaluation/NAME-gate of systems, one of which is `model`. `corpus` has the documents and tokens that the challenger was made
    from, and the documents `before` that the champion was. `asked`: what is asked beside held-out text. Raises `ChildFailed`, and
    `RequestError` for a file of examples that can't be read."""
    assert of.retrain is not None
    inputs = {role_of(name, step): model for name, bundle in systems.items() for step, model in bundle.models.items()} | dict(corpus)
    settings = {
        "systems": sorted(systems, key=lambda name: name != MODEL),
        "asked": sorted(asked),
        "max_bytes": of.retrain.gate.max_bytes,
        "seed": of.retrain.seed,
        "finetune": of.finetune.as_json() if of.finetune is not None else None,
    }

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        roots: dict[str, str] = {}
        if of.finetune is not None and of.finetune.task is not None and TASKS in asked:
            for subset in SUBSETS:
                if (path := getattr(of.finetune.task.data, subset)) is not None:
                    digests[subset], roots[subset] = files_digest(path, f"finetune.task.data.{subset}"), absolute(path)
        return Ready(Identity(STEP, VERSION, settings, digests, {**engines(), **_reader_of_exports()}), roots=roots)

    command = lambda draft, run: [sys.executable, "-m", "flows.retraining.judged", str(draft)]  # noqa: E731
    step = Step(STEP, "evaluation", STEP, tuple(inputs), (STEP,), prepare, command)
    return ensure_single(step, of.name + GATE, of.run, store, inputs, say, watch)


def role_of(system: str, step: str) -> str:
    """The input that is a system's model: those of the challenger are called as in any evaluation."""
    return step if system == MODEL else f"{system}.{step}"


def _reader_of_exports() -> dict[str, str]:
    """What reads exports here beside our own reader, as it decides what is found of them."""
    try:
        return {"transformers": version("transformers")}
    except PackageNotFoundError:
        return {}
