"""The model: a *leak* is an example that is learned from, and whose like judges what was learned: its input is equal to one of another
subset, or near it. It goes from where it is learned; what judges stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.examples.account import TEXT, Item, Leak, Reject
from model.examples.kinds import Asked, Example, Tagged, input_of, key_of, opening_of
from model.examples.shingles import near_ones

_Judge = tuple[str, Item]
"""An item of a subset that judges, with the subset's name."""
_Found = dict[int, tuple[str, _Judge, float]]
"""By the place of an item: the reason to drop it, what it is like, and how much."""


def without_leaks(subsets: Mapping[str, Sequence[Item]]) -> tuple[dict[str, list[Item]], list[Reject], list[Leak]]:
    """The subsets without leaks: `validation` loses what `test` has the like of, and `train` what either has."""
    test = list(subsets["test"])
    validation, rejects, leaks = _apart("validation", subsets["validation"], [("test", item) for item in test])
    judges = [("test", item) for item in test] + [("validation", item) for item in validation]
    train, more, others = _apart("train", subsets["train"], judges)
    return {"train": train, "validation": validation, "test": test}, rejects + more, leaks + others


def _apart(subset: str, items: Sequence[Item], judges: Sequence[_Judge]) -> tuple[list[Item], list[Reject], list[Leak]]:
    found = _equal(items, judges)
    found |= _near({place: item for place, item in enumerate(items) if place not in found}, judges)
    rejects, leaks = [], []
    for place, (reason, (of_subset, judge), similarity) in sorted(found.items()):
        like = "equal to" if reason == "leak" else f"{similarity:.2f} like"
        rejects.append(items[place].reject(reason, f"its input is {like} that of {judge.where}, in {of_subset}"))
        text, of_text = (_compared(item.example)[:TEXT] for item in (items[place], judge))
        leaks.append(Leak(subset, items[place].example.id, of_subset, judge.example.id, similarity, text, of_text))
    return [item for place, item in enumerate(items) if place not in found], rejects, leaks


def _equal(items: Sequence[Item], judges: Sequence[_Judge]) -> _Found:
    judge_of: dict[str, _Judge] = {}
    for judge in judges:
        judge_of.setdefault(key_of(judge[1].example), judge)
        if (opening := opening_of(judge[1].example)) is not None:
            judge_of.setdefault(opening, judge)
    found: _Found = {}
    for place, item in enumerate(items):
        for key in (key_of(item.example), opening_of(item.example)):
            if key is not None and key in judge_of:
                found[place] = ("leak", judge_of[key], 1.0)
                break
    return found


def _near(items: Mapping[int, Item], judges: Sequence[_Judge]) -> _Found:
    """Each distinct text is compared once: a context may have a hundred questions."""
    places: dict[str, list[int]] = {}
    for place, item in items.items():
        places.setdefault(_compared(item.example), []).append(place)
    judge_of: dict[str, _Judge] = {}
    for judge in judges:
        judge_of.setdefault(_compared(judge[1].example), judge)
    texts, others = list(places), list(judge_of)
    return {
        place: ("near_leak", judge_of[others[other]], similarity)
        for text, (other, similarity) in near_ones(texts, others).items()
        for place in places[texts[text]]
    }


def _compared(example: Example) -> str:
    """What is compared of an input. Of questions the context: whoever learned from it was told the answers to others about it."""
    match example:
        case Asked():
            return example.context
        case Tagged():  # words may be single characters
            return "".join(example.words)
        case _:
            return "\n".join(input_of(example))
