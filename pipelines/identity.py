"""The model: what decides the output of the documents step, beside its code and the files that it reads: the recipe's section without the
places of files, the *digests* of the files that it names, and its *engines*. Where those files lie are the *roots* of a draft.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pipelines.clean
import pipelines.harmful
import pipelines.language
import pipelines.rules
import pipelines.sources
from pipelines.annotate import annotator_versions
from pipelines.contamination.evaluation_sets import file_digest as evaluation_digest
from pipelines.contamination.evaluation_sets import input_role
from pipelines.rules.quality import engines as quality_engines
from pipelines.settings import MODEL, WEIGHTS, WORD_LIST
from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from schemas.recipe import Corpus, Section
from schemas.recipe.rules import settled
from schemas.recipe.source import TERMS

_UNDECIDING = ("max_errors", "incremental", "changed", "gone")
"""Keys that say whether something is made or committed, not what."""


def identity_settings(settings: Corpus) -> dict[str, Any]:
    """The section as JSON, without the paths of sources, evaluation sets and weights and the terms of sources, and with the digests of word
    lists and models for their paths: where they lie doesn't decide what comes out. Rules are settled: the numbers decide, not the name of
    a pack."""
    value = {key: told for key, told in settings.as_json().items() if key not in _UNDECIDING}
    if settings.decontaminate is not None:
        value["decontaminate"]["sets"] = [{k: v for k, v in one.items() if k != "path"} for one in value["decontaminate"]["sets"]]
    if (boilerplate := settings.clean.boilerplate_lines) is not None:
        value["clean"]["boilerplate_lines"]["lists"] = [file_digest(path) for path in boilerplate.lists]
    sources = [{k: v for k, v in source.items() if k not in ("path", *TERMS)} for source in value["sources"]]
    for source, told in zip(settings.sources, sources, strict=True):
        if source.rules:
            told["rules"] = _as_json(settled(settings.rules, source.rules))
    for key in {"quality", "perplexity"} & value.keys():
        value[key] = {lang: {**model, "path": file_digest(model["path"])} for lang, model in value[key].items()}
    annotate = {lang: {k: v for k, v in annotator.items() if k != "weights"} for lang, annotator in value["annotate"].items()}
    if settings.harmful is not None:
        value["harmful"]["lists"] = {lang: [file_digest(path) for path in paths] for lang, paths in settings.harmful.lists.items()}
    return {**value, "sources": sources, "annotate": annotate, "rules": _as_json(settled(settings.rules, {}))}


def _as_json(sections: Mapping[str, Section]) -> dict[str, Any]:
    return {name: section.model_dump(mode="json") for name, section in sections.items()}


def file_roots(settings: Corpus) -> dict[str, str]:
    """Where files that the section names lie, as the roots of a draft; see `pipelines.job`."""
    weights = {WEIGHTS + lang: a.weights for lang, a in settings.annotate.items() if a.weights is not None}
    sets = {input_role(one.name): one.path for one in settings.decontaminate.sets} if settings.decontaminate else {}
    models = [*(one.path for one in settings.quality.values()), *(one.path for one in settings.perplexity.values())]
    lists = {WORD_LIST + file_digest(path): path for path in settings.word_lists}
    found = weights | sets | lists | {MODEL + file_digest(path): path for path in models}
    return {name: os.path.abspath(path) for name, path in found.items()}


def file_digest(path: str) -> str:
    """Digest of a file that the recipe names. Raises `RequestError` if it can't be read."""
    try:
        return digest_file(path)
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error


def evaluation_digests(settings: Corpus) -> dict[str, str]:
    """Digest of the file of each evaluation set, by what it is called among the step's inputs and roots: what is in them decides what is
    kept. Raises `RequestError` for one that can't be read."""
    sets = settings.decontaminate.sets if settings.decontaminate else ()
    return {input_role(one.name): evaluation_digest(one, one.path) for one in sets}


def engines(settings: Corpus) -> dict[str, str]:
    """Versions of all that decides the output beside our own code."""
    found = {
        "pyarrow": version("pyarrow"),
        **pipelines.clean.engines(settings.clean),
        **pipelines.rules.engines(),
        **pipelines.sources.engines(settings.sources),
    }
    if any(source.lang is None for source in settings.sources):
        found |= pipelines.language.engines()
    if settings.harmful is not None and settings.harmful.own_lists:
        found["harmful lists"] = pipelines.harmful.own_lists_digest()
    if settings.redact is not None or settings.harmful is not None:
        found["ahocorasick-rs"] = version("ahocorasick-rs")
    if settings.quality:
        found |= quality_engines()
    return found | {f"annotator {lang}": engine for lang, engine in annotator_versions(settings.annotate).items()}
