"""What is held out of the demo's real text is not in its training text."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from flows.demo import write_inputs
from schemas.arrow import read_shard
from schemas.store import Store
from tests.flows.conftest import Server, command_in

RECIPE = Path(__file__).parents[2] / "flows" / "recipes" / "demo.yaml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory, server: Server) -> pa.Table:
    """The documents of the demo, tagged by rules instead of spaCy: the tags do not matter here, and it is faster."""
    folder = tmp_path_factory.mktemp("demo")
    write_inputs(folder / ".gristmill" / "demo")
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["corpus"]["annotate"] = {"default": {"engine": "plain"}}
    (folder / "demo.yaml").write_text(yaml.safe_dump(recipe))
    command_in(folder, server)("run", "demo.yaml", "--until", "documents")
    artifact = Store(folder / ".gristmill" / "store").find("documents/demo")
    return pa.concat_tables(read_shard(path) for path in artifact.paths("documents"))


def long_lines(texts: list[str]) -> list[str]:
    return [stripped for text in texts for line in text.split("\n") if len(stripped := line.strip()) > 20]


@pytest.mark.parametrize("lang", ["en", "zh", "code"])
@pytest.mark.parametrize("subset", ["validation", "test"])
def test_at_most_one_percent_of_held_out_lines_are_trained_on(documents: pa.Table, lang: str, subset: str) -> None:
    rows = documents.select(["text", "lang", "subset"]).to_pylist()
    trained = set(long_lines([r["text"] for r in rows if r["lang"] == lang and r["subset"] == "train"]))
    held_out = long_lines([r["text"] for r in rows if r["lang"] == lang and r["subset"] == subset])
    assert len(held_out) > 100
    assert sum(line in trained for line in held_out) / len(held_out) <= 0.01


def test_an_origin_group_is_in_one_subset(documents: pa.Table) -> None:
    pairs = documents.group_by(["origin_group", "subset"]).aggregate([])
    assert pairs.num_rows == len(documents["origin_group"].unique())


def test_reviews_are_held_out_in_both_classes(documents: pa.Table) -> None:
    reviews = documents.filter(pa.compute.equal(documents["source"], "reviews"))
    labels = {(r["subset"], '"positive"' in r["extra"]) for r in reviews.select(["subset", "extra"]).to_pylist()}
    assert labels == {(subset, positive) for subset in ("train", "validation", "test") for positive in (True, False)}
