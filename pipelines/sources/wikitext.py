"""The model: *wikitext* is text with markup: links show a label, templates expand to what only the wiki knows. Templates are
left out (but for those that mark a word's language), and so are tables, references, galleries, formulas and comments. What
stays are headings, paragraphs and items of lists.

A heading with nothing below it goes. Of the variants of a Chinese word, ``-{zh-hans:…;zh-hant:…}-``, the simplified one stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

_LEFT_OUT = frozenset(
    "ref references gallery table math chem timeline imagemap score graph templatedata mapframe maplink style script".split()
)
_BREAKS = frozenset(("br", "hr", "p", "div", "blockquote", "tr"))
_INTERWIKI = re.compile(r"[a-z]{2,3}(-[a-z-]+)?:")
_VARIANTS = re.compile(r"-\{(?:([A-Za-z;-]*)\|)?([^{}]*)\}-")
_PREFERRED = ("zh-cn", "zh-hans", "zh", "zh-sg", "zh-my")
_HOLLOW = re.compile(r"[ \t]?\([\s,;:]*\)|（[\s,;:，；：、]*）")
"""What is left of brackets around a template."""
_QUOTES = re.compile("'{2,5}")
"""Bold and italic that are never closed; the parser takes the others."""
_SWITCHES = re.compile(r"__[A-Z]{3,}__")
_BLANKS = re.compile(r"[ \t]*\n\s*\n\s*")


def text_of(wikitext: str, hidden: frozenset[str]) -> str:
    """The text that a reader sees, as far as the page itself holds it; `hidden` names namespaces whose links show none."""
    parsed = mwparserfromhell.parse(_SWITCHES.sub("", _VARIANTS.sub(_variant, wikitext)))
    sections: list[tuple[int, str, list[str]]] = [(0, "", [])]
    for node in parsed.nodes:
        if isinstance(node, Heading):
            sections.append((node.level, "".join(_shown(node.title, hidden)).strip(), []))
        else:
            sections[-1][2].extend(_of_node(node, hidden))
    return "\n\n".join(_filled([(level, title, _tidy("".join(parts))) for level, title, parts in sections])) + "\n"


def _filled(sections: list[tuple[int, str, str]]) -> list[str]:
    """Titles and texts of the sections that have a text, or a section below them that has."""
    kept: list[str] = []
    below = 0
    for level, title, text in reversed(sections):
        if text or below > level:
            kept += [part for part in (text, title) if part]
            below = level
    return kept[::-1]


def _shown(code: Wikicode | None, hidden: frozenset[str]) -> Iterator[str]:
    for node in code.nodes if code is not None else ():
        yield from _of_node(node, hidden)


def _of_node(node: object, hidden: frozenset[str]) -> Iterator[str]:
    if isinstance(node, Text):
        yield str(node.value)
    elif isinstance(node, Wikilink):
        title = str(node.title).strip()
        space = title.partition(":")[0].strip().lower() if ":" in title else ""
        if space in hidden or _INTERWIKI.match(title):
            return
        if node.text is not None:
            yield from _shown(node.text, hidden)
        else:
            yield title.removeprefix(":")
    elif isinstance(node, ExternalLink):
        if node.title is not None:
            yield from _shown(node.title, hidden)
        elif not node.brackets:
            yield str(node.url)
    elif isinstance(node, Template):
        name = str(node.name).strip().lower()
        at = 1 if name.startswith("lang-") else 2 if name in ("lang", "transliteration") else 0
        if at and node.has(at):
            yield from _shown(node.get(at).value, hidden)
    elif isinstance(node, HTMLEntity):
        yield node.normalize()
    elif isinstance(node, Heading):
        yield f"\n{''.join(_shown(node.title, hidden))}\n"
    elif isinstance(node, Tag):
        name = str(node.tag).strip().lower()
        if name in _LEFT_OUT:
            return
        if name in _BREAKS:
            yield "\n"
        if not node.self_closing:
            yield from _shown(node.contents, hidden)


def _variant(found: re.Match[str]) -> str:
    flags, text = (found[1] or "").upper(), found[2]
    if flags in ("H", "T", "-"):  # a rule for the whole page, a title, a rule that ends: nothing is shown
        return ""
    variants = {}
    for part in text.split(";"):
        name, colon, word = part.partition(":")
        if not colon or not name.strip().lower().startswith("zh"):
            return text
        variants[name.strip().lower()] = word.strip()
    return next((variants[name] for name in _PREFERRED if name in variants), next(iter(variants.values()), text))


def _tidy(text: str) -> str:
    lines = (line.strip() for line in _HOLLOW.sub("", _QUOTES.sub("", text)).split("\n"))
    return _BLANKS.sub("\n\n", "\n".join(lines)).strip()
