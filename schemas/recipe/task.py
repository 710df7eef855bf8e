"""The model: a *task* says what labelled data is, where it lies, and by what answers to it are judged. Fine-tuning learns one, and an
evaluation asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.arrow import SUBSETS
from schemas.recipe.section import AtKey, Name, Positive, Section

Kind = Literal["classification", "pairs", "relation", "tagging", "answers", "generation", "chat", "code"]
DataFormat = Literal["jsonl", "csv", "tsv", "parquet", "conll", "conllu", "squad"]

FIELDS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "pairs": ("first", "second", "label"),
    "relation": ("text", "label"),
    "tagging": ("words", "tags"),
    "answers": ("question", "context", "answers"),
    "generation": ("prompt", "target"),
    "chat": ("messages",),
    "code": ("prompt", "solution", "tests"),
}
"""What an example of each kind has."""
METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "mcc"),
    "pairs": ("accuracy", "macro_f1", "mcc"),
    "relation": ("macro_f1", "accuracy"),
    "tagging": ("entity_f1", "accuracy"),
    "answers": ("f1", "exact_match"),
    "generation": ("rouge_l", "rouge_1", "rouge_2", "bleu", "chrf", "ter", "exact_match", "f1"),
    "chat": ("loss",),
    "code": ("pass_at_1",),
}
"""What answers to each kind can be judged by: the first three unless others are asked for, and the first decides."""
ASKED_FOR: dict[str, tuple[str, ...]] = {"relation": ("relation_f1", "mcc")}
"""Metrics that judge only where a task names them."""
PROMPTED = ("prompt", "choices", "max_tokens")
"""Keys of a task that only a model which is asked in words looks at."""


class TaskData(Section):
    """Files of examples. Each path may hold a wildcard; what is missing of the subsets is drawn from `train`."""

    train: str | None = None
    """Path of what is learned from; null for a task that is only asked."""
    validation: str | None = None
    test: str | None = None
    format: DataFormat | None = None
    """Null: by the ending of each name. A name that ends in .gz, .bz2, .xz or .zst is read compressed."""
    fields: dict[str, str] = {}
    """Names of columns or keys, by what they hold, where they differ: {text: review, label: stars}. Without a header, numbers of columns
    from 0. In CoNLL files, of `words` and `tags`."""
    header: bool = True
    """Whether the first row of csv and tsv files names the columns."""
    lang: str | None = None
    """Language of the texts: `zh` counts and compares by characters; null: by each text's script."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Whether a repeated input is learned and asked once. A text that has two labels is dropped with both."""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of `train` that each missing subset takes, each label its share."""
    seed: int = 0
    """Of that draw."""


class Task(Section):
    """What is asked, and how answers are judged."""

    name: Name
    version: Positive = 1
    """Raise it when the data or the judgement changes: results of different versions don't compare."""
    kind: Kind
    data: TaskData
    metrics: tuple[str, ...] = ()
    """The first decides; empty: those of the kind."""
    target_lang: str | None = None
    """Language of what is written, where it is another than `data.lang`: BLEU cuts Chinese by characters."""
    prompt: str | None = None
    """How a model without a head is asked, with {text}, {question} and the like in place of an example's fields; null: as the kind is."""
    choices: dict[str, str] = {}
    """What such a model's likelihood is asked for, by label: {pos: good, neg: bad}. Labels that are not here stand for themselves."""
    max_tokens: Positive = 64
    """Tokens that such a model writes at the most."""

    separator: str = "\n"
    """Of generation and code, what a decoder reads between a prompt and what it is to write."""

    @property
    def judged_by(self) -> tuple[str, ...]:
        """Metrics, the one that decides first."""
        return self.metrics or METRICS[self.kind][:3]

    def without_places(self) -> dict[str, Any]:
        """For identities: of files only whether there are some, as their contents count elsewhere, and their places don't."""
        told = self.as_json()
        told["data"] |= {subset: subset for subset in SUBSETS if told["data"][subset] is not None}
        return told

    def at(self, files: Mapping[str, str]) -> Task:
        """The task of a section that came from an identity, with the paths of its files by subset."""
        return self.model_copy(update={"data": self.data.model_copy(update={subset: files.get(subset) for subset in SUBSETS})})

    @model_validator(mode="after")
    def _keys_are_of_the_kind(self) -> Task:
        judges = (*METRICS[self.kind], *ASKED_FOR.get(self.kind, ()))
        if unknown := [name for name in self.metrics if name not in judges]:
            raise AtKey(("metrics",), f"{unknown[0]!r} does not judge {self.kind}: it is judged by {', '.join(judges)}")
        known = (*FIELDS[self.kind], "id")
        if unknown := [name for name in self.data.fields if name not in known]:
            raise AtKey(("data", "fields", unknown[0]), f"is nothing that {self.kind} has: {', '.join(FIELDS[self.kind])}")
        asked = [f"{{{field}}}" for field in FIELDS[self.kind][:-1]]
        if self.prompt is not None and (missing := [field for field in asked if field not in self.prompt]):
            raise AtKey(("prompt",), f"has no {missing[0]}: a prompt of {self.kind} holds {', '.join(asked)}")
        return self
