"""The model: a tree of source code; one file is one document. *Extra* says its path, its language by its name's
extension, and its *module*: the top-level package or module that it belongs to (`json` for `json/decoder.py`).

Nothing is cut from a file: its licence header stays. Generated and minified ones are rejects (see `generated`).
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.places import COMPRESSED
from pipelines.sources.generated import fault_of
from pipelines.sources.records import Record
from pipelines.sources.streams import Stream
from pipelines.sources.txt import read_whole
from schemas.fingerprint import canonical_json
from schemas.recipe import Source

LANGUAGES = {
    "c": "c", "h": "c", "cc": "c++", "cpp": "c++", "hpp": "c++", "cs": "c#", "css": "css", "go": "go", "html": "html",
    "java": "java", "js": "javascript", "jl": "julia", "json": "json", "kt": "kotlin", "lua": "lua", "md": "markdown",
    "php": "php", "pl": "perl", "py": "python", "pyi": "python", "r": "r", "rb": "ruby", "rs": "rust", "scala": "scala",
    "sh": "shell", "sql": "sql", "swift": "swift", "tex": "tex", "toml": "toml", "ts": "typescript", "xml": "xml",
    "yaml": "yaml", "yml": "yaml",
}  # fmt: skip
"""Language by extension, in lower case."""


def read(file: Stream, source: Source, limit: int) -> Iterator[Record]:
    """The file as one record, with ``{"language", "module", "path"}`` as extra; language is null if the extension is unknown."""
    path = next((file.path.removesuffix(suffix) for suffix in COMPRESSED if file.path.endswith(suffix)), file.path)
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    language = LANGUAGES.get(extension.lower()) if dot and stem else None
    extra = canonical_json({"language": language, "module": module_of(path), "path": path}).decode()
    for record in read_whole(file, limit):
        fault = record.fault or (fault_of(path, language, record.raw) if source.generated == "reject" else None)
        yield record._replace(extra=extra, fault=fault)


def module_of(path: str) -> str:
    """The first folder of a relative path, or the name of a file at the top without its extension."""
    first, slash, _ = path.partition("/")
    return first if slash else first.rpartition(".")[0] or first
