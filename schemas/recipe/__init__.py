"""The model: a *recipe* is the YAML file of a whole run. Each step reads one *section* of it.

Every value in a step's section is a *literal*: it decides the output and counts in the step's fingerprint. What is in
``run`` (workers, ranks, store) and where sources lie never counts. Sections are frozen; an unknown key is an error.
"""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from schemas.recipe.architecture import Architecture, Decoder, Encoder, EncoderDecoder, Recurrent
from schemas.recipe.challenger import Challenger
from schemas.recipe.clean import Boilerplate, Clean
from schemas.recipe.corpus import Annotator, Corpus, Decontaminate, EvaluationSet, Harmful, HeldOut, Redact, Sampling
from schemas.recipe.dedup import Dedup, Near, Repeats
from schemas.recipe.evaluation import Evaluation, Harness, HeldOutText
from schemas.recipe.finetune import Finetune, FinetuneRecipe
from schemas.recipe.names import RecipeName
from schemas.recipe.objective import Objective
from schemas.recipe.retrain import Drift, Gate, Guards, Retrain, Window
from schemas.recipe.rules import Rules
from schemas.recipe.run import Run
from schemas.recipe.scores import Classifier, NgramModel
from schemas.recipe.section import AtKey, Section
from schemas.recipe.source import Source
from schemas.recipe.task import Task, TaskData
from schemas.recipe.tensor import uncut
from schemas.recipe.tokenizer import Tokenizer, Tokens
from schemas.recipe.training import Average, Evaluate, Optimizer, Phase, Pretrain, Schedule

__all__ = [
    "Annotator", "Architecture", "Average", "Boilerplate", "Challenger", "Classifier", "Clean", "Corpus", "Decoder", "Decontaminate",
    "Dedup", "Drift", "Encoder", "EncoderDecoder", "Evaluate", "Evaluation", "EvaluationSet", "Finetune",
    "FinetuneRecipe", "Gate", "Guards", "Harmful", "Harness", "HeldOut", "HeldOutText", "Near", "NgramModel",
    "Objective", "Optimizer", "Phase", "Pretrain", "Recipe", "Recurrent", "Redact", "Repeats", "Retrain", "Rules",
    "Run", "Sampling", "Schedule", "Section", "Source", "Task", "TaskData", "Tokenizer", "Tokens", "Window",
    "json_schema",
]  # fmt: skip


class Recipe(Section):
    """A whole run, from sources to an evaluated model."""

    name: RecipeName
    """Name of the artifacts it makes."""
    corpus: Corpus
    tokenizer: Tokenizer = Tokenizer()
    tokens: Tokens = Tokens()
    pretrain: Pretrain | None = None
    finetune: Finetune | None = None
    evaluate: Evaluate | None = None
    retrain: Retrain | None = None
    run: Run = Run()

    @model_validator(mode="after")
    def _steps_have_what_they_need(self) -> Recipe:
        if self.finetune and not self.pretrain:
            raise AtKey(("finetune",), "starts from the model that pretrain makes: add a pretrain section")
        if self.evaluate and not self.pretrain:
            raise AtKey(("evaluate",), "measures the model that pretrain makes: add a pretrain section")
        if self.evaluate and self.pretrain and isinstance(self.pretrain.model, EncoderDecoder):
            what = "is of text alone, to which a t5 gives no likelihood: leave the section out, and ask it tasks (gristmill evaluate)"
            raise AtKey(("evaluate",), what)
        if self.retrain and not self.pretrain:
            raise AtKey(("retrain",), "goes on from the model that pretrain makes: add a pretrain section")
        if self.retrain and self.pretrain and self.retrain.start == "trunk" and not self.pretrain.keep_trunk:
            raise AtKey(("retrain", "start"), "trunk is what pretrain keeps by keep_trunk: true; set it, or take weights")
        if self.finetune and self.pretrain and isinstance(self.pretrain.model, Recurrent):
            raise AtKey(("finetune",), "has no head for an lstm: leave the section out, or pretrain another family")
        if self.pretrain and self.pretrain.aim.name == "masked_tokens" and self.tokenizer.lacks_mask:
            raise AtKey(
                ("tokenizer",), "has no mask, by which masked_tokens hides others: set family bert, or name it in special_tokens.mask"
            )
        if self.pretrain and self.pretrain.aim.name == "span_corruption" and self.tokenizer.lacks_sentinels:
            raise AtKey(("tokenizer", "sentinels"), "span corruption puts them in the place of what it cuts out: set it to 100, say")
        names = [source.name for source in self.corpus.sources]
        if self.finetune and self.finetune.source is not None and self.finetune.source not in names:
            raise AtKey(("finetune", "source"), f"{self.finetune.source!r} is not a source of the corpus; they are {', '.join(names)}")
        if self.pretrain and self.finetune and self.finetune.max_tokens > self.pretrain.model.context:
            what = f"{self.finetune.max_tokens} is more than pretrain.model.context, which is {self.pretrain.model.context}"
            raise AtKey(("finetune", "max_tokens"), what)
        if self.pretrain and self.pretrain.optimizer.name == "muon" and self.run.shard not in ("auto", "ddp"):
            what = f"{self.run.shard} cuts matrices, which muon orthogonalises whole: take another optimizer, or shard: ddp"
            raise AtKey(("run", "shard"), what)
        if self.pretrain and isinstance(self.pretrain.model, Recurrent) and self.run.shard not in ("auto", "ddp"):
            raise AtKey(("run", "shard"), f"{self.run.shard} cuts weights, which an lstm reads whole: take shard: ddp")
        if self.pretrain and self.run.shard == "tensor" and (found := uncut(self.pretrain.model, self.run.ranks)):
            raise AtKey(("pretrain", "model", found[0]), found[1])
        if self.pretrain:
            phases = [(("phases", number, "batch"), phase.batch) for number, phase in enumerate(self.pretrain.phases)]
            for key, batch in ((("batch",), self.pretrain.batch), *phases):
                if batch and batch % self.run.readers:
                    raise AtKey(("pretrain", *key), f"{batch} does not divide over run.ranks, which is {self.run.ranks}")
                if batch and batch // self.run.readers % self.pretrain.accumulate:
                    share, parts = batch // self.run.readers, self.pretrain.accumulate
                    raise AtKey(("pretrain", *key), f"{share} samples of a rank do not divide into pretrain.accumulate, which is {parts}")
        return self


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
