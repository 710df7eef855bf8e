"""The model: a *recipe* is the YAML file of a whole run. Each step reads one *section* of it.

Every value in a step's section is a *literal*: it decides the output and counts in the step's fingerprint. What is in
``run`` (workers, ranks, store) and where sources lie never counts. Sections are frozen; an unknown key is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.recipe.architecture import Architecture, Decoder, Encoder, EncoderDecoder, Recurrent
from schemas.recipe.clean import Boilerplate, Clean
from schemas.recipe.corpus import Annotator, Corpus, Decontaminate, EvaluationSet, Harmful, HeldOut, Redact, Sampling
from schemas.recipe.dedup import Dedup, Near, Repeats
from schemas.recipe.objective import Objective
from schemas.recipe.rules import Rules
from schemas.recipe.scores import Classifier, NgramModel
from schemas.recipe.section import AtKey, Name, Positive, Section
from schemas.recipe.source import Source
from schemas.recipe.tensor import uncut
from schemas.recipe.tokenizer import Tokenizer, Tokens
from schemas.recipe.training import Average, Evaluate, Finetune, Optimizer, Phase, Pretrain, Schedule

__all__ = [
    "Annotator", "Architecture", "Average", "Boilerplate", "Classifier", "Clean", "Corpus", "Decoder", "Decontaminate", "Dedup",
    "Encoder", "EncoderDecoder", "Evaluate", "EvaluationSet", "Finetune", "Harmful", "HeldOut", "Near", "NgramModel", "Objective",
    "Optimizer", "Phase", "Pretrain", "Recipe", "Recurrent", "Redact", "Repeats", "Rules", "Run", "Sampling", "Schedule", "Section",
    "Source", "Tokenizer", "Tokens", "json_schema",
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
    """Processes of a training, over all machines."""
    threads_per_rank: Positive = 1
    machines: Positive = 1
    """Machines of a training, which share the store at the same path; `gristmill join` is run on all but the first."""
    meet: Annotated[str, Field(pattern=r"^[^:/]+:[0-9]+$")] | None = None
    """Address of the first machine and a free port of it (`10.0.0.1:29400`), where the machines meet; needed by more than one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What ranks of a pretraining compute on: the CPU, or a card each (cuda); auto: cards if a machine has one for each of its ranks."""
    shard: Literal["auto", "ddp", "fsdp", "hsdp", "tensor"] = "auto"
    """How a training's weights, gradients and moments lie on ranks: whole on each (ddp), cut over all (fsdp), cut over the ranks of each
    machine (hsdp), or, of a decoder, cut over ranks of one machine that compute each sample together (tensor); auto: whole if that fits in
    half of the memory, else fsdp. Bits of the result differ by rounding, and its facts say what it was."""
    recompute: bool = False
    """Whether a training's layers compute their activations again in the backward pass, instead of keeping them: less memory, more time."""
    reshard: bool = False
    """Whether a training may go on from a checkpoint of another number of ranks, or of another `shard`. Samples are the same; the result
    differs by rounding, and the model's facts say so."""
    restarts: Annotated[int, Field(ge=0)] = 3
    """How often a training whose rank died goes on from its newest checkpoint by itself."""
    tensorboard: str | None = None
    """Folder for the event files of TensorBoard, which show a training while it runs, relative to the working directory; null: none."""
    settle: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which a file must have been unchanged before an incremental version reads it."""
    marker: Annotated[str, Field(pattern=r"^[^/]+$")] | None = None
    """What senders leave behind when a file is whole: with a dot in front, the ending of a file beside it (`.done`); else the name of a
    file in its folder (`_SUCCESS`). Incremental versions read only such files; null: nobody does so."""

    @model_validator(mode="after")
    def _machines_meet(self) -> Run:
        if self.ranks % self.machines:
            raise ValueError(f"ranks: {self.ranks} do not divide over machines, which is {self.machines}")
        if (self.machines > 1) != (self.meet is not None):
            raise ValueError("machines and meet belong together: give both, or neither")
        if self.shard == "tensor" and self.machines > 1:
            raise ValueError("shard: tensor is of one machine, as ranks exchange messages within each layer: take fsdp or hsdp")
        return self

    @property
    def readers(self) -> int:
        """Ranks that read samples of their own: all, unless they compute each sample together."""
        return 1 if self.shard == "tensor" else self.ranks


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
            raise AtKey(("finetune",), "starts from the model that pretrain makes: add a pretrain section")
        if self.evaluate and not self.pretrain:
            raise AtKey(("evaluate",), "measures the model that pretrain makes: add a pretrain section")
        for section, asked, fitting in (("finetune", self.finetune, Decoder), ("evaluate", self.evaluate, Decoder | Recurrent)):
            if asked and self.pretrain and not isinstance(self.pretrain.model, fitting):
                what = f"is of decoders so far, and pretrain.model.family is {self.pretrain.model.family}: leave the section out"
                raise AtKey((section,), what)
        if self.pretrain and self.pretrain.aim.name == "masked_tokens" and self.tokenizer.lacks_mask:
            raise AtKey(
                ("tokenizer",), "has no mask, by which masked_tokens hides others: set family bert, or name it in special_tokens.mask"
            )
        if self.pretrain and self.pretrain.aim.name == "span_corruption" and self.tokenizer.lacks_sentinels:
            raise AtKey(("tokenizer", "sentinels"), "span corruption puts them in the place of what it cuts out: set it to 100, say")
        names = [source.name for source in self.corpus.sources]
        if self.finetune and self.finetune.source not in names:
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
