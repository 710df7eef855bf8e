"""The model: the section of the step that teaches a pretrained model a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.recipe.names import RecipeName
from schemas.recipe.run import Run
from schemas.recipe.section import AtKey, Fraction, Name, Positive, Section
from schemas.recipe.task import PROMPTED, Task


class Finetune(Section):
    """The finetune step: a pretrained model and labelled examples in, a model for a task out. Examples are the documents of a source
    that carry labels, or files that a task names."""

    source: Name | None = None
    """The source whose documents carry labels. Their subsets are the corpus's own: what pretraining held out is held out here."""
    label_field: str = "label"
    """Key of `extra`."""
    task: Task | None = None
    """Instead of a source: what is asked, and files of examples."""
    method: Literal["full", "lora", "dora", "head"] = "full"
    """What is trained: all weights; low-rank changes to those of the layers, without or with magnitudes of their own; or only what is
    above the backbone. Changes are merged into the weights that are saved."""
    rank: Positive = 8
    """Of low-rank changes."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Low-rank changes count alpha / rank."""
    epochs: Positive = 2
    """At the most, if there is patience."""
    patience: Positive | None = None
    """Epochs without a better one on the validation subset after which training ends; null: never early. The best epoch's weights are
    kept."""
    batch: Positive = 32
    max_tokens: Positive = 128
    """That a text is cut to, with its special tokens. Contexts of questions are read in windows of it."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Fraction = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of the states that the head reads."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: in the loss, a label counts by one over how often it occurs."""
    seeds: Positive = 1
    """How often it is trained, by `seed`, `seed + 1`, ...; the model that is best on the validation subset is kept, and the facts tell
    mean and deviation over all."""
    precision: Literal["float32", "bf16"] = "bf16"
    compile: bool = False
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """For identities: as `Task.without_places`, and without how a task is asked in words."""
        told = super().as_json()
        if self.task is not None:
            told["task"] = {key: value for key, value in self.task.without_places().items() if key not in PROMPTED}
        return told

    def at(self, files: Mapping[str, str]) -> Task | None:
        """The task of a section that came from an identity, with the paths of its files by subset."""
        return None if self.task is None else self.task.at(files)

    @model_validator(mode="after")
    def _learns_from_one_of_two(self) -> Finetune:
        if (self.source is None) == (self.task is None):
            raise ValueError(f"give either source or task, not {'neither' if self.task is None else 'both'}")
        if self.task is not None and self.task.data.train is None:
            raise AtKey(("task", "data", "train"), "is what is learned from: name its files")
        if self.class_weights != "none" and self.task is not None and self.task.kind not in ("classification", "pairs", "relation"):
            raise AtKey(("class_weights",), f"is of one label a text, and the task is {self.task.kind}: leave it out")
        return self


class FinetuneRecipe(Section):
    """The file of a fine-tuning that starts from a model in the store."""

    name: RecipeName
    """Name of the model that it makes."""
    model: str
    """model/name[@version] of a pretrained or imported model."""
    finetune: Finetune
    run: Run = Run()

    @model_validator(mode="after")
    def _learns_from_files(self) -> FinetuneRecipe:
        if self.finetune.task is None:
            raise AtKey(("finetune", "source"), "is of a recipe with a corpus: give finetune.task, which names files of examples")
        return self
