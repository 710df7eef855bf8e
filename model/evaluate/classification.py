"""The model: the *classification* task compares *systems* by accuracy on the same held-out labelled documents: the
fine-tuned model, a bag of words, and the majority label. The baselines learn from the same training subset.

Macro F1 is the plain mean of the classes' F1; a class that a system neither meets nor answers right has F1 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.evaluate.baselines import BagOfWords, majority
from model.examples import Classified
from model.finetune.classifying import classify

TASK = {"task": "classification", "version": 1, "metric": "accuracy", "better": "higher"}


def classification(
    model_folder: Path, subsets: Mapping[str, Sequence[Classified]], subset: str
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Figures and answers of each system on the labelled documents of `subset`; `subsets` holds train and validation too."""
    texts = {name: ([item.text for item in items], [item.label for item in items]) for name, items in subsets.items()}
    asked, truth = texts[subset]
    systems = {
        "model": [label for label, _ in classify(model_folder, asked)],
        "bag_of_words": BagOfWords(texts["train"], texts["validation"]).classify(asked),
        "majority": [majority(texts["train"][1])] * len(truth),
    }
    return {**TASK, "n": len(truth), "systems": {name: judge(answers, truth) for name, answers in systems.items()}}, systems


def standard_error(accuracy: float, n: int) -> float:
    """Of a share of n independent answers: the square root of p (1 - p) / n."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def judge(answers: Sequence[str], truth: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its standard error, macro F1, and the figures of each class."""
    classes = {}
    for label in sorted(set(truth)):
        right = sum(a == t == label for a, t in zip(answers, truth, strict=True))
        answered, n = list(answers).count(label), list(truth).count(label)
        classes[label] = {
            "n": n,
            "precision": right / answered if answered else 0.0,
            "recall": right / n,
            "f1": 2 * right / (answered + n),
        }
    accuracy = sum(a == t for a, t in zip(answers, truth, strict=True)) / len(truth)
    return {
        "accuracy": accuracy,
        "accuracy_standard_error": standard_error(accuracy, len(truth)),
        "macro_f1": sum(figures["f1"] for figures in classes.values()) / len(classes),
        "classes": classes,
    }
