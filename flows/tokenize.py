"""The model: `gristmill tokenize` makes a tokens artifact straight from raw files, as one step without a recipe: reused, resumed
or run like any other (see `pipelines.tokenize` for what is left out).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

import pipelines.corpus
import pipelines.tokenize
from flows.ensure import Outcome, Say, ensure
from flows.ready import Ready
from flows.steps import Step
from pipelines.places import absolute
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity, digest_file
from schemas.recipe import Corpus, Recipe, Run, Source, Tokens
from schemas.store import Store

SPLIT_BYTES = 8 << 20
"""A quarter of what a recipe's splits have: nothing is shuffled here, and of many small splits all workers end at about the same time."""


def validated(name: str, path: str, format: str, text_field: str, lang: str, engine: str) -> tuple[Source, Tokens]:
    """The options of the command as sections of a recipe. Raises `RequestError` naming what is wrong."""
    values = {"name": name, "path": path, "format": format, "text_field": text_field, "lang": lang}
    try:
        return Source.model_validate(values), Tokens.model_validate({"engine": engine})
    except ValidationError as error:
        told = (f"--{e['loc'][0]} {e['input']!r}: {e['msg']}".replace("_", "-") if e["loc"] else e["msg"] for e in error.errors())
        raise RequestError("; ".join(told)) from error


def tokenize(store: Store, name: str, source: Source, tokenizer: str, tokens: Tokens, workers: int, say: Say) -> Outcome:
    """Have tokens/`name` of the files of `source`; `tokenizer` is a tokenizer.json or a reference to an artifact.

    Raises `RequestError` if there is no such tokenizer or nothing to read.
    """
    path, digest = _tokenizer(store, tokenizer)

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        roots = {source.name: source.path}
        listing = pipelines.corpus.list_inputs(recipe.corpus, roots, store.root / ".cache" / "inputs.json")
        settings = {
            "source": source.model_dump(mode="json", exclude={"path"}),
            "split_bytes": recipe.corpus.split_bytes,
            "tokenizer": digest_file(path),
            "engine": tokens.engine,
        }
        identity = Identity(
            pipelines.tokenize.STEP,
            pipelines.tokenize.STEP_VERSION,
            settings,
            {"sources": listing.digest, "tokenizer": digest},
            pipelines.tokenize.engines(source),
        )
        places = {source.name: absolute(source.path), pipelines.tokenize.TOKENIZER: os.path.abspath(path)}
        return Ready(identity, pipelines.corpus.plan_splits(listing, recipe.corpus), places)

    stages = (pipelines.tokenize.TOKENIZER_STAGE, pipelines.tokenize.STAGE)
    step = Step("tokenize", "tokens", "tokenize", (), stages, prepare, _command, parts_as_progress=stages[1:])
    recipe = Recipe(
        name=name, corpus=Corpus(sources=(source,), split_bytes=SPLIT_BYTES), tokens=tokens, run=Run(store=str(store.root), workers=workers)
    )
    return ensure(step, recipe, store, {}, say)


def _command(draft: Path, run: Run) -> list[str]:
    return [sys.executable, "-m", "pipelines.tokenize", str(draft)]


def _tokenizer(store: Store, named: str) -> tuple[Path, str]:
    """The file of a tokenizer and the digest that stands for it among the inputs."""
    if named.endswith(".json") or Path(named).is_file():
        if not Path(named).is_file():
            raise RequestError(f"tokenizer {named}: there is no such file")
        return Path(named), digest_file(named)
    found = store.find(named if "/" in named else f"tokenizer/{named}")
    (path,) = found.paths("tokenizer")
    return path, found.manifest.content_digest
