"""The model: the sections of the steps that make models and measure them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from schemas.recipe.architecture import Architecture, Decoder, Encoder, EncoderDecoder, Recurrent
from schemas.recipe.objective import Objective
from schemas.recipe.section import AtKey, Fraction, Positive, Section


class Optimizer(Section):
    """How gradients become updates: AdamW, Adam, SGD with momentum or Adagrad for all weights, or Muon for 2-D hidden weights and AdamW
    for the rest."""

    LATER: ClassVar[frozenset[str]] = frozenset({"momentum"})

    name: Literal["adamw", "muon", "adam", "sgd", "adagrad"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate (Muon: of AdamW's weights). Unless given, 0.3 for sgd and 0.03 for adagrad."""
    muon_lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Of matrices but embeddings. AdamW and Muon shrink the weights by it; adam, sgd and adagrad add it to the gradient, as they were
    published, and have none unless it is given."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of Adam and AdamW."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Limit of the global gradient norm."""

    @model_validator(mode="before")
    @classmethod
    def _each_has_defaults_of_its_own(cls, value: Any) -> Any:
        own = {"adam": {"weight_decay": 0.0}, "sgd": {"lr": 0.3, "weight_decay": 0.0}, "adagrad": {"lr": 0.03, "weight_decay": 0.0}}
        return {**own.get(value.get("name", ""), {}), **value} if isinstance(value, dict) else value


class Schedule(Section):
    """The learning rate over the steps: warm up linearly to the peak, then what `name` says."""

    LATER: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Literal["wsd", "cosine", "linear", "constant", "inverse_sqrt"] = "wsd"
    """wsd: hold, then decay linearly (warmup-stable-decay; decay 1: straight down); cosine, linear: down from the end of the warm-up on;
    constant: hold; inverse_sqrt: down as one over the square root of the step."""
    warmup: Fraction = 0.05
    decay: Fraction = 0.5
    """Of wsd. Warm-up and decay are shares of the steps."""
    final: Fraction = 0.0
    """Share of the peak that wsd, cosine and linear end at."""

    @model_validator(mode="after")
    def _keys_belong_to_the_name(self) -> Schedule:
        fields = type(self).model_fields
        for key, names in (("decay", ("wsd",)), ("final", ("wsd", "cosine", "linear"))):
            if self.name not in names and getattr(self, key) != fields[key].default:
                raise ValueError(f"{key} is a key of {', '.join(names)}; {self.name} has no use for it: leave it out")
        return self


class Average(Section):
    """A second set of weights: an exponential moving average of those that are trained."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """What stays of it at each step; less in the first steps, (1 + n) / (10 + n) after n of them."""
    export: Literal["instead", "beside"] = "instead"
    """instead: it is the model, and what validation measures; beside: it goes to `average/` of the artifact, and both are measured."""


class Phase(Section):
    """What changes from one step of pretraining on; a key that is left out stays as it was."""

    step: Positive
    """Steps that are taken before it."""
    mix: dict[str, float] | None = None
    context: Annotated[int, Field(ge=2)] | None = None
    """Tokens of a sequence, at most `model.context`. Another window cuts the text anew."""
    batch: Positive | None = None


class Pretrain(Section):
    """The pretrain step: token shards in, a model out."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"accumulate", "average", "z_loss", "loss_chunk", "on_nonfinite", "objective", "keep_trunk"}
    )

    model: Architecture = Decoder()
    objective: Objective | None = None
    """What it learns to predict; null: what its family is made for, next_token for decoders, masked_tokens for encoders, span_corruption
    for encoder-decoders."""
    steps: Positive | None = 1000
    """Null if `epochs` is given."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Instead of `steps`: as many steps as read no stream of text more often than this."""
    batch: Positive = 16
    """Sequences of `model.context` tokens a step, over all ranks."""
    mix: dict[str, float] = {}
    """Share of the samples by language (`zh`), source (`books/*`) or both (`books/zh`); empty: as the corpus is, by its weights."""
    phases: tuple[Phase, ...] = ()
    """Changes of mix, context or batch at later steps."""
    packing: Literal["concat", "best_fit"] = "concat"
    """concat: documents end to end, cut into blocks; best_fit: whole documents packed into sequences, cut only if longer than one."""
    document_mask: bool = False
    """Attend within documents only, with positions counted from each document's start in its sequence."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    accumulate: Positive = 1
    """Micro-batches that each rank cuts its share of a batch into: the same samples in a step, in less memory."""
    average: Average | None = None
    z_loss: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean square of the logits' log-sum-exp, added to what is minimised (not to the loss that is told). 1e-4 is usual."""
    loss_chunk: Positive | None = None
    """Tokens whose logits exist at a time, instead of all of a micro-batch: less memory with big vocabularies."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """What to do at a step whose loss or gradient is not finite on some rank: end the run, or count it and go on without its update."""
    precision: Literal["float32", "bf16"] = "bf16"
    compile: bool = True
    """torch.compile; without a C++ compiler the run goes on without it, and says so."""
    validate_every: Positive = 200
    """Steps between measures of validation bits per byte."""
    validate_tokens: Positive = 32_768
    checkpoint_every: Positive = 200
    keep_checkpoints: Positive = 2
    keep_trunk: bool = False
    """Whether the model keeps, in `trunk/`, its weights and the optimizer's moments as they were before the learning rate began to decay
    (schedule wsd): a retraining goes on from there as if it had never ended. It takes up to three times the model's own space."""
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _epochs_take_the_place_of_steps(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("epochs") is not None:
            return {"steps": None, **value}
        return value

    @property
    def aim(self) -> Objective:
        """The objective, or the family's own."""
        return self.objective or Objective.model_validate({"name": self.model.OBJECTIVES[0]})

    @property
    def architecture(self) -> Decoder | Encoder | EncoderDecoder | Recurrent:
        """The model, with the heads that the objective needs."""
        if not isinstance(self.model, Encoder):
            return self.model
        return self.model.model_copy(update={"task": "next_sentence" if self.aim.next_sentence else "masked_tokens"})

    @model_validator(mode="after")
    def _objective_fits_the_model(self) -> Pretrain:
        family, fitting = self.model.family, self.model.OBJECTIVES
        if isinstance(self.model, Encoder) and self.model.task is not None:
            raise AtKey(("model", "task"), "follows from objective.next_sentence: leave it out")
        if self.aim.name not in fitting:
            raise AtKey(("objective", "name"), f"{self.aim.name} does not train {family}: it learns by {' or '.join(fitting)}")
        if self.aim.next_sentence and family != "bert":
            raise AtKey(("objective", "next_sentence"), f"{family} has no head for it: it is bert's")
        if self.aim.next_sentence:
            for key in ("packing", "document_mask"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise AtKey((key,), "has no say over the pairs that objective.next_sentence reads: leave it out")
        for key in ("z_loss", "loss_chunk"):
            if getattr(self, key) and isinstance(self.model, Encoder):
                raise AtKey((key,), f"is not for {family}, which scores hidden tokens only: leave it out")
        return self

    @model_validator(mode="after")
    def _spans_are_cut_from_whole_samples(self) -> Pretrain:
        if isinstance(self.model, EncoderDecoder):
            why = f"{self.aim.name} cuts spans out of samples of one length, across the ends of documents"
            if self.packing != "concat":
                raise AtKey(("packing",), f"{why}, so concat is all there is: leave it out")
            if self.document_mask:
                raise AtKey(("document_mask",), f"{why}, so there is no document to stay within: leave it out")
        return self

    @model_validator(mode="after")
    def _trunk_is_before_a_decay(self) -> Pretrain:
        if self.keep_trunk and self.schedule.name != "wsd":
            raise AtKey(("keep_trunk",), f"is of a schedule that holds its rate, then decays: wsd; {self.schedule.name} is none")
        return self

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Pretrain:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"give either steps or epochs, not {'both' if self.epochs else 'neither'}")
        starts = [phase.step for phase in self.phases]
        if starts != sorted(set(starts)) or (self.steps is not None and starts and starts[-1] >= self.steps):
            raise ValueError(f"phases start at steps {starts}: want them to grow, and to stay below steps ({self.steps})")
        for phase in self.phases:
            if phase.context is not None and phase.context > self.model.context:
                raise ValueError(f"the phase at step {phase.step}: context {phase.context} is more than model.context {self.model.context}")
        return self


class Evaluate(Section):
    """The evaluate step: models and held-out text in, metrics beside their baselines out."""

    subset: Literal["validation", "test"] = "test"
    max_tokens: Positive = 120_000
    """Tokens of held-out text to measure language modelling on, over all languages."""
    ngram_orders: tuple[Positive, ...] = (2, 5)
    prompts: tuple[str, ...] = ()
    sample_tokens: Positive = 48
    temperature: Annotated[float, Field(ge=0)] = 0.8
    seed: int = 0
