"""The model: a decision *told* for people: at a terminal in lines, on a page in Markdown. Both say the verdict, why, and every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.tables import aligned
from model.metrics.verdicts import told_p

HEADS = ("guard", "of", "n", "champion", "challenger", "worse by", "95 % interval", "margin", "p", "corrected", "")


def verdict_words(found: Mapping[str, Any]) -> str:
    """
    >>> verdict_words({"verdict": "promote", "reign": 3})
    'the challenger takes the place of the champion of reign 3'
    """
    match found["verdict"]:
        case "promote":
            return f"the challenger takes the place of the champion of reign {found['reign']}"
        case "refuse":
            return f"the challenger is refused; the champion of reign {found['reign']} stays"
        case _:
            return f"the challenger may take the place of the champion of reign {found['reign']}: it waits for `gristmill promote`"


def lines_of(reference: str, found: Mapping[str, Any]) -> list[str]:
    """For a terminal."""
    lines = [f"{reference}: {verdict_words(found)}", *(f"  {reason}" for reason in found["reasons"]), ""]
    if found["guards"]:
        lines += [f"  {line}" for line in aligned(HEADS, _rows(found["guards"]), left={0, 1, 10})]
    return [*lines, *(f"  {line}" for line in _notes(found))]


def page_of(reference: str, found: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [f"**{reference}**: {verdict_words(found)}.", "", *(f"- {_plain(reason)}" for reason in found["reasons"]), ""]
    if found["guards"]:
        lines += [f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
        lines += [f"| {' | '.join(map(_plain, row))} |" for row in _rows(found["guards"])]
    return "\n".join([*lines, "", *(f"- {_plain(note)}" for note in _notes(found))]) + "\n"


def _rows(guards: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in sorted(guards, key=lambda one: (one["passed"], one["guard"], one["what"])):
        share = one["guard"] == "languages"

        def amount(value: float, share: bool = share) -> str:
            return f"{100 * value:+.2f} %" if share else f"{value:+.4f}"

        rows.append(
            (
                one["guard"],
                one["what"],
                f"{one['n']:,}",
                f"{one['champion']:.4f}",
                f"{one['challenger']:.4f}",
                amount(one["worse"]),
                f"{amount(one['interval'][0])} to {amount(one['interval'][1])}",
                amount(one["margin"]).lstrip("+"),
                told_p(one["p"]),
                told_p(one["corrected"]),
                "passed" if one["passed"] else "not passed",
            )
        )
    return rows


def _notes(found: Mapping[str, Any]) -> list[str]:
    notes = [f"export of {step}: {one['told']}" for step, one in sorted(found["parity"].items()) if one["passed"]]
    for name, counts in sorted(found["held_out"].items(), reverse=True):
        gone = counts["equal"] + counts["near"]
        like = f"; {gone:,} stand in training text and were left out ({counts['equal']:,} equal, {counts['near']:,} near)" if gone else ""
        notes.append(f"held out, {name}: {counts['documents']:,} texts to predict, {counts['labelled']:,} to label{like}")
    notes += [f"not measured: {one}" for one in found["not_measured"]]
    notes += [f"forgotten: {role} {told}" for role, told in sorted(found["forgotten"].items())]
    if "knew" in found:
        notes.append(
            f"forgotten: {found['knew']} tells what the champion knew: it follows the tokens that it learned from, which can't be read any "
            "more, without what was forgotten of them"
        )
    return notes


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#~" else c for c in text)
