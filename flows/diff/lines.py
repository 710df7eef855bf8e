"""The model: the *lines* of a difference are for people: nothing where the two agree, as diff(1) does; `-` is A's, `+` is B's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flows.rejects import visible
from schemas.fingerprint import Difference

Json = Mapping[str, Any]

_SHOWN = 100
"""Characters of a value that are shown."""


def lines_of(told: Json) -> Iterator[str]:
    """The lines; none if the two artifacts are equal."""
    if told["equal"]:
        return
    yield f"- {told['a']}"
    yield f"+ {told['b']}"
    if told["same_content"]:
        yield "the content is the same; what decided it is not"
    for change in told["step"]:
        yield f"step       {change['name']} {_short(change['old'])} -> {_short(change['new'])}"
    for what in ("settings", "facts"):
        yield from (f"{what:<10} {visible(str(Difference(**change)))}" for change in told.get(what, ()))
    for what in ("engines", "inputs"):
        for change in told[what]:
            yield f"{what:<10} {change['name']} {_short(change['old'])} -> {_short(change['new'])}"
    for group in told["files"]:
        names = ", ".join(visible(name) for name in group["names"])
        more = ", ..." if group["files"] > len(group["names"]) else ""
        yield f"files      {group['source']}: {group['files']:,} {group['what']}{': ' if names else ''}{names}{more}"
    for count in told["ledgers"]:
        yield f"ledger     {count['source']}: {_count(count)}"
    for count in told.get("tokens", ()):
        yield f"tokens     {_count(count)}"
    if "vocabulary" in told:
        yield from _vocabulary(told["vocabulary"])
    if "documents" in told:
        yield from _documents(told["documents"])


def _documents(sides: Json) -> Iterator[str]:
    for side, words in (
        ("equal", "in both, equal"), ("changed", "in both, changed"), ("only_a", "- only in A"), ("only_b", "+ only in B"),
    ):  # fmt: skip
        yield f"documents  {words:<18} {sides[side]['documents']:>12,}{_groups(sides[side]['by'])}"
    changed = sides["changed"]
    if changed["documents"]:
        yield ""
        yield "changed    " + ", ".join(f"{aspect} of {n:,}" for aspect, n in changed["aspects"].items())
    for example in changed["examples"]:
        yield f"  {_place(example)}"
        for column, change in example["changes"].items():
            lengths = "" if "lengths" not in change else f" at {change['at']:,} of {change['lengths'][0]:,} and {change['lengths'][1]:,}"
            yield f"      {column}{lengths}"
            yield f"    - {_short(change['old'])}"
            yield f"    + {_short(change['new'])}"
    for side, sign, there in (("only_a", "-", "B"), ("only_b", "+", "A")):
        only = sides[side]
        if only["documents"]:
            yield ""
            yield f"only in {'A' if sign == '-' else 'B'}  {_why(only, there)}"
        for example in only["examples"]:
            shown = _short(example["text"]) if "text" in example else f"{example['tokens']:,} tokens"
            yield f"  {sign} {_place(example)}: {shown}"


def _why(only: Json, there: str) -> str:
    if only["not_read_there"] is None:
        return f"{there} has no rejects that could say why"
    reasons = [f"{one['reason']} {one['documents']:,}" for one in only["rejected_there"]]
    if only["not_read_there"]:
        reasons.append(f"not read there {only['not_read_there']:,}")
    return f"in {there}: " + ", ".join(reasons)


def _vocabulary(told: Json) -> Iterator[str]:
    yield f"vocabulary {told['shared']:,} tokens shared, {told['moved']:,} of them under another id"
    for side, sign in (("only_a", "-"), ("only_b", "+")):
        if told[side]["tokens"]:
            examples = "  ".join(visible(token) for token in told[side]["examples"])
            yield f"  {sign} {told[side]['tokens']:,}{': ' if examples else ''}{examples}"


def _groups(by: list[Json]) -> str:
    return "".join(f"  {group['source']} {group['lang']} {group['documents']:,}" for group in by)


def _place(example: Json) -> str:
    place = f" {example['source']}:{visible(example['uri'])} record {example['record']}" if "uri" in example else f" {example['source']}"
    return example["doc_id"][:12] + place


def _count(count: Json) -> str:
    name = visible(count["count"]).replace("_", " ", 1)
    return f"{name} {count['old']:,} -> {count['new']:,} ({count['difference']:+,})"


def _short(value: Any) -> str:
    text = visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:12]
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
