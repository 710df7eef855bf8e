"""The model: a *recipe* is the YAML file of a whole run. Each step reads one *section* of it.

Every value in a step's section is a *literal*: it decides the output and counts in the step's fingerprint. What is in
``run`` (workers, ranks, store) and where sources lie never counts. Sections are frozen; an unknown key is an error.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from schemas.recipe.corpus import Annotator, Clean, Corpus, Decontaminate, Dedup, EvaluationSet, Harmful, HeldOut, Near, Redact
from schemas.recipe.rules import Rules
from schemas.recipe.scores import Classifier, NgramModel
from schemas.recipe.section import Name, Positive, Section
from schemas.recipe.source import Source
from schemas.recipe.tokenizer import Tokenizer, Tokens
from schemas.recipe.training import Decoder, Evaluate, Finetune, Optimizer, Phase, Pretrain, Schedule

__all__ = [
    "Annotator", "Classifier", "Clean", "Corpus", "Decoder", "Decontaminate", "Dedup", "Evaluate", "EvaluationSet", "Finetune", "Harmful",
    "HeldOut", "Near", "NgramModel", "Optimizer", "Phase", "Pretrain", "Recipe", "Redact", "Rules", "Run", "Schedule", "Section", "Source",
    "Tokenizer", "Tokens", "json_schema",
]  # fmt: skip


class Run(Section):
    """How and where it runs; never part of an identity."""

    store: str = ".gristmill/store"
    """Folder of the artifacts, relative to the working directory."""
    workers: Positive = 2
    """Processes of the data jobs."""
    runner: Literal["local"] = "local"
    """Beam runner of the data jobs; local is FnApiRunner, in process for one worker."""
    ranks: Positive = 2
    """Processes of a training."""
    threads_per_rank: Positive = 1


class Recipe(Section):
    """A whole run, from sources to an evaluated model."""

    name: Name
    """Name of the artifacts it makes."""
    corpus: Corpus
    tokenizer: Tokenizer = Tokenizer()
    tokens: Tokens = Tokens()
    pretrain: Pretrain | None = None
    finetune: Finetune | None = None
    evaluate: Evaluate | None = None
    run: Run = Run()

    @model_validator(mode="after")
    def _steps_have_what_they_need(self) -> Recipe:
        if self.finetune and not self.pretrain:
            raise ValueError("finetune starts from the model that pretrain makes: add a pretrain section")
        if self.evaluate and not self.pretrain:
            raise ValueError("evaluate measures the model that pretrain makes: add a pretrain section")
        if self.finetune and self.finetune.source not in {s.name for s in self.corpus.sources}:
            raise ValueError(f"finetune.source {self.finetune.source!r} is not a source of the corpus")
        if self.pretrain and self.finetune and self.finetune.max_tokens > self.pretrain.model.context:
            raise ValueError(
                f"finetune.max_tokens {self.finetune.max_tokens} is more than pretrain.model.context {self.pretrain.model.context}"
            )
        for batch in (self.pretrain.batch, *(phase.batch for phase in self.pretrain.phases)) if self.pretrain else ():
            if batch and batch % self.run.ranks:
                raise ValueError(f"pretrain.batch {batch} does not divide over run.ranks {self.run.ranks}")
        return self


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
