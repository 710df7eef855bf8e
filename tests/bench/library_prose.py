"""The model: *prose* is English text that is on any machine which has this project: the topics of Python's manual, and the docstrings of
its standard library and of packages that `infra/constraints.txt` pins. A document is a topic, or the docstrings of a source file.

Only paragraphs of sentences are taken, with their lines joined: no code, tables or lists of parameters. A paragraph that stood in an
earlier document is left out, so that training has read no paragraph of held-out text.
"""

from __future__ import annotations

import ast
import json
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

from flows.demo import library_files

PACKAGES = ("apache_beam", "networkx", "numpy", "prefect", "sqlalchemy", "sympy", "torch")
_SENTENCES = re.compile(r"[A-Z](?!\w+:)[\w ,;:'\"().`*/-]{40,}[.]")
_RULED = re.compile(r"-{3}|^(Args|Returns?|Raises|Parameters|Examples?|Notes?|See Also)\b[: ]")
FEWEST = 3
"""Paragraphs of a document."""


def prose() -> Iterator[dict[str, str]]:
    """Records of a text and where it stands, in an order that is the same on every machine with the same versions."""
    known: set[str] = set()
    for name, text in _texts():
        found = []
        for paragraph in (" ".join(lines.split()) for lines in re.split(r"\n\s*\n", text)):
            if _SENTENCES.fullmatch(paragraph) and not _RULED.search(paragraph) and paragraph not in known:
                known.add(paragraph)
                found.append(paragraph)
        if len(found) >= FEWEST:
            yield {"text": "\n\n".join(found), "folder": name.rpartition("/")[0] or name}


def _texts() -> Iterator[tuple[str, str]]:
    for topic in sorted(topics):
        yield f"topic {topic}", topics[topic]
    files = library_files()
    site = Path(sysconfig.get_path("purelib"))
    for package in PACKAGES:
        files += sorted((path.relative_to(site).as_posix(), path) for path in (site / package).rglob("*.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (SyntaxWarning, DeprecationWarning))  # odd escapes in old docstrings
        for name, path in files:
            if {"test", "tests"} & set(Path(name).parts):
                continue
            try:
                tree = ast.parse(path.read_bytes(), filename=str(path))
            except SyntaxError:  # torch has a file in a later Python's syntax
                continue
            yield name, "\n\n".join(_docstrings(tree))


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
        yield text
    for child in ast.iter_child_nodes(node):
        yield from _docstrings(child)


def write_prose(path: Path) -> int:
    """One JSON object a line; returns how many documents there are."""
    records = [json.dumps(record) for record in prose()]
    path.write_text("".join(f"{record}\n" for record in records), encoding="utf-8")
    return len(records)
