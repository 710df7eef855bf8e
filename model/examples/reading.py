"""The model: a task's data is *read* from its files into *subsets* of examples: rows are parsed, made examples, freed of copies; missing
subsets are drawn; leaks go. The account of every file balances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.examples import conll, delimited, jsonl, parquet, squad
from model.examples.account import Item, Reject, Report, account
from model.examples.draw import draw
from model.examples.duplicates import distinct
from model.examples.kinds import Example, Tagged, labels_of, opening_of
from model.examples.leaks import without_leaks
from model.examples.making import default_fields, make
from model.examples.opened import bare_name, open_files
from model.examples.rows import Fault, Row, Unusable
from model.examples.tags import as_iob2, scheme_of
from schemas.arrow import SUBSETS
from schemas.errors import RequestError
from schemas.recipe.task import DataFormat, Task, TaskData

_READERS: Mapping[DataFormat, Callable[[bytes, TaskData], Iterator[Row | Fault]]] = {
    "jsonl": jsonl.read,
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "parquet": parquet.read,
    "conll": conll.read,
    "conllu": conll.read_u,
    "squad": squad.read,
}
_ENDINGS: Mapping[str, DataFormat] = {
    "jsonl": "jsonl", "json": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "tsv", "parquet": "parquet",
    "conll": "conll", "bio": "conll", "iob": "conll", "iob2": "conll", "conllu": "conllu",
}  # fmt: skip
_ONLY: Mapping[DataFormat, str] = {"conll": "tagging", "conllu": "tagging", "squad": "answers"}
"""The one kind that a format is of."""


@dataclass(frozen=True)
class Subsets:
    """The examples of a task."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    report: Report

    @property
    def by_name(self) -> dict[str, tuple[Example, ...]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def read_task(task: Task) -> Subsets:
    """The examples of a task. Raises `RequestError` naming file, row and key if its files can't be read, or nothing of one is left."""
    given = {subset: path for subset in SUBSETS if (path := getattr(task.data, subset)) is not None}
    if not given:
        raise RequestError(f"task {task.name}: data: names no file: set data.train, or data.test for a task that is only asked")
    files = _Files(task)
    subsets: dict[str, list[Item]] = {subset: [] for subset in SUBSETS}
    for subset, path in given.items():
        items = files.read(subset, path)
        subsets[subset], rejects = distinct(items) if task.data.duplicates == "drop" else (items, [])
        files.rejects += rejects
        if not subsets[subset]:
            raise RequestError(f"task {task.name}: data.{subset}: {path}: no row can be used. {_first(rejects)}")
    if "train" in given:
        subsets |= draw(
            subsets["train"], [subset for subset in ("test", "validation") if subset not in given], task.data.held_out, task.data.seed
        )
    subsets, rejects, leaks = without_leaks(subsets)
    files.rejects += rejects
    for subset in given:
        if not subsets[subset]:
            why = _first(rejects) if rejects else "All its examples were held out: give more, or files of their own for the other subsets."
            raise RequestError(f"task {task.name}: data.{subset}: nothing is left of {given[subset]}. {why}")
    accounts = account(files.rows, subsets, files.rejects, files.mended)
    examples = _with_distinct_ids(subsets)
    report = Report(accounts, tuple(files.rejects), tuple(leaks), tuple(_notes(examples, Counter(reject.reason for reject in rejects))))
    return Subsets(examples["train"], examples["validation"], examples["test"], report)


class _Files:
    """Reads the files of a task, and keeps count of their rows."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.rows: dict[str, int] = {}
        self.mended: dict[str, Counter[str]] = {}
        self.rejects: list[Reject] = []

    def read(self, subset: str, path: str) -> list[Item]:
        """The items of the files that a subset's path means. Raises `RequestError` if there is none."""
        items: list[Item] = []
        before = len(self.rejects)
        for name, content in open_files(path, f"task {self._task.name}: data.{subset}"):
            if name in self.rows:
                raise RequestError(f"task {self._task.name}: data.{subset}: {name} is of another subset, too: a file is of one")
            items += self._items(subset, name, content)
        if not items:
            rejected = self.rejects[before:]
            why = _first(rejected) if rejected else "There is none."
            raise RequestError(f"task {self._task.name}: data.{subset}: {path}: none of {len(rejected):,} rows can be used. {why}")
        return items

    def _items(self, subset: str, name: str, content: bytes) -> list[Item]:
        data, kind = self._task.data, self._task.kind
        read = _format(name, self._task)
        fields = {} if read in _ONLY else data.fields
        if read in ("csv", "tsv") and not data.header and not fields:
            fields = default_fields(kind)
        self.rows[name], self.mended[name] = 0, Counter()
        items = []
        try:
            for row in _READERS[read](content, data):
                self.rows[name] += 1
                if isinstance(row, Fault):
                    self.rejects.append(Reject(name, row.place, row.reason, row.detail))
                    continue
                try:
                    made = make(row, kind, fields, f"{Path(name).name}:{row.place.rpartition(' ')[2]}")
                except Unusable as error:
                    self.rejects.append(Reject(name, row.place, error.reason, error.detail))
                    continue
                self.mended[name].update([made.mended] if made.mended else [])
                items.append(Item(made.example, name, row.place, row.group or opening_of(made.example)))
        except RequestError as error:
            raise RequestError(f"task {self._task.name}: data.{subset}: {name}: {error}") from error
        return self._in_iob2(items, self.mended[name]) if kind == "tagging" else items

    def _in_iob2(self, items: Sequence[Item], mended: Counter[str]) -> list[Item]:
        scheme = scheme_of(item.example.tags for item in items if isinstance(item.example, Tagged))
        kept = []
        for item in items:
            assert isinstance(item.example, Tagged)
            try:
                tags = as_iob2(item.example.tags, scheme)
            except Unusable as error:
                self.rejects.append(item.reject(error.reason, error.detail))
                continue
            if tags != item.example.tags:
                mended[f"{scheme}_to_iob2"] += 1
            kept.append(replace(item, example=replace(item.example, tags=tags)))
        return kept


def _format(name: str, task: Task) -> DataFormat:
    """Of a file: what the task says, or what its name's ending does."""
    bare = bare_name(name)
    found = task.data.format or _ENDINGS.get(bare.rpartition(".")[2])
    if task.data.format is None and task.kind == "answers" and bare.endswith(".json"):
        found = "squad"
    if found is None:
        raise RequestError(f"task {task.name}: {name}: its name tells no format: set data.format, to one of {', '.join(_READERS)}")
    if found in _ONLY and task.kind != _ONLY[found]:
        raise RequestError(f"task {task.name}: {name}: {found} files are of kind {_ONLY[found]}, and the task's kind is {task.kind}")
    if found == "squad" and task.data.fields:
        raise RequestError(f"task {task.name}: data.fields: {name}: names in squad files are fixed: take them out")
    return found


def _first(rejects: Sequence[Reject]) -> str:
    first = rejects[0]
    return f"The first of {len(rejects):,} rejects: {first.file}, {first.place}: {first.reason}: {first.detail}"


def _with_distinct_ids(subsets: Mapping[str, Sequence[Item]]) -> dict[str, tuple[Example, ...]]:
    """Examples whose id another one of their subset has get a number behind it: results are kept by id. Where files lie is no part of it,
    nor what other subsets hold, so equal data has equal ids."""
    examples: dict[str, tuple[Example, ...]] = {}
    for subset in SUBSETS:
        taken: set[str] = set()
        numbers: Counter[str] = Counter()
        found: list[Example] = []
        for item in subsets[subset]:
            name = own = item.example.id
            while name in taken:
                numbers[own] += 1
                name = f"{own} ({numbers[own] + 1})"
            taken.add(name)
            found.append(item.example if name == item.example.id else replace(item.example, id=name))
        examples[subset] = tuple(found)
    return examples


def _notes(examples: Mapping[str, Sequence[Example]], dropped: Mapping[str, int]) -> Iterator[str]:
    if count := dropped["leak"]:
        yield f"{count:,} examples were dropped from what is learned, as their input is in a subset that judges, too"
    if count := dropped["near_leak"]:
        yield f"{count:,} examples were dropped from what is learned, as their input is near one of a subset that judges"
    known = {label for example in examples["train"] for label in labels_of(example)}
    for subset in ("validation", "test"):
        unknown = {label for example in examples[subset] for label in labels_of(example)} - known
        if known and unknown:
            yield f"labels of {subset} that train does not have: {', '.join(sorted(unknown))}"
