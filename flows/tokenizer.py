"""The model: the *tables* of a tokenizer's report, as a terminal shows them. Token text is foreign text: what could move a cursor is
escaped, and spaces are shown as `·`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.rejects import visible
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import read_json

_SHOWN_CHARS = 60


def read_report(artifact: Artifact) -> dict[str, Any]:
    """The report of a tokenizer artifact. Raises `RequestError` if it is another kind, or has none."""
    if artifact.kind != "tokenizer":
        raise RequestError(f"{artifact.reference}: only tokenizer artifacts have this report")
    paths = artifact.paths("report")
    if not paths:
        raise RequestError(f"{artifact.reference}: has no report, because an older version made it; run its recipe again")
    report: dict[str, Any] = read_json(paths[0])
    return report


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """All tables of a report."""
    vocabulary = report["vocabulary"]
    level = ", byte-level" if vocabulary["byte_level"] else ""
    yield f"{vocabulary['model']}{level}: {vocabulary['tokens']:,} tokens, {vocabulary['learned']:,} of them learned"
    special = report["special_tokens"]
    yield "special tokens: " + ", ".join(f"{visible(s['role'])} {visible(s['token'])} {s['id']}" for s in special)
    for subset, tables in report["texts"].items():
        yield ""
        yield f"{subset:<10} {'source':<14} {'bytes':>13} {'bytes/token':>12} {'tokens/word':>12} {'unknown':>9} {'coverage':>9}"
        for lang, table in tables["languages"].items():
            yield _row(lang, "", table)
            for source, figures in table["sources"].items() if len(table["sources"]) > 1 else ():
                yield _row("", source, figures)
        yield _row("all", "", tables["all"])
    for script, shown in report["longest"].items():
        if shown:
            yield f"\nlongest {'of Han' if script == 'han' else 'others'}: {_tokens(shown)}"
    for what, name in (("never_seen", "never seen in the sample"), ("unreachable", "of these, unreachable")):
        count = report[what]["tokens"]
        yield f"\n{name}: {count:,}" + (f", as {_tokens(report[what]['examples'])}" if count else "")


def _row(lang: str, source: str, figures: Mapping[str, Any]) -> str:
    rates = (figures["bytes_per_token"], figures["fertility"])
    shares = (figures["unknown"], figures["coverage"])
    shown = [f"{'-' if rate is None else f'{rate:.3f}':>12}" for rate in rates]
    shown += [f"{'-' if share is None else f'{share:.2%}':>9}" for share in shares]
    return f"{visible(lang):<10} {visible(source):<14} {figures['bytes']:>13,} {' '.join(shown)}"


def _tokens(shown: list[Mapping[str, Any]]) -> str:
    return "  ".join(f"{shorten(token['text'])} ({token['id']}, seen {token['seen']:,})" for token in shown)


def shorten(text: str) -> str:
    """A token for a terminal."""
    shown = visible(text[:_SHOWN_CHARS].replace(" ", "·"))
    return shown if len(text) <= _SHOWN_CHARS else f"{shown}… [{len(text)} characters]"
