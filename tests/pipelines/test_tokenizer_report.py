"""The numbers of a report, counted again by hand on a tiny corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers

from pipelines import tokenizer
from pipelines.tokenizer import report
from pipelines.tokenizer.sample import draw
from pipelines.tokenizer.vocabulary import Vocabulary
from tests.pipelines.documents import Document, documents_artifact, step_draft
from tests.pipelines.test_tokenizer_kinds import made, texts

DOCUMENTS: list[Document] = [
    ("the river the", "en", "train", "web"),
    ("castle xyz river", "en", "train", "web"),
    ("the castle", "en", "train", "books"),
    ("河 the", "zh", "train", "web"),
    ("xyz the", "en", "validation", "web"),
    ("not looked at", "en", "test", "web"),
]


def words_only() -> Library:
    """Words and an unknown token; spaces vanish."""
    vocabulary = {"[UNK]": 0, "the": 1, "river": 2, "castle": 3, "unseen": 4, "un seen": 5, "</s>": 6}
    made = Library(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["[UNK]", "</s>"])
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    documents = documents_artifact(tmp_path_factory.mktemp("store") / "documents", [[DOCUMENTS[:2], DOCUMENTS[2:]]])
    shards = documents.paths("documents")
    train, validation = draw(shards, 1 << 30), draw(shards, 1 << 30, subset="validation")
    return report.write(words_only(), {"unk": "[UNK]", "eos": "</s>"}, train, validation, lambda done: None)


def test_counts_by_language_and_source(written: dict[str, Any]) -> None:
    english = written["texts"]["train"]["languages"]["en"]
    web = {
        "documents": 2, "bytes": 29, "characters": 29, "words": 6, "tokens": 6, "unknown_tokens": 1, "unknown_characters": 3,
        "bytes_per_token": round(29 / 6, 4), "fertility": 1.0, "unknown": round(1 / 6, 4), "coverage": round(26 / 29, 4),
    }  # fmt: skip
    assert english["sources"]["web"] == web
    assert english["sources"]["books"]["tokens"] == 2
    assert (english["bytes"], english["tokens"], english["bytes_per_token"]) == (39, 8, round(39 / 8, 4))
    chinese = written["texts"]["train"]["languages"]["zh"]
    assert (chinese["bytes"], chinese["characters"], chinese["unknown_tokens"], chinese["coverage"]) == (7, 5, 1, 0.8)
    everything = written["texts"]["train"]["all"]
    assert (everything["documents"], everything["bytes"], everything["tokens"], everything["unknown_characters"]) == (4, 46, 10, 4)


def test_held_out_text_is_counted_apart(written: dict[str, Any]) -> None:
    validation = written["texts"]["validation"]
    assert validation["languages"].keys() == {"en"}
    assert (validation["all"]["documents"], validation["all"]["tokens"], validation["all"]["unknown"]) == (1, 2, 0.5)


def test_special_and_odd_tokens(written: dict[str, Any]) -> None:
    assert written["special_tokens"] == [{"role": "unk", "token": "[UNK]", "id": 0}, {"role": "eos", "token": "</s>", "id": 6}]
    assert written["vocabulary"] == {"model": "WordLevel", "byte_level": False, "tokens": 7, "learned": 5, "bytes": 0}
    assert written["never_seen"]["tokens"] == 2 and written["never_seen"]["share"] == 0.4
    assert written["never_seen"]["examples"] == [{"id": 4, "text": "unseen", "seen": 0}, {"id": 5, "text": "un seen", "seen": 0}]
    assert written["unreachable"] == {"tokens": 1, "examples": [{"id": 5, "text": "un seen", "seen": 0}]}
    longest = written["longest"]["other"]
    assert [(token["text"], token["seen"]) for token in longest] == [("un seen", 0), ("castle", 2), ("unseen", 0), ("river", 2), ("the", 4)]
    assert written["longest"]["han"] == []


def test_nothing_to_divide_by_is_null(tmp_path: Path) -> None:
    documents = documents_artifact(tmp_path / "documents", [[[("the", "en", "train")]]])
    shards = documents.paths("documents")
    written = report.write(words_only(), {}, draw(shards, 1 << 30), draw(shards, 1 << 30, subset="validation"), lambda done: None)
    assert written["texts"]["validation"]["all"]["bytes_per_token"] is None
    assert written["texts"]["validation"]["languages"] == {}


def test_long_texts_are_counted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = documents_artifact(tmp_path / "documents", [[[("the river " * 50, "en", "train"), ("castle", "en", "train")]]])
    shards = documents.paths("documents")
    monkeypatch.setattr(report, "_PIECE_CHARS", 20)
    monkeypatch.setattr(report, "_BATCH_CHARS", 60)
    counts = report.Measure(words_only(), "[UNK]").count(draw(shards, 1 << 30), lambda done: None)["en", "s"]
    assert (counts.documents, counts.bytes, counts.words, counts.tokens, counts.unknown_tokens) == (2, 506, 101, 101, 0)


@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece", "unigram"])
def test_what_training_makes_is_reachable(kind: str) -> None:
    vocabulary = Vocabulary(made(kind))
    assert vocabulary.unreachable(vocabulary.learned) == []
    shown = {vocabulary.text(number).removeprefix("▁") for number in vocabulary.longest(True, 5)}
    assert all(text in "".join(texts()) for text in shown)


def test_bytes_that_are_no_text_are_escaped() -> None:
    made = Library(models.BPE({token: n for n, token in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "å¥"])}, [("å", "¥")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    vocabulary = Vocabulary(made)
    assert (vocabulary.learned, vocabulary.text(256), len(vocabulary.bytes)) == ([256], "\\xe5\\xa5", 256)
    assert vocabulary.unreachable([256]) == []


def test_the_artifact_holds_the_report_and_its_figures_as_facts(tmp_path: Path) -> None:
    made: list[Document] = [(text, "zh" if "，很" in text else "en", "train") for text in texts()]
    documents = documents_artifact(tmp_path / "documents", [[[*made, ("the river", "en", "validation")]]])
    settings = tokenizer.identity_settings(tokenizer.step.Settings(vocab_size=512))
    draft = step_draft(tmp_path / "tokenizer", "tokenizer", settings, {"documents": documents})
    tokenizer.run(draft)
    artifact = draft.commit([tokenizer.STAGE])
    (path,) = artifact.paths("report")
    written = json.loads(path.read_text(encoding="utf-8"))
    facts = artifact.facts(tokenizer.STAGE)
    library = Library.from_file(str(artifact.path / "tokenizer.json"))
    english = [text for text, lang, _ in made if lang == "en"]
    count = sum(len(encoding.ids) for encoding in library.encode_batch(english))
    assert written["texts"]["train"]["languages"]["en"]["tokens"] == count
    assert facts["bytes_per_token"]["en"] == round(sum(len(text.encode()) for text in english) / count, 4)
    assert facts["never_seen"] == written["never_seen"]["tokens"]
    assert written["vocabulary"] == {"model": "BPE", "byte_level": True, "tokens": 512, "learned": 253, "bytes": 256}
