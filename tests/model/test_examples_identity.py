"""What names and divides examples: not where files lie, and nothing that gives a reference away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.examples import read_task
from model.examples.opened import check_files, files_digest
from schemas.errors import RequestError
from schemas.recipe import Task


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def review(number: int, id_: object = None) -> dict[str, Any]:
    row = {"text": f"review {number * 7919} of {number * 104729}", "label": ("neg", "pos")[number % 2]}
    return row if id_ is None else {**row, "id": id_}


def test_each_of_two_files_of_one_name_counts(tmp_path: Path) -> None:
    for folder in "ab":
        put(tmp_path / folder / "rows.jsonl", [review(ord(folder))])
    path = str(tmp_path / "*" / "rows.jsonl")
    before = files_digest(path, "key")
    put(tmp_path / "a" / "rows.jsonl", [review(5)])
    assert files_digest(path, "key") != before
    with pytest.raises(RequestError, match="changed since the step was planned"):
        check_files({"train": path}, {"train": before})


def test_ids_tell_nothing_of_where_files_lie_and_of_other_subsets(tmp_path: Path) -> None:
    ids = []
    for folder in "ab":
        train = put(tmp_path / folder / "train.jsonl", [review(number, number) for number in range(9)])
        test = put(tmp_path / folder / "test.jsonl", [review(100 + number, number // 2) for number in range(5)])
        task = {"name": "t", "kind": "classification", "data": {"train": str(train), "test": str(test)}}
        ids.append([example.id for example in read_task(Task.model_validate(task)).test])
    assert ids[0] == ids[1] == ["0", "0 (2)", "1", "1 (2)", "2"]


def test_what_nobody_is_taught_is_not_asked(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.jsonl", [{**review(0), "label": "rare"}, *(review(number) for number in range(1, 60))])
    for seed in range(20):
        task = {"name": "t", "kind": "classification", "data": {"train": str(path), "seed": seed}}
        assert "rare" in {example.label for example in read_task(Task.model_validate(task)).train}


def test_a_dialogue_that_grows_stays_in_one_subset(tmp_path: Path) -> None:
    rows = []
    for number in range(80):
        said: list[dict[str, str]] = []
        for turn in range(3):
            place = number * 7919 + turn * 104729
            said += [{"role": "user", "content": f"{place} {place**2}?"}, {"role": "assistant", "content": f"{place**3}"}]
            rows.append({"messages": list(said)})
    path = put(tmp_path / "rows.jsonl", rows)
    grown = read_task(Task.model_validate({"name": "t", "kind": "chat", "data": {"train": str(path)}}))
    begun = [{example.messages[0].content for example in found} for found in grown.by_name.values()]
    assert all(begun) and not (begun[0] & begun[1] or begun[0] & begun[2] or begun[1] & begun[2])
    test = put(tmp_path / "test.jsonl", rows[:1])
    apart = read_task(Task.model_validate({"name": "t", "kind": "chat", "data": {"train": str(path), "test": str(test)}}))
    assert apart.report.rejected == {"leak": 3}
