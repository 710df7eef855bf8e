"""Weights by source and language: in documents and tokens, in what facts say an epoch reads, and in samples for tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines import corpus, tokens
from pipelines.settings import with_files
from pipelines.tokenizer import run as make_tokenizer
from pipelines.tokenizer.sample import draw
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.recipe import Corpus
from schemas.sampling import times_read
from tests.pipelines.documents import step_draft
from tests.pipelines.drafts import ledgers, make, rows, source

WEIGHTS = {"sources": {"books": 2.0, "web": 0.25}, "languages": {"zh": 1.5, "default": 0.5}}
TEXTS = {"books": ("en", "a page of a good book"), "web": ("zh", "网上的一些话"), "mail": ("de", "ein Brief")}


def recipe(sampling: Any = WEIGHTS, **others: Any) -> Corpus:
    sources = tuple(source(name, format="jsonl", lang=lang) for name, (lang, _) in TEXTS.items())
    return Corpus.model_validate({"sources": sources, "sampling": sampling, "held_out": {"validation": 0.2, "test": 0}, **others})


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("in")
    for name, (_, text) in TEXTS.items():
        for number in range(40):  # a file each: subsets are drawn by file
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{number}.jsonl").write_text(json.dumps({"text": f"{text} {number}"}) + "\n")
    return {name: folder / name for name in TEXTS}


@pytest.fixture(scope="module")
def documents(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make(tmp_path_factory.mktemp("made") / "draft", recipe(), roots).commit(["prepare", "finish"])


def test_weights_multiply_and_no_row_goes(roots: dict[str, Path], tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("good\n")
    harmful = {"own_lists": False, "lists": {"en": [str(words)]}, "action": "weight", "weight": 0.5}
    draft = make(tmp_path / "draft", recipe(harmful=harmful), roots)
    found = {(row["source"], row["weight"]) for row in rows(draft, "documents")}
    assert found == {("books", 2.0 * 0.5 * 0.5), ("web", 0.25 * 1.5), ("mail", 0.5)}
    assert all(ledger.records_kept == 40 and not ledger.rejected for ledger in ledgers(draft).values())


def test_without_the_section_all_is_as_it_was(roots: dict[str, Path], tmp_path: Path) -> None:
    assert "sampling" not in corpus.identity_settings(recipe(None))
    assert corpus.identity_settings(recipe())["sampling"] == {**WEIGHTS}
    assert with_files(corpus.identity_settings(recipe()), {}).sampling == recipe().sampling
    plain, ones = (
        make(tmp_path / name, recipe(sampling), roots).commit(["prepare", "finish"])
        for name, sampling in (("plain", None), ("ones", {"sources": {"books": 1.0}}))
    )
    assert [file.digest for file in plain.manifest.files("documents")] == [file.digest for file in ones.manifest.files("documents")]


def test_tokens_carry_weights_and_facts_count_what_an_epoch_reads(documents: Artifact, tmp_path: Path) -> None:
    settings = {"vocab_size": 512}
    draft = step_draft(tmp_path / "tokenizer", "tokenizer", settings, {"documents": documents})
    make_tokenizer(draft)
    tokenizer = draft.commit(["tokenizer"])
    draft = step_draft(tmp_path / "tokens", "tokens", {}, {"documents": documents, "tokenizer": tokenizer})
    tokens.run(draft)
    made = draft.commit([tokens.STAGE])
    expected: dict[str, dict[str, dict[str, int]]] = {"train": {}, "epoch": {}}
    for shard, before in zip(made.paths("tokens"), documents.paths("documents"), strict=True):
        table = read_shard(shard)
        assert table.column("weight") == read_shard(before).column("weight")
        for batch in table.to_batches():
            for row, times in zip(batch.to_pylist(), times_read(batch).tolist(), strict=True):
                for what, count in (("train", 1), ("epoch", times)):
                    if row["subset"] == "train":
                        by_lang = expected[what].setdefault(row["source"], {})
                        by_lang[row["lang"]] = by_lang.get(row["lang"], 0) + count * len(row["tokens"])
    (part,) = made.manifest.parts
    assert {what: part.facts[what] for what in expected} == expected
    assert part.facts["epoch"]["mail"]["de"] < part.facts["train"]["mail"]["de"] == part.facts["tokens"]["de"]["train"]


def test_a_tokenizer_learns_from_what_training_reads(documents: Artifact) -> None:
    shards = documents.paths("documents")
    sample = draw(shards, 1 << 20)
    for path, drawn in zip(shards, sample.rows, strict=True):
        (batch,) = read_shard(path).combine_chunks().to_batches()
        train = np.array(batch.column("subset").to_pylist()) == "train"
        assert drawn.tolist() == np.flatnonzero(train & (times_read(batch) > 0)).tolist()
    assert 0 < sample.groups["zh", "web"][0] < sample.groups["en", "books"][0]


@pytest.mark.parametrize(
    "sampling, message",
    [
        ({"sources": {"book": 2}}, "sampling.sources.book: is not a source of the corpus; they are books, web, mail"),
        ({"languages": {"chinese": 2}}, "sampling.languages.chinese: not a language code .* did you mean 'zh'"),
        ({"sources": {"books": -1}}, "greater than or equal to 0"),
        ({"sources": {"books": float("nan")}}, "sampling.sources.books"),
        ({"sources": {"books": 101}}, "less than or equal to 100"),
    ],
)
def test_what_cannot_be_meant_is_refused(sampling: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe(sampling)
