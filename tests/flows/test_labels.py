"""A key for labels that no document has is found out as soon as there are documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.labels import check_labels
from schemas.errors import RequestError
from schemas.recipe import Corpus, Finetune
from schemas.store import Store
from tests.flows.conftest import RECIPE, Command
from tests.pipelines.drafts import make, source


def test_the_keys_that_there_are_are_named(tmp_path: Path) -> None:
    lines = ['{"text": "one text of some length", "stars": 5, "by": "me"}', '{"text": "another of some length", "stars": null}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "b.jsonl").write_text('{"text": "", "label": 1}\n')
    sources = tuple(source(name, format="jsonl") for name in "ab")
    roots = {name: tmp_path / f"{name}.jsonl" for name in "ab"}
    documents = make(tmp_path / "draft", Corpus(sources=sources), roots).commit(["prepare", "finish"])
    check_labels(documents, Finetune(source="a", label_field="stars"))
    with pytest.raises(
        RequestError, match=r"none of the 2 documents of source 'a' has the key 'label' in `extra`; the keys there are: stars, by$"
    ):
        check_labels(documents, Finetune(source="a"))
    with pytest.raises(RequestError, match="no document of source 'b' was kept"):
        check_labels(documents, Finetune(source="b"))


@pytest.mark.slow
def test_a_run_ends_before_anything_is_trained(workspace: Path, gristmill: Command) -> None:
    """The documents of the shared run are reused; the tokenizer would be another."""
    changed = RECIPE.replace("source: reviews,", "source: reviews, label_field: stars,").replace("vocab_size: 512", "vocab_size: 600")
    (workspace / "stars.yaml").write_text(changed)
    store = Store(workspace / ".gristmill" / "store")
    before = [a.reference for a in store.artifacts()]
    done = gristmill("run", "stars.yaml", check=False)
    assert done.returncode == 2
    assert "gristmill: finetune.label_field: none of the" in done.stderr and "the keys there are: label" in done.stderr
    assert [a.reference for a in store.artifacts()] == before
