"""The model: the *tokenizer* step makes `tokenizer.json` in one of three ways, then reports on it.

    train     on a sample of the training subset (`training`, `families`)
    import    a file that the recipe names by `path`; its content is an input of the step (`imported`)
    pin       an artifact of the store, handed on as it is with its report

An artifact holds `tokenizer.json`, what `transformers` wants beside it (`hugging_face`), and `report.json` (`report`).
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tokenizer import hugging_face, imported, report
from pipelines.tokenizer.families import ids_of, lend_roles, sentinels, special_tokens
from pipelines.tokenizer.sample import Sample, draw
from pipelines.tokenizer.training import train
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import canonical_json, digest_file
from schemas.progress import ProgressFile
from schemas.recipe import Tokenizer as Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STEP_VERSION: int = 2
"""Raised by hand when the output of this step changes."""

STAGE = KEY = "tokenizer"
FILE, REPORT = "tokenizer.json", "report.json"

IMPORTED = "file"
"""The input, and the root, that an imported tokenizer is."""

_VALIDATION_BYTES = 8 << 20
"""Of held-out text that the report looks at."""


def identity_settings(settings: Settings) -> dict[str, Any]:
    """The section as JSON, without the path: where a file lies doesn't decide what comes out."""
    return {**settings.model_dump(mode="json"), "path": None}


def engines(settings: Settings) -> dict[str, str]:
    """Versions of what decides the tokenizer, for fingerprints."""
    numeric = {"numpy": version("numpy")} if settings.kind == "unigram" else {}
    return {"tokenizers": version("tokenizers"), **numeric}


def file_digest(path: str) -> str:
    """Digest of a tokenizer to import. Raises `RequestError` naming it if it can't be read."""
    try:
        return digest_file(path)
    except OSError as error:
        raise RequestError(f"tokenizer.path {path}: cannot be read: {error.strerror}") from error


def run(draft: Draft) -> None:
    """Make the tokenizer, report on it, and record both. Raises `RequestError` naming what of the recipe can't be had."""
    if draft.part(STAGE, KEY) is not None:
        return
    folder = draft.scratch() / f"tokenizer-{uuid.uuid4().hex}"
    folder.mkdir()
    if draft.has_input("tokenizer"):
        pinned = draft.input("tokenizer")
        roles = {file.path: file.role for file in pinned.manifest.files()}
        for path in roles:
            shutil.copyfile(pinned.path / path, folder / path)
        facts: Mapping[str, Any] = pinned.facts(STAGE)
    else:
        facts = _make(draft, Settings.model_validate(draft.settings), folder)
        roles = {FILE: "tokenizer", hugging_face.CONFIG_FILE: "transformers", REPORT: "report"}
    draft.add_part(STAGE, KEY, [draft.adopt_as(folder / path, path, role) for path, role in roles.items()], facts=facts)


def _make(draft: Draft, settings: Settings, folder: Path) -> dict[str, Any]:
    shards = draft.input("documents").paths("documents")
    sample = draw(shards, settings.sample_bytes, settings.weights, settings.source_weights)
    if not sample.documents:
        raise RequestError("tokenizer: the documents hold no training text to learn from")
    progress = ProgressFile(draft.scratch(), sum(sample.bytes.values()), "bytes")
    if IMPORTED in draft.identity.inputs:
        tokenizer, roles, more = _import(draft, settings)
    else:
        tokenizer, roles, more = train(settings, lambda: _told(sample, progress)), special_tokens(settings), sentinels(settings)
    ids = lend_roles(ids_of(tokenizer, roles))
    written = report.write(
        tokenizer, roles, sample, draw(shards, _VALIDATION_BYTES, subset="validation"), lambda done: progress.tell(done, "measuring")
    )
    (folder / FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    type_ids = "cls" in roles and "sep" in roles
    (folder / hugging_face.CONFIG_FILE).write_bytes(canonical_json(hugging_face.config(roles, more, type_ids)) + b"\n")
    (folder / REPORT).write_bytes(canonical_json(written) + b"\n")
    languages = written["texts"]["train"]["languages"]
    return {
        "model": written["vocabulary"]["model"],
        "vocab_size": tokenizer.get_vocab_size(),
        "special_tokens": ids,
        "sentinels": len(more),
        "sample": {"documents": sample.documents, "bytes": sample.bytes, "groups": _nested(sample)},
        "bytes_per_token": {lang: figures["bytes_per_token"] for lang, figures in languages.items()},
        "fertility": {lang: figures["fertility"] for lang, figures in languages.items()},
        "coverage": {lang: figures["coverage"] for lang, figures in languages.items()},
        "never_seen": written["never_seen"]["tokens"],
        "unreachable": written["unreachable"]["tokens"],
    }


def _import(draft: Draft, settings: Settings) -> tuple[Tokenizer, dict[str, str], list[str]]:
    path = Path(draft.task["roots"][IMPORTED])
    if file_digest(str(path)) != draft.identity.inputs[IMPORTED]:
        raise RequestError(f"tokenizer.path {path}: was changed since the run was planned; run again")
    tokenizer = imported.load(path)
    roles = imported.roles(tokenizer, settings.special_tokens)
    return tokenizer, roles, imported.unassigned(tokenizer, roles)


def _told(sample: Sample, progress: ProgressFile) -> Iterator[str]:
    """The texts of the sample; tells how far they are read."""
    read = 0
    for text in sample:
        read += len(text.text.encode())
        progress.tell(read, "counting")
        yield text.text
    progress.tell(read, "training", force=True)


def _nested(sample: Sample) -> dict[str, dict[str, dict[str, int]]]:
    """Documents and bytes by language and source."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (lang, source), (documents, size) in sample.groups.items():
        nested.setdefault(lang, {})[source] = {"documents": documents, "bytes": size}
    return nested
