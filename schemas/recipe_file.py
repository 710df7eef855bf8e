"""The model: a *problem* of a recipe file has a line, a dotted key and a message; `load_recipe` finds all of them at once. A file with one
section of its own, as of a task, has the same ones.

YAML is parsed twice: to values for pydantic, and to nodes, which know their lines.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError

from schemas.errors import RequestError
from schemas.recipe import FinetuneRecipe, Recipe
from schemas.recipe.section import AtKey, Section, dotted
from schemas.recipe.task import Task

Location = Sequence[int | str]


S = TypeVar("S", bound=Section)


class RecipeError(RequestError):
    """A recipe file cannot be used; the message has one line a problem, `file:line: key: what is wrong`."""


def load_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe. Raises `RecipeError` naming file, line, key and the nearest known key."""
    return _load(Path(path), Recipe, "recipe", "a recipe is a mapping of sections (name, corpus, tokenizer, ...)")


def load_task(path: str | Path) -> Task:
    """Read and validate a file that holds a task, as `load_recipe` does."""
    return _load(Path(path), Task, "task", "a task is a mapping (name, kind, data, ...)")


def load_finetune_recipe(path: str | Path) -> FinetuneRecipe:
    """Read and validate a file that fine-tunes a model of the store, as `load_recipe` does."""
    return _load(Path(path), FinetuneRecipe, "recipe", "a fine-tuning is a mapping (name, model, finetune, run)")


def _load(path: Path, section: type[S], name: str, form: str) -> S:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text ({error.reason} at byte {error.start})"
        raise RecipeError(f"{path}: cannot be read: {reason}") from error
    try:
        value = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RecipeError(f"{path}:{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{path}:1: {form}")
    try:
        return section.model_validate(value)
    except ValidationError as error:
        told = [problem for problem in error.errors() if not _follows(problem, error.errors())]
        problems = [f"{path}:{line}: {key or name}: {what}" for line, key, what in (_described(root, section, one) for one in told)]
        raise RecipeError("\n".join(problems)) from error


def _follows(problem: Mapping[str, Any], problems: Sequence[Any]) -> bool:
    """Whether a list only counts as too short because of an item that is wrong itself."""
    at = problem["loc"]
    return problem["type"] == "too_short" and any(other["loc"][: len(at)] == at and len(other["loc"]) > len(at) for other in problems)


def _described(root: yaml.Node | None, section: type[Section], problem: Mapping[str, Any]) -> tuple[int, str, str]:
    """Line, dotted key and message of a problem in a file that holds a section."""
    location, kind, message, given = _untagged(section, problem["loc"]), problem["type"], problem["msg"], problem["input"]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, AtKey):
        location, message = (*location, *cause.at), cause.what
    elif kind == "extra_forbidden":
        known = _known_keys(section, problem["loc"][:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        message = f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(sorted(known))}"
    elif kind == "missing":
        message = "is required"
    else:
        message = f"{message.removeprefix('Value error, ')}" + (f", not {given!r}" if isinstance(given, (str, int, float)) else "")
    return _line(root, location), dotted(location), message


def _line(node: yaml.Node | None, location: Location) -> int:
    """Line of the key at `location`, or of the deepest ancestor that is in the file."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _untagged(section: type[Section], location: Location) -> tuple[int | str, ...]:
    """A location without tags, by which pydantic tells which alternative of a union a value was taken for: they stand in no file."""
    return tuple(part for number, part in enumerate(location) if not _tagged(_types(section, location[:number]), part))


def _tagged(types_here: Sequence[Any], part: int | str) -> list[Any]:
    """Those of some alternatives that `part` is the tag of."""
    return [kind for kind in types_here if typing.get_origin(kind) is typing.Annotated and Tag(str(part)) in kind.__metadata__]


def _known_keys(section: type[Section], location: Location) -> list[str]:
    """Keys of the section at `location`."""
    return [k for kind in _types(section, location) if isinstance(kind, type) and issubclass(kind, BaseModel) for k in kind.model_fields]


def _types(section: type[Section], location: Location) -> list[Any]:
    """What a value at `location` of a section may be, found by walking the models' annotations."""
    types_here: list[Any] = [section]
    for part in location:
        if tagged := _tagged(types_here, part):
            types_here = [typing.get_args(kind)[0] for kind in tagged]
            continue
        found: list[Any] = []
        for kind in types_here:
            if isinstance(part, str) and isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
                found += _inner(kind.model_fields[part].annotation)
            elif typing.get_origin(kind) in (tuple, dict):
                found += [t for argument in typing.get_args(kind) for t in _inner(argument)]
        types_here = found
    return types_here


def _inner(annotation: Any) -> Iterator[Any]:
    """The alternatives of a union, each of them itself if it is none."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _inner(argument)
    elif typing.get_origin(annotation) is typing.Annotated and not any(isinstance(told, Tag) for told in annotation.__metadata__):
        yield from _inner(typing.get_args(annotation)[0])
    else:
        yield annotation
