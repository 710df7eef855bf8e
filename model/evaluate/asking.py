"""The model: a saved model is *asked* examples of a task, and answers. One that was fine-tuned answers those of its kind: by its head, or
if it was taught to write, by what it writes up to its eos. Another that writes (a decoder, an encoder-decoder) is asked in words: which
label is likeliest behind the prompt, a byte, or what it writes, greedily, up to the end of the line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from model.evaluate.likelihood import encode_pair, is_cut, log_likelihoods
from model.evaluate.prompts import STOP, TEMPLATES, behind, choice_of, prompt_of
from model.examples import labels_of
from model.finetune.answers import Answers
from model.finetune.kinds import Kind, Said
from model.finetune.reading import reading_of
from model.finetune.saved import OURS, is_headed, load_headed
from model.finetune.sequences import Sequences
from model.finetune.tagging import OUTSIDE, Tagging
from model.generate import Asked as Wanted
from model.generate import Drawing, Writer
from schemas.errors import RequestError
from schemas.recipe import Task

PURPOSES = {"classification": "sequence", "pairs": "sequence", "relation": "sequence", "tagging": "tokens", "answers": "spans"}
"""The head that a kind of task needs."""
WRITTEN_TOGETHER = 16
"""Prompts that are continued side by side."""

WITHOUT_SHOTS = "a fine-tuned model is asked without examples: leave --shots out"

Advance = Callable[[int], None]


class Asking(Protocol):
    """A model that can be asked."""

    def labels(self, task: Task, known: Sequence[str]) -> Sequence[str]:
        """What an answer may be, given the labels of the task's data. Raises `RequestError` if the model can't answer the task."""

    def answer(self, task: Task, examples: Sequence[Any], shots: Sequence[Any], labels: Sequence[str], advance: Advance) -> list[Said]:
        """What the model says to each example."""

    notes: list[str]
    """What a reader of the answers must know."""


def asking(folder: Path) -> Asking:
    """The model saved in a folder. Raises `Mismatch` if it is an encoder without a head that was fine-tuned."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Headed(folder) if is_headed(config) else InWords(folder, config.get(OURS, {}))


class Headed:
    """A fine-tuned model; see the module."""

    def __init__(self, folder: Path) -> None:
        self.model, config = load_headed(folder)
        own = config.get(OURS, {})
        self._kind, self._may_be_none = own.get("kind"), bool(own.get("may_be_none", False))
        self._reading = reading_of(folder, config, own.get("max_tokens", self.model.architecture.context))
        self._class = config["architectures"][0]
        self.notes: list[str] = []

    def labels(self, task: Task, known: Sequence[str]) -> Sequence[str]:
        if self.model.purpose != PURPOSES.get(task.kind) or self._kind not in (None, task.kind):
            taught = f", taught {self._kind}" if self._kind else ""
            raise RequestError(f"task {task.name}: is {task.kind}, and the model is a {self._class}{taught}: it can't answer that")
        own = list(self.model.labels)
        unknown = sorted(set(known) - set(own))
        named = f"the task has the labels {', '.join(sorted(known))}; the model has {', '.join(own)}"
        if task.kind == "tagging" and unknown and set(known) & set(own) - {OUTSIDE}:
            self.notes.append(f"tags that the model doesn't know, each a mistake: {', '.join(unknown)}")
        elif unknown:
            raise RequestError(f"task {task.name}: the model doesn't know the label {unknown[0]!r}: {named}")
        return own

    def answer(self, task: Task, examples: Sequence[Any], shots: Sequence[Any], labels: Sequence[str], advance: Advance) -> list[Said]:
        if shots:
            raise RequestError(f"task {task.name}: {WITHOUT_SHOTS}")
        said = self._as_kind().answer(self.model, examples)
        advance(len(examples))
        return said

    def _as_kind(self) -> Kind:
        if self.model.purpose == "sequence":
            return Sequences(self._reading, self.model.labels)
        if self.model.purpose == "tokens":
            return Tagging(self._reading, self.model.labels)
        return Answers(self._reading, self._may_be_none)


class InWords:
    """A model that writes; see the module."""

    def __init__(self, folder: Path, taught: Mapping[str, Any]) -> None:
        """`taught`: what fine-tuning wrote down of its task; empty if there was none."""
        self.writer, self._taught = Writer(folder), taught
        self.notes: list[str] = []

    def labels(self, task: Task, known: Sequence[str]) -> Sequence[str]:
        if self._taught and self._taught.get("kind") != task.kind:
            raise RequestError(
                f"task {task.name}: is {task.kind}, and the model was taught {self._taught.get('kind')}: it can't answer that"
            )
        if task.kind not in TEMPLATES:
            raise RequestError(f"task {task.name}: {task.kind} can't be asked in words; such a model answers {', '.join(TEMPLATES)}")
        if unknown := sorted(set(task.choices) - set(known)):
            raise RequestError(f"task {task.name}: choices.{unknown[0]}: the data has no such label: it has {', '.join(known)}")
        return sorted(known)

    def answer(self, task: Task, examples: Sequence[Any], shots: Sequence[Any], labels: Sequence[str], advance: Advance) -> list[Said]:
        if shots and self._taught:
            raise RequestError(f"task {task.name}: {WITHOUT_SHOTS}")
        if self._taught:  # it was taught with its own
            task = task.model_copy(update={"prompt": None})
        prompts = [prompt_of(task, example, shots) for example in examples]
        try:
            return self._choose(task, prompts, labels, advance) if labels else self._write(task, prompts, advance)
        except ValueError as error:
            raise RequestError(f"task {task.name}: {error}") from error

    def _choose(self, task: Task, prompts: Sequence[str], labels: Sequence[str], advance: Advance) -> list[Said]:
        """The label whose continuation has the best log-likelihood a byte: lengths differ, and tokens differ by tokenizer."""
        continuations = [behind(choice_of(task, label)) for label in labels]
        pairs = [encode_pair(self.writer, prompt, text) for prompt in prompts for text in continuations]
        self._note_cut(sum(is_cut(self.writer, pair) for pair in pairs[:: len(labels)]), len(prompts))
        told = [0]

        def hear(done: int) -> None:
            told[0] += done
            advance(told[0] // len(labels))
            told[0] %= len(labels)

        found = log_likelihoods(self.writer, pairs, advance=hear)
        said: list[Said] = []
        for number in range(len(prompts)):
            of = found[number * len(labels) : (number + 1) * len(labels)]
            scores = [one.log_likelihood / len(text.encode()) for one, text in zip(of, continuations, strict=True)]
            said.append(labels[max(range(len(labels)), key=scores.__getitem__)])
        return said

    def _write(self, task: Task, prompts: Sequence[str], advance: Advance) -> list[Said]:
        most, stop = self._taught.get("max_new_tokens", task.max_tokens), () if self._taught else (STOP,)
        wanted = Wanted(most, drawing=Drawing(temperature=0.0), stop=stop)
        limit, sizes = getattr(self.writer.model, "limit", None), [len(text) for text in prompts]
        self._note_cut(0 if limit is None else sum(len(self.writer.ids(prompt)) > limit for prompt in prompts), len(prompts))
        order = sorted(range(len(prompts)), key=sizes.__getitem__)
        said: list[Said] = [""] * len(prompts)
        for first in range(0, len(order), WRITTEN_TOGETHER):
            numbers = order[first : first + WRITTEN_TOGETHER]
            for number, written in zip(numbers, self.writer.write([prompts[n] for n in numbers], wanted), strict=True):
                said[number] = written.text.strip()
            advance(len(numbers))
        return said

    def _note_cut(self, cut: int, prompts: int) -> None:
        if cut:
            self.notes.append(f"{cut:,} of {prompts:,} prompts are longer than the model's context: it did not see their start")


def known_labels(subsets: Sequence[Sequence[Any]]) -> list[str]:
    """The labels of a task's examples, sorted."""
    return sorted({label for examples in subsets for example in examples for label in labels_of(example)})


def drawn(examples: Sequence[Any], count: int | None, seed: int, what: str) -> list[Any]:
    """So many examples, in their order; None: all. The same ones for equal examples and seeds."""
    if count is None or count >= len(examples):
        return list(examples)
    places = sorted(random.Random(f"{seed}/{what}").sample(range(len(examples)), count))
    return [examples[place] for place in places]
