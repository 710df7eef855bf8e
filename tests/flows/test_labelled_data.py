"""`gristmill examples` as a user calls it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import RequestError
from schemas.recipe_file import load_task

ROOT = Path(__file__).parents[2]

TASK = "name: reviews\nkind: classification\ndata:\n  train: reviews.csv\n  fields: {text: review, label: stars}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"review of thing {number} {number * 7919:x},{number % 2}" for number in range(40)]
    (tmp_path / "reviews.csv").write_text("review,stars\n" + "\n".join([*rows, rows[0], "\x1b[2Jbare", ",1"]) + "\n")
    (tmp_path / "reviews.yaml").write_text(TASK)
    return tmp_path


def examples(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "gristmill", "examples", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_it_tells_subsets_labels_rejects_and_lengths(folder: Path) -> None:
    done = examples(folder, "reviews.yaml")
    assert done.returncode == 0, done.stderr
    assert "reviews.csv: 43 rows read = 40 kept + 1 wrong_columns + 1 empty_text + 1 duplicate" in done.stdout
    assert "  reviews.csv, line 42: as line 2 of reviews.csv" in done.stdout
    assert "label        train  validation        test" in done.stdout
    assert "longest inputs, in characters" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_has_all_of_it(folder: Path) -> None:
    done = examples(folder, "reviews.yaml", "--json")
    found = json.loads(done.stdout)
    assert sum(subset["examples"] for subset in found["subsets"].values()) == 40
    assert found["files"]["reviews.csv"]["rejected"] == {"wrong_columns": 1, "empty_text": 1, "duplicate": 1}
    assert [reject["place"] for reject in found["rejects"]] == ["line 43", "line 44", "line 42"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("fields", "feilds", "reviews.yaml:5: data.feilds: unknown key; did you mean 'fields'?"),
        ("kind: classification", "kind: classify", "reviews.yaml:2: kind: "),
        ("label: stars", "mark: stars", "reviews.yaml:5: data.fields.mark: is nothing that classification has: text, label"),
        ("name: reviews", "- name", "not valid YAML"),
        ("name: reviews", "version: 2", "reviews.yaml:1: name: is required"),
    ],
)
def test_what_is_wrong_in_a_task_file_is_said_with_its_line(folder: Path, before: str, after: str, message: str) -> None:
    path = folder / "reviews.yaml"
    path.write_text(TASK.replace(before, after))
    with pytest.raises(RequestError) as raised:
        load_task(path)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_wrong_in_data_is_one_line(folder: Path) -> None:
    (folder / "reviews.yaml").write_text(TASK.replace("text: review", "text: reviews"))
    done = examples(folder, "reviews.yaml")
    assert done.returncode == 2
    assert "reviews.csv, line 2: missing_field: has no 'reviews': did you mean 'review'?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_tasks_and_reasons_of_the_docs_exist(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "labelled-data.md").read_text(encoding="utf-8")
    for task in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / "task.yaml").write_text(task, encoding="utf-8")
        load_task(tmp_path / "task.yaml")
    table = page.partition("| reason | the row |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z_]+)`", table))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "model" / "examples").glob("*.py"))
    assert told == set(re.findall(r"(?:Fault\([^,]*|Unusable\(|reject\()[^\"]*\"([a-z]+_?[a-z_]*)\"", sources)) | {"leak", "near_leak"}
