"""Decontamination as a user meets it: rejects that name the item, and a plan that names the file that changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Command, Server, command_in

pytestmark = pytest.mark.slow

RECIPE = """\
name: clean
corpus:
  sources:
    - {name: web, path: web.txt, format: txt, unit: line}
  decontaminate:
    sets:
      - {name: quiz, path: quiz.csv, format: csv, fields: [question]}
"""
QUESTION = "Which river runs past the old brewery and feeds the mill pond that the town was named after?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """A folder with a recipe and a finished run of its documents step."""
    folder = tmp_path_factory.mktemp("decontaminate")
    (folder / "web.txt").write_text(f"A line that nobody asks for.\nFound on a page: {QUESTION.lower()} Nobody knows.\nAnother line.\n")
    (folder / "quiz.csv").write_text(f'id,question\n17,"{QUESTION}"\n')
    (folder / "recipe.yaml").write_text(RECIPE)
    command_in(folder, server)("run", "recipe.yaml", "--until", "documents")
    return folder


@pytest.fixture
def gristmill(folder: Path, server: Server) -> Command:
    return command_in(folder, server)


def plan(gristmill: Command, recipe: str = "recipe.yaml") -> dict[str, Any]:
    return json.loads(gristmill("plan", recipe, "--until", "documents", "--json").stdout)[0]


def test_rejects_name_the_item(gristmill: Command) -> None:
    shown = json.loads(gristmill("rejects", "documents/clean", "--json").stdout)
    assert [(row["reason"], row["detail"]) for row in shown["rows"]] == [("contaminated", "quiz 17 question: 6 of 6 grams (1.00)")]
    assert "quiz 17 question" in gristmill("rejects", "documents/clean").stdout
    assert json.loads(gristmill("audit", "documents/clean", "--json").stdout)["findings"] == []


def test_a_changed_file_is_named_and_an_equal_one_elsewhere_is_not(folder: Path, gristmill: Command) -> None:
    before = (folder / "quiz.csv").read_text()
    (folder / "moved.csv").write_text(before)
    (folder / "moved.yaml").write_text(RECIPE.replace("quiz.csv", "moved.csv"))
    assert plan(gristmill, "moved.yaml")["action"] == "reuse"
    (folder / "moved.csv").write_text(before.replace("river", "brook"))
    decision = plan(gristmill, "moved.yaml")
    assert decision["action"] == "run"
    assert [why.split()[:3] for why in decision["why"]] == [["input", "evaluation", "quiz"]]
    assert plan(gristmill)["action"] == "reuse"


def test_a_missing_file_is_one_message(folder: Path, gristmill: Command) -> None:
    (folder / "none.yaml").write_text(RECIPE.replace("quiz.csv", "none.csv"))
    done = gristmill("plan", "none.yaml", check=False)
    assert done.returncode == 2
    assert "evaluation set 'quiz': none.csv: No such file" in done.stderr and "Traceback" not in done.stderr


def test_a_bad_row_is_told_by_the_run(folder: Path, gristmill: Command) -> None:
    (folder / "bad.csv").write_text("id,text\n1,x\n")
    (folder / "bad.yaml").write_text(RECIPE.replace("quiz.csv", "bad.csv"))
    done = gristmill("run", "bad.yaml", "--until", "documents", check=False)
    assert done.returncode != 0
    assert "bad.csv: row 2: has no key 'question'; there is 'id', 'text'" in done.stderr + done.stdout
