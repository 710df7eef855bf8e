"""The model: *copies* are examples of one subset with equal inputs. The first stays, and the others are rejects; how, depends on what is
wanted of them:

    equal references                        duplicate
    labels, tags, answer or none            label_conflict: the first goes, too, since nobody knows which is right
    texts to write, answers of a question   merged: each is right, so the first takes them all
    turns of a dialogue, code               each stays: there is more than one right one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from model.examples.account import Item, Reject
from model.examples.kinds import Asked, Chatted, Coded, Example, Written, folded, key_of, reference_of


def distinct(items: Sequence[Item]) -> tuple[list[Item], list[Reject]]:
    """Items without copies, in their order, and the copies."""
    copies: dict[str, list[Item]] = {}
    for item in items:
        copies.setdefault(_identity(item.example), []).append(item)
    kept, rejects = [], []
    for first, *others in copies.values():
        if not others:
            kept.append(first)
            continue
        found, rejected = _settled(first, others)
        kept += found
        rejects += rejected
    return kept, rejects


def _identity(example: Example) -> str:
    key = key_of(example)
    return f"{key}\x1e{folded(str(reference_of(example)))}" if isinstance(example, Chatted | Coded) else key


def _settled(first: Item, others: Sequence[Item]) -> tuple[list[Item], list[Reject]]:
    wanted = reference_of(first.example)
    if isinstance(first.example, Written):
        targets = tuple(
            dict.fromkeys(target for item in (first, *others) if isinstance(item.example, Written) for target in item.example.targets)
        )
        return _merged(first, replace(first.example, targets=targets), others)
    if isinstance(first.example, Asked):
        asked = [item.example for item in (first, *others) if isinstance(item.example, Asked)]
        if len({bool(example.answers) for example in asked}) == 1:
            answers = tuple(dict.fromkeys(answer for example in asked for answer in example.answers))
            return _merged(first, replace(first.example, answers=answers), others)
    other = next((item for item in others if reference_of(item.example) != wanted), None)
    if other is None:
        return [first], [item.reject("duplicate", f"as {first.where}") for item in others]
    rejects = []
    for item in (first, *others):
        against = other if reference_of(item.example) == wanted else first
        rejects.append(item.reject("label_conflict", f"{against.where} has the same input, and another reference"))
    return [], rejects


def _merged(first: Item, example: Written | Asked, others: Sequence[Item]) -> tuple[list[Item], list[Reject]]:
    had = reference_of(first.example)
    rejects = []
    for item in others:
        new = any(reference not in had for reference in reference_of(item.example))
        rejects.append(item.reject("merged", f"into {first.where}") if new else item.reject("duplicate", f"as {first.where}"))
    return [replace(first, example=example)], rejects
