"""The model: a subset that a task has no file for is *drawn* from `train`: each input has a number between 0 and 1, a hash of its text and
the seed, and the lowest are held out. So an example stays in its subset whatever else files hold, today and later, and copies are in one.

Each label gives its share up to chance (of n examples a share of p, give or take sqrt(p (1 - p) / n)). A label so rare that a subset would
have none of it gives that subset the input whose number is next. Examples of one group go together: no two subsets share a context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import xxhash

from model.examples.account import Item
from model.examples.kinds import Classified, folded, key_of

_ENOUGH = 3
"""Inputs that a label must have for each subset to get one."""


def draw(items: Sequence[Item], missing: Sequence[str], share: float, seed: int) -> dict[str, list[Item]]:
    """Items by subset, `train` and those that are missing, in their order; `share` is that of each missing one."""
    numbers = [_number(item, seed) for item in items]
    subset_of = {number: _subset(number, missing, share) for number in numbers}
    of_label: dict[str, set[float]] = {}
    for item, number in zip(items, numbers, strict=True):
        if isinstance(item.example, Classified):
            of_label.setdefault(item.example.label, set()).add(number)
    for found in of_label.values():
        if len(found) >= _ENOUGH:
            _give(subset_of, sorted(found), missing)
        else:
            subset_of |= dict.fromkeys(found, "train")  # or what nobody was taught would be asked
    return {
        subset: [item for item, number in zip(items, numbers, strict=True) if subset_of[number] == subset] for subset in ("train", *missing)
    }


def _number(item: Item, seed: int) -> float:
    """Of the item's group, or of its input. A group may be named by a sentence that is no UTF-8, and a reject itself."""
    key = key_of(item.example) if item.group is None else folded(item.group)
    return xxhash.xxh3_64_intdigest(key.encode(errors="backslashreplace"), seed & (1 << 64) - 1) / 2**64


def _subset(number: float, missing: Sequence[str], share: float) -> str:
    """Each has numbers of its own, so that a file for one leaves the other as it is."""
    drawn = "test" if number < share else "validation" if number < 2 * share else "train"
    return drawn if drawn in missing else "train"


def _give(subset_of: dict[float, str], numbers: Sequence[float], missing: Sequence[str]) -> None:
    """Have each subset hold one of a label's numbers, which are in order."""
    for subset in (*missing, "train"):
        held = Counter(subset_of[number] for number in numbers)
        if not held[subset]:
            nearest = numbers if subset != "train" else numbers[::-1]
            subset_of[next(number for number in nearest if held[subset_of[number]] > 1)] = subset
