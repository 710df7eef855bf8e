"""The model: to *train a language* is to make its file of weights from *treebanks*, CoNLL-U files with words and tags. The first
one is the *standard* that the weights follow; the others lend what they know. Plain text, labelled by the teachers, shows the
student more words than treebanks have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.annotate.conllu import read
from pipelines.annotate.fast.han import BEGINS
from pipelines.annotate.fast.weights import Tensors, Windows, write_weights
from pipelines.annotate.fast.window_net import WindowNet
from pipelines.annotate.fast.word_set import Bits, word_set
from pipelines.annotate.training.encoder import EncoderTeacher
from pipelines.annotate.training.recurrent import RecurrentTeacher
from pipelines.annotate.training.student import integer_twin, train_student
from pipelines.annotate.training.tasks import (
    Examples,
    Target,
    Task,
    Tokens,
    beginnings,
    reading,
    reading_target,
    segmenting,
    tag_target,
    tagging,
    tags_of,
    word_target,
)
from pipelines.annotate.training.text import character_sequences, read_lines, word_sequences
from pipelines.annotate.training.window_net import WindowNetModule
from schemas.errors import RequestError

_COPIES = 4
"""How often the student sees each sentence of the standard in a pass."""
_GOLD = 0.5
"""Share of gold in the standard's targets; the rest is the teachers' opinion."""
_DAMAGED = 0.1
"""Share of sentences that the tagger's student also sees in lower case, upper case, or with their bytes misread."""
_NO_WORDS = np.zeros(0, np.uint8)

Log = Callable[[str], None]
Gold = list[tuple[tuple[str, ...], tuple[str, ...]]]
"""Words and tags of sentences."""


@dataclass(frozen=True)
class Plan:
    """What to train from, and how long."""

    lang: str
    treebanks: tuple[Path, ...]
    text: tuple[Path, ...] = ()
    encoder: Path | None = None
    """Folder of a pretrained encoder, the tagger's teacher; null: recurrent teachers."""
    teachers: int = 3
    """Recurrent teachers, which differ by their seeds."""
    passes: int = 6
    """How often the student sees everything."""
    words: Path | None = None
    """A dictionary for the Chinese segmenter: a word a line, whatever stands behind it."""
    dev: Path | None = None
    """CoNLL-U file to measure on, never trained on."""
    seed: int = 0


def train_language(plan: Plan, out: Path, log: Log) -> dict[str, Any]:
    """Train and write the weights of a language; return what they were made from and how good they are on `dev`.

    Raises `RequestError` naming a file that can't be read or holds no tagged sentence.
    """
    gold = [read_gold(path) for path in plan.treebanks]
    dev = read_gold(plan.dev) if plan.dev else []
    lines = read_lines(plan.text)
    words = word_set([line.split()[0] for line in read_lines([plan.words])] if plan.words else []) if plan.lang == "zh" else _NO_WORDS
    nets: dict[str, tuple[Windows, Tensors]] = {}
    measured: dict[str, float] = {}
    if plan.lang == "zh":
        task = segmenting(words)
        known, opinions, net = _read_chinese(plan, gold, dev, character_sequences(lines), words, task, log)
        nets[task.name] = (task.windows, net.quantized())
        measured["word_f1"] = _word_f1(task, integer_twin(net, task), gold=dev)
    else:
        known, opinions = _tag_words(plan, gold, word_sequences(lines, plan.lang), log)
    task = tagging(plan.lang)
    targets = [tag_target(tags) for _, tags in gold[0]]
    examples = _examples(task, known, targets, opinions, damage=None if plan.lang == "zh" else _damaged)
    net = _student(task, examples, plan, partial(_accuracy, task, gold=dev) if dev else None, log)
    nets[task.name] = (task.windows, net.quantized())
    measured["upos_accuracy"] = _accuracy(task, integer_twin(net, task), gold=dev)
    write_weights(out, plan.lang, nets, words)
    return {
        "lang": plan.lang,
        "weights": str(out),
        "bytes": out.stat().st_size,
        "gold_words": sum(len(forms) for treebank in gold for forms, _ in treebank),
        "text_words": sum(map(len, known[sum(map(len, gold)) :])),
        **({key: round(value, 6) for key, value in measured.items()} if dev else {}),
    }


def _tag_words(plan: Plan, gold: Sequence[Gold], text: Sequence[Tokens], log: Log) -> tuple[list[Tokens], list[Target]]:
    """The words of all sentences, gold and text, and what teachers think that they are."""
    task = tagging(plan.lang)
    teachers: list[Any] = [RecurrentTeacher(task, plan.seed + i) for i in range(plan.teachers)]
    if plan.encoder is not None:
        teachers = [EncoderTeacher(plan.encoder, task.labels, plan.seed)]
    sequences = [[forms for forms, _ in treebank] for treebank in gold]
    opinions = _opinions(teachers, sequences, [[tag_target(tags) for _, tags in treebank] for treebank in gold], text, log)
    return [*chain(*sequences), *text], opinions


def _read_chinese(
    plan: Plan, gold: Sequence[Gold], dev: Gold, text: Sequence[str], words: Bits, task: Task, log: Log
) -> tuple[list[Tokens], list[Target], WindowNetModule]:
    """The words of all sentences, what teachers think that they are, and a segmenter that has learned from them where words begin."""
    teachers = [RecurrentTeacher(reading(words), plan.seed + i) for i in range(plan.teachers)]
    sequences = [["".join(forms) for forms, _ in treebank] for treebank in gold]
    opinions = _opinions(teachers, sequences, [[reading_target(*sentence) for sentence in treebank] for treebank in gold], text, log)
    targets = [word_target(forms) for forms, _ in gold[0]]
    examples = _examples(task, [*chain(*sequences), *text], targets, [beginnings(opinion) for opinion in opinions])
    net = _student(task, examples, plan, partial(_word_f1, task, gold=dev) if dev else None, log)
    known: list[Tokens] = [forms for treebank in gold for forms, _ in treebank]
    known += [_parted(sequence, opinion) for sequence, opinion in zip(text, opinions[len(known) :], strict=True)]
    return known, [tags_of(opinion, forms) for opinion, forms in zip(opinions, known, strict=True)], net


def _student(task: Task, examples: Examples, plan: Plan, judge: Callable[[WindowNet], float] | None, log: Log) -> WindowNetModule:
    return train_student(task, examples, passes=plan.passes, seed=plan.seed, log=log, judge=judge)


def read_gold(path: Path) -> Gold:
    """Sentences whose words all have tags. Raises `RequestError` naming the file if there are none."""
    found = []
    for sentence in read(path):
        words = [word for token in sentence.tokens for word in token.words]
        tags = tuple(word.upos for word in words if word.upos is not None)
        if words and len(tags) == len(words):
            found.append((tuple("".join(word.form.split()) or "_" for word in words), tags))
    if not found:
        raise RequestError(f"{path}: holds no sentence with Universal POS tags")
    return found


def _opinions(
    teachers: Sequence[Any], sequences: Sequence[Sequence[Tokens]], targets: Sequence[Sequence[Target]], text: Sequence[Tokens], log: Log
) -> list[Target]:
    """What the teachers think of all gold sequences and of the text, in the style of the standard; their mean."""
    flat = [*chain(*sequences), *text]
    gold = [*chain(*targets)]
    numbers = [number for number, treebank in enumerate(sequences) for _ in treebank]
    taught = [*range(len(targets[0])), *range(len(gold))]  # the standard twice
    total: list[Target] = []
    for teacher in teachers:
        teacher.fit([flat[i] for i in taught], [gold[i] for i in taught], [numbers[i] for i in taught], log)
        found = teacher.predict(flat)
        total = [one + other for one, other in zip(total, found, strict=True)] if total else found
    return [opinion / np.float32(len(teachers)) for opinion in total]


def _examples(
    task: Task,
    sequences: Sequence[Tokens],
    standard: Sequence[Target],
    opinions: Sequence[Target],
    damage: Callable[[Tokens, int], Tokens] | None = None,
) -> Examples:
    """What the student learns from: the standard, which comes first, with gold mixed in; everything else as the teachers see it."""
    made = [_GOLD * target + (1 - _GOLD) * opinion for target, opinion in zip(standard, opinions[: len(standard)], strict=True)]
    made += opinions[len(standard) :]
    kept = [number for number in range(len(sequences)) for _ in range(_COPIES if number < len(standard) else 1)]
    chosen, labels = [sequences[number] for number in kept], [made[number] for number in kept]
    if damage:
        rng = np.random.default_rng(0)
        for number in rng.choice(len(sequences), int(_DAMAGED * len(sequences)), replace=False).tolist():
            chosen.append(damage(sequences[number], int(rng.integers(3))))
            labels.append(made[number])
    return Examples.of(task, chosen, labels)


def _parted(sequence: str, opinion: Target) -> tuple[str, ...]:
    """The words that teachers see in a sequence."""
    begins = beginnings(opinion).argmax(1) == BEGINS
    begins[0] = True
    return tuple(sequence[a:b] for a, b in pairwise([*np.flatnonzero(begins).tolist(), len(sequence)]))


def _damaged(words: Tokens, how: int) -> Tokens:
    if how == 2:  # what UTF-8 looks like when it is read as Windows-1252
        return [word.encode().decode("cp1252", "replace") for word in words]
    return [word.upper() if how else word.lower() for word in words]


def _accuracy(task: Task, net: WindowNet, *, gold: Gold) -> float:
    """Share of gold's words with gold's tag."""
    if not gold:
        return 0.0
    types, features = task.streams([words for words, _ in gold])
    labels = net.labels(types, net.tables(features), np.cumsum([len(words) for words, _ in gold]))
    return float((labels == np.concatenate([tag_target(tags).argmax(1) for _, tags in gold])).mean())


def _word_f1(task: Task, net: WindowNet, *, gold: Gold) -> float:
    """F1 of words as spans, of sentences without their white space."""
    if not gold:
        return 0.0
    cut = _cut(task, net, ["".join(words) for words, _ in gold])
    right = found = wanted = 0
    for words, (true, _) in zip(cut, gold, strict=True):
        ends, gold_ends = np.cumsum([0, *map(len, words)]), np.cumsum([0, *map(len, true)])
        spans, gold_spans = set(pairwise(ends.tolist())), set(pairwise(gold_ends.tolist()))
        right, found, wanted = right + len(spans & gold_spans), found + len(spans), wanted + len(gold_spans)
    return 2 * right / (found + wanted)


def _cut(task: Task, net: WindowNet, sequences: Sequence[str]) -> list[tuple[str, ...]]:
    """The words that the segmenter cuts sequences into."""
    types, features = task.streams(sequences)
    ends = np.cumsum([len(sequence) for sequence in sequences])
    begins = net.labels(types, net.tables(features), ends) == BEGINS
    begins[ends[:-1]] = begins[0] = True
    words = []
    for sequence, end in zip(sequences, ends.tolist(), strict=True):
        places = np.flatnonzero(begins[end - len(sequence) : end]).tolist()
        words.append(tuple(sequence[a:b] for a, b in pairwise([*places, len(sequence)])))
    return words
