"""The model: *simple* systems answer a task beside the model that is judged. They know no language: a *majority* answer, characters
(`bag_of_words`), a dictionary of tags, words in common with the question, the prompt itself. A model that doesn't beat them has not shown
that it does the task.

    classification, pairs, relation   majority        the most frequent label of the training subset
                                      bag_of_words    a logistic regression on runs of one to four characters
    tagging                           majority        the most frequent tag
                                      known_words     each word's most frequent tag; that of all, for a word that training doesn't have
    answers                           overlap         the clause of the context that shares most words with the question
    generation                        copy            the prompt
                                      lead            its first sentence
                                      nearest         what the training subset answers to the prompt that is most alike, by characters
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from model.evaluate.baselines import BagOfWords, Rows, count_features, majority
from model.finetune.kinds import Said
from model.metrics.writing import CHARACTER

_CLAUSE = re.compile(r"[^。！？；，,;!?\n]+?(?:[。！？；，,;!?\n]|\.\s|$)")
_SENTENCE = re.compile(r".+?(?:[。！？!?\n]|\.\s|$)", re.DOTALL)
_WORD = re.compile(rf"{CHARACTER}|[^\W_]+")
_COLUMNS = 1 << 17
"""Hashed runs of characters that prompts are compared by."""
_COMPARED_TOGETHER = 64

Subsets = Mapping[str, Sequence[Any]]


def simple_answers(kind: str, subsets: Subsets, examples: Sequence[Any]) -> dict[str, list[Said]]:
    """By system, what it says to each example; those that learn are left out if there is nothing to learn from."""
    train, validation = subsets["train"], subsets["validation"]
    match kind:
        case "classification" | "pairs" | "relation":
            return _labels(train, validation, examples)
        case "tagging":
            return _tags(train, examples) if train else {}
        case "answers":
            return {"overlap": [overlap(example.question, example.context) for example in examples]}
        case "generation":
            said: dict[str, list[Said]] = {"copy": [example.prompt for example in examples]}
            said["lead"] = [lead(example.prompt) for example in examples]
            return said | ({"nearest": nearest(train, examples)} if train else {})
    return {}


def _labels(train: Sequence[Any], validation: Sequence[Any], examples: Sequence[Any]) -> dict[str, list[Said]]:
    if not train:
        return {}
    known = [example.label for example in train]
    said: dict[str, list[Said]] = {"majority": [majority(known)] * len(examples)}
    if len(set(known)) > 1:
        learned, checked = (([_text(example) for example in of], [example.label for example in of]) for of in (train, validation))
        said["bag_of_words"] = [*BagOfWords(learned, checked).classify([_text(example) for example in examples])]
    return said


def _text(example: Any) -> str:
    return example.text if example.second is None else f"{example.text}\n{example.second}"


def _tags(train: Sequence[Any], examples: Sequence[Any]) -> dict[str, list[Said]]:
    by_word: dict[str, Counter[str]] = {}
    for example in train:
        for word, tag in zip(example.words, example.tags, strict=True):
            by_word.setdefault(word, Counter())[tag] += 1
    commonest = _commonest(sum(by_word.values(), Counter()))
    known = {word: _commonest(tags) for word, tags in by_word.items()}
    return {
        "majority": [[commonest] * len(example.words) for example in examples],
        "known_words": [[known.get(word, commonest) for word in example.words] for example in examples],
    }


def _commonest(counted: Counter[str]) -> str:
    return min(counted, key=lambda tag: (-counted[tag], tag))


def overlap(question: str, context: str) -> str:
    """The clause of a context with most words (or Chinese characters) of a question, each counted once; of several the shortest.

    >>> overlap("Where was she born?", "She went to school in Rome, was born in Paris, and died.")
    'was born in Paris'
    """
    asked = _words(question)
    clauses = [clause.strip().rstrip(",.;:!?。，；！？") for clause in _CLAUSE.findall(context)]
    clauses = [clause for clause in clauses if clause] or [context]
    return max(clauses, key=lambda clause: (len(asked & _words(clause)), -len(clause)))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def lead(text: str) -> str:
    """The first sentence.

    >>> lead("It rained. We stayed."), lead("下雨了。我们在家。")
    ('It rained.', '下雨了。')
    """
    found = _SENTENCE.match(text.lstrip())
    return found[0].strip() if found else text


def nearest(train: Sequence[Any], examples: Sequence[Any]) -> list[Said]:
    """The first target of the training example whose prompt is most alike: by the cosine of counts of character runs, rare ones weighing
    more; of equals the first."""
    prompts = [example.prompt for example in train]
    features, seen = _columns(prompts)
    idf = np.log((1 + len(train)) / (1 + seen)) + 1
    rows = _rows(features, idf)
    asked, _ = _columns([example.prompt for example in examples])
    said: list[Said] = []
    for first in range(0, len(examples), _COMPARED_TOGETHER):
        part = asked[first : first + _COMPARED_TOGETHER]
        dense = torch.zeros(_COLUMNS, len(part))
        for place, (columns, counts) in enumerate(part):
            dense[torch.from_numpy(columns), place] = torch.from_numpy((1 + np.log(counts)) * idf[columns]).float()
        said += [train[best].targets[0] for best in rows.times(dense).argmax(0).tolist()]
    return said


Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def _columns(texts: Sequence[str]) -> tuple[list[Columns], npt.NDArray[np.int64]]:
    """Of each text its columns with their counts, and of each column how many texts have it."""
    counted = count_features(texts)
    found: list[Columns] = []
    seen = np.zeros(_COLUMNS, dtype=np.int64)
    for start, end in zip(counted.starts[:-1], counted.starts[1:], strict=True):
        columns, place = np.unique(counted.features[start:end] % _COLUMNS, return_inverse=True)
        found.append((columns, np.bincount(place, weights=counted.counts[start:end], minlength=len(columns)).astype(np.float64)))
        seen[columns] += 1
    return found, seen


def _rows(features: Sequence[Columns], idf: npt.NDArray[np.float64]) -> Rows:
    """Unit rows."""
    values = [(1 + np.log(counts)) * idf[columns] for columns, counts in features]
    values = [value / max(float(np.linalg.norm(value)), 1e-12) for value in values]
    sizes = np.array([len(value) for value in values])
    offsets = torch.from_numpy(np.cumsum(sizes) - sizes)
    columns = torch.from_numpy(np.concatenate([columns for columns, _ in features]))
    return Rows(offsets, columns, torch.from_numpy(np.concatenate(values)).float())
