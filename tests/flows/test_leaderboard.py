"""The leaderboard shows what was evaluated, best first, in the terminal and as a page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.leaderboard import Board, Row, boards, lines_of, render
from schemas.errors import RequestError
from schemas.results import MODEL, Measure
from schemas.store import Store
from tests.flows.evaluations import answers, evaluate, model, one, wanted
from tests.flows.stores import make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for seed, (name, skill) in enumerate({"poor": 0.6, "good": 0.9, "fair": 0.75}.items()):
        one(made, name, skill, seed, notes=("2 answers could not be read",) if name == "fair" else ())
    return made


def run(store: Store, *arguments: str) -> str:
    found = CliRunner().invoke(app, ["leaderboard", *arguments, "--store", str(store.root)], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


def test_the_best_comes_first_and_baselines_are_marked(store: Store) -> None:
    said = run(store).splitlines()
    assert re.fullmatch(r"sentiment: classification, version 1, 400 items, data [0-9a-f]{8}", said[0])
    assert said[1].split() == ["accuracy", "macro_f1", "evaluation"]
    assert [line.split("  ")[1].strip() for line in said[2:6]] == ["good", "fair", "poor", "majority (baseline)"]
    assert re.search(r" 0\.9\d\d ± 0\.01\d  0\.9\d\d ± 0\.01\d  evaluation/good@\w+-\w{8}$", said[2])
    assert said[6] == "  fair: 2 answers could not be read" and len(said) == 7, "the baseline that all share is one row"
    assert len({line.index("±") for line in said[2:6]}) == 1, "figures stand below each other"


def test_json_has_all_figures(store: Store) -> None:
    (board,) = json.loads(run(store, "--json", "--sort", "macro_f1"))["boards"]
    assert board["sorted_by"] == "macro_f1" and board["n"] == 400
    assert [row["name"] for row in board["rows"]] == ["good", "fair", "poor", "majority"]
    figures = board["rows"][0]["measures"]["accuracy"]
    low, high = figures["interval"]
    assert low < figures["value"] < high and figures["signature"] == "accuracy|v1"


def test_what_does_not_compare_stands_on_boards_of_its_own(store: Store) -> None:
    one(store, "newer", 0.8, 5, version=2)
    one(store, "other-data", 0.8, 5, n=50)
    one(store, "shown", 0.8, 5, shots=5)
    one(store, "tagger", 0.8, 5, task="ner")
    one(store, "three", 0.8, 5, labels=("neg", "neutral", "pos"))
    found = boards(store)
    shown = sorted((board.task, board.version, board.shots, len(board.rows)) for board in found)
    assert shown == [("ner", 1, 0, 2), ("sentiment", 1, 0, 2), ("sentiment", 1, 0, 6), ("sentiment", 1, 5, 2), ("sentiment", 2, 0, 2)]
    (both,) = (board for board in found if len(board.rows) == 6)
    assert both.heads() == ["accuracy", "macro_f1 (macro_f1|labels:2|v1)", "macro_f1 (macro_f1|labels:3|v1)"]
    assert [board.task for board in boards(store, task="ner")] == ["ner"]


def test_losses_are_sorted_from_the_lowest() -> None:
    def row(name: str, value: float | None) -> Row:
        return Row(name, name, {} if value is None else {("loss", "loss|v1"): Measure(value, "lower", "loss|v1")}, None)

    from flows.leaderboard.boards import _best_first

    rows = [row("none", None), row("b", 2.0), row("a", 1.0)]
    assert [found.name for found in _best_first(rows, ("loss", "loss|v1"))] == ["a", "b", "none"]


def test_versions_of_a_model_are_told_apart(store: Store) -> None:
    truth = wanted(400)
    newer = make(store, "model", "good", "trained on")
    evaluate(store, newer, {"sentiment": {MODEL: truth}}, truth)
    (board,) = boards(store)
    assert [row.name.partition("@")[0] for row in board.rows][:2] == ["good", "good"]
    assert board.rows[0].name == f"good@{newer.version}" and board.rows[0].model == "good"


def test_a_model_that_is_gone_is_named_by_what_is_known(store: Store) -> None:
    import shutil

    truth = wanted(10)
    gone = model(store, "gone")
    evaluate(store, gone, {"ner": {MODEL: answers(1, truth, 0)}}, truth)
    shutil.rmtree(gone.path)
    (board,) = boards(store, "ner")
    assert [row.name for row in board.rows] == [f"model {gone.manifest.content_digest[:8]}"]


def test_what_is_not_there_is_said(tmp_path: Path, store: Store) -> None:
    with pytest.raises(RequestError, match="no model in .*empty was evaluated on a task"):
        boards(Store(tmp_path / "empty"))
    with pytest.raises(RequestError, match="no model was evaluated on task 'ner'; there is sentiment"):
        boards(store, "ner")
    with pytest.raises(RequestError, match="--sort: nothing was judged by 'bleu'; there is accuracy, macro_f1"):
        boards(store, sort="bleu")


def test_the_page_links_to_cards_that_are_there(store: Store, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "good.html").write_text("card")
    page = tmp_path / "reports" / "board.html"
    assert run(store, "--page", str(page)).splitlines()[-1] == str(page)
    first = page.read_text()
    assert re.findall(r'href="([^"#]*)"', first) == ["data:,", "../cards/good.html"]
    assert '<html lang="en">' in first and first.count("<script>") == 1 and "http" not in first.replace("http-equiv", "")
    run(store, "--page", str(page))
    assert page.read_text() == first


def test_hostile_names_stay_text_in_the_terminal(store: Store) -> None:
    (board,) = boards(store)
    row = replace(board.rows[0], name="\x1b[2Jx", notes=("\x1b]0;owned",))
    assert "\x1b" not in "\n".join(lines_of(replace(board, task="a\x1b[1m", rows=(row,))))


def hostile(board: Board, text: str) -> Board:
    rows = [replace(row, name=f"{text}{row.name}", model=row.model and text, notes=(text,)) for row in board.rows]
    return replace(board, task=text, kind=text, rows=tuple(rows))


def test_foreign_text_is_escaped(store: Store) -> None:
    attack = '"><script>alert(1)</script>\u202e'
    page = render([hostile(board, attack) for board in boards(store)], {attack: "../cards/a.html"})
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page and "\u202e" not in page
