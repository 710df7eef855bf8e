"""The model: an *evaluation* of a model of the store says what it is asked: tasks, held-out *text*, tasks of lm-evaluation-harness."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.recipe.section import Count, Name, Positive, Section
from schemas.recipe.task import Task


class HeldOutText(Section):
    """Text that a model is to predict."""

    name: Name
    """What results are called after: NAME.LANG."""
    documents: bool = False
    """Whether it is of a documents artifact; else of files."""
    max_bytes: Positive = 200_000
    """Of UTF-8, over all languages. Documents are taken whole, in the order of their digests."""
    ngram_orders: tuple[Positive, ...] = (2, 5)
    """Baselines that learn from the documents artifact's training subset."""
    baseline: Name | None = None
    """Name of another model of the store, which stands among the baselines."""


class Harness(Section):
    """Tasks of lm-evaluation-harness."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    folder: bool = False
    """Whether they are of a folder of task files; else they are its own."""


class Evaluation(Section):
    """What a model is asked, and how."""

    tasks: tuple[Task, ...] = ()
    text: HeldOutText | None = None
    harness: Harness | None = None
    subset: Literal["train", "validation", "test"] = "test"
    """That is asked; others are learned from."""
    shots: Count = 0
    """Examples of the training subset that stand before each question, for models that are asked in words; 0: of the harness's tasks, as
    many as they say."""
    limit: Positive | None = None
    """Items of a task that are asked at the most, drawn by the seed; null: all."""
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """For identities: without the places of files."""
        return {**super().as_json(), "tasks": [task.without_places() for task in self.tasks]}

    @model_validator(mode="after")
    def _asks_something(self) -> Evaluation:
        if not (self.tasks or self.text or self.harness):
            raise ValueError("there is nothing to ask: name a task file, --text, or --lm-eval")
        names = [task.name for task in self.tasks]
        if twice := next((name for number, name in enumerate(names) if name in names[:number]), None):
            raise ValueError(f"two tasks have one name, {twice!r}: items are kept by it")
        return self
