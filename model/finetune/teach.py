"""The model: to *teach* is to fit one model, from its pretrained weights, to the training subset of a task, once a seed. Of several
seeds the one that is best on the validation subset is kept, the earliest of equals.
"""

from __future__ import annotations

import statistics as averages
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model.examples import class_weights
from model.finetune.answers import Answers
from model.finetune.chatting import Chatting
from model.finetune.coding import Coding
from model.finetune.fit import Fit, Judged
from model.finetune.judging import judged, metrics_of, values
from model.finetune.kinds import Kind, mean_loss
from model.finetune.labels import classes, tags
from model.finetune.lora import add_adapters, merge_adapters
from model.finetune.reading import Reading
from model.finetune.samples import shuffled
from model.finetune.sequences import Sequences
from model.finetune.tagging import Tagging
from model.finetune.writing import Frame, Writing
from model.metrics import Metric, measure
from model.metrics.metric import Floats
from schemas import recipe
from schemas.errors import RequestError

Subsets = Mapping[str, Sequence[Any]]
"""Examples of `train`, `validation` and `test`."""
Add = Callable[[int, dict[str, Any]], None]
"""Hears of a seed's metrics, a row a step."""


WRITES = {"generation": Writing, "chat": Chatting, "code": Coding}
"""Kinds that are written."""


def kind_of(task: recipe.Task, settings: recipe.Finetune, reading: Reading, subsets: Subsets, config: dict[str, Any]) -> Kind:
    """What a task's examples are to a model with this `config.json`. Raises `RequestError` for what it can't learn."""
    match task.kind:
        case "classification" | "pairs" | "relation":
            labels = classes(subsets)
            weights = class_weights([example.label for example in subsets["train"]]) if settings.class_weights == "balanced" else {}
            return Sequences(reading, labels, [weights[label] for label in labels] if weights else None)
        case "tagging":
            return Tagging(reading, tags(subsets))
        case "answers":
            return Answers(reading, any(not example.answers for example in subsets["train"]))
        case "generation" | "chat" | "code":
            return WRITES[task.kind](reading, Frame.of(reading, config, task.separator), subsets["train"])


@dataclass(frozen=True)
class Taught:
    """What came of one seed."""

    seed: int
    best_epoch: int
    validation: dict[str, float]
    """By metric, and the loss."""
    test: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        return {"seed": self.seed, "best_epoch": self.best_epoch, "validation": self.validation, "test": self.test}


class Teacher:
    """Teaches models a task; see the module."""

    def __init__(
        self, kind: Kind, task: recipe.Task, settings: recipe.Finetune, subsets: Subsets, make: Callable[[Kind], nn.Module], compiled: bool
    ) -> None:
        """`make` gives a model before its first step; torch's global generator is seeded."""
        self.kind, self.settings, self.subsets = kind, settings, subsets
        self.metrics: list[Metric] = metrics_of(task, kind.labels, subsets["test"])
        self._make, self._compiled = make, compiled
        self._samples = kind.samples(subsets["train"])
        self._validation = kind.samples(subsets["validation"])
        self.parameters = self.trained = 0
        self._tested: dict[int, dict[str, Floats]] = {}

    def fit_of(self, seed: int) -> Fit:
        """A fit that is ready to run."""
        torch.manual_seed(seed)
        model = self._make(self.kind)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._freeze(model)
        self.trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        reading = self.kind.reading
        return Fit(model, self.kind.loss, self._samples, self.settings, seed, reading.pad, reading.max_tokens, self._compiled)

    def teach(self, add: Add) -> tuple[nn.Module, list[Taught]]:
        """The model that is best of all seeds, adapters merged, and what came of each; raises NotFinite."""
        best: tuple[float, nn.Module] | None = None
        taught: list[Taught] = []
        for seed in range(self.settings.seed, self.settings.seed + self.settings.seeds):
            fit = self.fit_of(seed)
            epoch, history = fit.run(self._judge, lambda row, seed=seed: add(seed, row))  # type: ignore[misc]
            merge_adapters(fit.model)
            self._tested[seed] = judged(self.metrics, self.kind, fit.model, self.subsets["test"])
            test = values(self.metrics, self._tested[seed])
            taught.append(Taught(seed, epoch, history[epoch - 1].facts, test))
            if best is None or history[epoch - 1].score > best[0]:
                best = history[epoch - 1].score, fit.model
        assert best is not None
        return best[1], taught

    def _judge(self, model: nn.Module) -> Judged:
        if isinstance(self.kind, Writing):  # writing takes long
            found = self.kind.likelihoods(model, self._validation)
            facts = {"loss": sum(one.nats for one in found) / sum(one.tokens for one in found)}
        else:
            facts = values(self.metrics, judged(self.metrics, self.kind, model, self.subsets["validation"]))
            facts["loss"] = mean_loss(self.kind, model, self._validation)
        return Judged(self.score(facts), facts)

    def score(self, facts: Mapping[str, float]) -> float:
        """What decides of figures: the higher, the better."""
        first = self.metrics[0]
        if isinstance(self.kind, Writing):
            return -facts["loss"]
        return facts[first.name] if first.better == "higher" else -facts[first.name]

    def standard_error(self, seed: int) -> float:
        """Of what a seed's model got in the test subset's first metric, by a bootstrap over examples."""
        found = measure(self.metrics[0], self._tested[seed][self.metrics[0].name], self.settings.seed)
        assert found.standard_error is not None
        return found.standard_error

    @property
    def steps(self) -> int:
        """Of one seed, if none ends early."""
        reading, settings = self.kind.reading, self.settings
        return settings.epochs * len(shuffled(self._samples, settings.batch, reading.max_tokens, settings.seed, 0))

    def _freeze(self, model: nn.Module) -> None:
        settings = self.settings
        if settings.method == "full":
            return
        if settings.method == "head":
            _freeze_all(model)
        else:
            add_adapters(model, settings.rank, settings.alpha, settings.method == "dora")
        # What a pretrained head writes is changed by itself, or else through the layers below it; one that is tied is no parameter.
        heads = ("score.", "head.", "pooler.", *(("base.lm_head.",) if settings.method == "head" else ()))
        for name, parameter in model.named_parameters():
            if name.startswith(heads):
                parameter.requires_grad_(True)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise RequestError(f"finetune.method {settings.method}: leaves nothing to train: take full, lora or dora")


def _freeze_all(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def over_seeds(taught: Sequence[Taught]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (n - 1) of each test figure over the seeds; nothing of one seed, which has no deviation."""
    if len(taught) < 2:
        return {}
    figures = {name: [one.test[name] for one in taught] for name in taught[0].test}
    return {name: {"mean": averages.fmean(found), "deviation": averages.stdev(found)} for name, found in figures.items()}
