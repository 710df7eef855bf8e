"""The model: the *settings* of a draft are its recipe section as its identity has it, without paths; the *roots* of the draft say
where what the section names lies on this machine. Both together are the section that a worker works by.

A root is a source's by its name, the weights of a language, a word list or a model by its digest, or an evaluation set's; no source's
name has a slash or a space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from schemas.recipe import Corpus

WEIGHTS = "weights/"
WORD_LIST = "word list/"
MODEL = "model file/"


def with_files(settings: Mapping[str, Any], roots: Mapping[str, str]) -> Corpus:
    """The section with the paths of weights, word lists and models; what is opened by its root has none (sources, evaluation sets).

    Raises `RequestError` naming a word list or model that is not the one that the run was planned with.
    """
    value = dict(settings)
    value["sources"] = [{**source, "path": ""} for source in settings["sources"]]
    value["annotate"] = {lang: {**annotator, "weights": roots.get(WEIGHTS + lang)} for lang, annotator in settings["annotate"].items()}
    if settings["harmful"] is not None:
        by_lang = {lang: [_file(roots, WORD_LIST, digest) for digest in digests] for lang, digests in settings["harmful"]["lists"].items()}
        value["harmful"] = {**settings["harmful"], "lists": by_lang}
    if (boilerplate := settings["clean"].get("boilerplate_lines")) is not None:
        lists = [_file(roots, WORD_LIST, digest) for digest in boilerplate["lists"]]
        value["clean"] = {**settings["clean"], "boilerplate_lines": {**boilerplate, "lists": lists}}
    for key in ("quality", "perplexity"):
        value[key] = {lang: {**model, "path": _file(roots, MODEL, model["path"])} for lang, model in settings.get(key, {}).items()}
    if (section := settings.get("decontaminate")) is not None:
        value["decontaminate"] = {**section, "sets": [{**one, "path": ""} for one in section["sets"]]}
    return Corpus.model_validate(value)


def _file(roots: Mapping[str, str], what: str, digest: str) -> str:
    path = roots[what + digest]
    if digest_file(path) != digest:
        raise RequestError(f"{path}: is not the {what.removesuffix('/')} that this run was planned with. Run again to plan anew")
    return path
