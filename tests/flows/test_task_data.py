"""Raw data becomes tasks whose examples can be read."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

from model.examples import Classified, read_task
from schemas.recipe_file import load_task
from tests.bench.task_data import TASKS, entities, relations, sentiment_en, task_file

SEMEVAL = """1\t"The <e1>child</e1> was wrapped into the <e2>cradle</e2>."
Other
Comment:

2\t"The <e1>author</e1> uses a "quoted" <e2>disassembler</e2>."
Instrument-Agency(e2,e1)
Comment: Not a collection.
"""


def test_words_with_tags_of_a_newspaper_become_characters_of_entities() -> None:
    words = [("江", "nr"), ("泽民", "nr"), ("在", "p"), ("北京", "ns"), ("上海", "ns"), ("会见", "v")]
    assert [tag for _, tag in entities(words)] == ["B-PER", "I-PER", "I-PER", "O", "B-LOC", "I-LOC", "B-LOC", "I-LOC", "O", "O"]
    assert "".join(character for character, _ in entities(words)) == "江泽民在北京上海会见"


def test_relations_and_reviews_are_converted(tmp_path: Path) -> None:
    (tmp_path / "raw.gz").write_bytes(gzip.compress(SEMEVAL.encode()))
    rows = list(relations(tmp_path / "raw.gz"))
    assert rows[1] == {
        "id": "2",
        "text": 'The <e1>author</e1> uses a "quoted" <e2>disassembler</e2>.',
        "label": "Instrument-Agency(e2,e1)",
    }
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for label in ("pos", "neg"):
            archive.writestr(f"sentence_polarity/rt-polarity.{label}", f"a {label} film \n")
    assert [row["label"] for row in sentiment_en(tmp_path / "raw.zip")] == ["positive", "negative"]


def test_a_task_names_its_data(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "good", "label": "a"}\n')
    for name in TASKS:
        path = task_file(name, tmp_path / "data.jsonl", tmp_path)
        assert load_task(path).name == name
    assert read_task(load_task(tmp_path / "relations.yaml")).train == (Classified("data.jsonl:1", "good", None, "a"),)
