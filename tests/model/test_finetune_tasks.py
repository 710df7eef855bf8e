"""Fine-tuning on files of examples, a kind of task each, from a draft to what `transformers` makes of the saved model."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model.checkpoint import save_model
from model.examples import Answer, Asked, Tagged
from model.families import build_model, special_ids
from model.finetune import classify
from model.finetune.__main__ import main
from model.finetune.answers import Answers
from model.finetune.reading import Reading, reading_of
from model.finetune.saved import load_headed
from model.finetune.tagging import Tagging, spaced
from schemas import recipe
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.model.conftest import commit_tokenizer

WORDS = "北京 上海 房间 酒店 价格 early red green blue stone river cloud paper".split()
ENCODER = recipe.Encoder(family="bert", layers=2, width=32, heads=2, ffn=64, context=48)


def commit_base(folder: Path, architecture: recipe.Architecture, roles: Sequence[str] = ("bos", "eos", "pad")) -> Artifact:
    """An untrained model, which knows special tokens of these roles."""
    tokenizer = commit_tokenizer(folder / "tokenizer", [" ".join(WORDS)] * 20, 400)
    facts = tokenizer.facts("tokenizer")
    torch.manual_seed(0)
    draft = Draft.start(folder / "model", "model", "small", Identity("pretrain", 1, {}, {}, {}))
    ids = special_ids(architecture, {role: facts["special_tokens"][role] for role in roles})
    weights, description = save_model(build_model(architecture, facts["vocab_size"]), draft.scratch(), ids)
    copy = Path(shutil.copyfile(tokenizer.paths("tokenizer")[0], draft.scratch() / "tokenizer.json"))
    files = [draft.adopt_as(path, path.name, role) for path, role in ((weights, "weights"), (description, "config"), (copy, "tokenizer"))]
    draft.add_part("pretrain", "model", files)
    return draft.commit(["pretrain"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An untrained encoder."""
    return commit_base(tmp_path_factory.mktemp("base"), ENCODER)


def draft_of(base: Artifact, folder: Path, task: Mapping[str, Any], rows: list[dict[str, Any]], **settings: Any) -> Draft:
    """A draft of a fine-tuning on rows, ready to run."""
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    usual: dict[str, Any] = {"epochs": 6, "batch": 16, "max_tokens": 40, "lr": 5e-3, "precision": "float32", "dropout": 0.0}
    section = recipe.Finetune(task=recipe.Task(name="small", data={"train": str(folder / "rows.jsonl")}, **task), **{**usual, **settings})
    draft = Draft.start(folder / "draft", "model", "small-task", Identity("finetune", 2, section.as_json(), {"pretrain": "0"}, {}))
    draft.assign(inputs={"pretrain": base.path}, roots={"train": str(folder / "rows.jsonl")}, run={"ranks": 1, "threads_per_rank": 1})
    return draft


def taught(
    base: Artifact, folder: Path, task: Mapping[str, Any], rows: list[dict[str, Any]], **settings: Any
) -> tuple[Artifact, dict[str, Any]]:
    """The model that learned from rows, and its facts."""
    draft = draft_of(base, folder, task, rows, **settings)
    assert main([str(draft.path)]) == 0
    made = draft.commit(["finetune"])
    return made, made.facts("finetune")


def test_pairs(base: Artifact, tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = []
    for _ in range(400):
        first, second = draw.choice(WORDS), draw.choice(WORDS)
        rows.append({"first": f"{first} {draw.random():.3f}", "second": second, "label": "zh" if second[0] > "z" else "en"})
    made, facts = taught(base, tmp_path / "a", {"kind": "pairs"}, rows)
    assert facts["test"]["accuracy"] > 0.95 and facts["task"] == {"name": "small", "kind": "pairs", "version": 1}
    assert facts["labels"] == ["en", "zh"] and str(tmp_path) not in json.dumps(made.manifest.as_json())
    model = transformers.AutoModelForSequenceClassification.from_pretrained(made.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    pairs = [("red 0.123", "北京"), ("北京 0.99", "stone"), ("red", "酒店 " * 60)]
    read = tokenizer([first for first, _ in pairs], [second for _, second in pairs], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = model(**read).logits.softmax(-1).max(-1)
    for (label, probability), place, theirs in zip(classify(made.path, pairs), found.indices, found.values, strict=True):
        assert (label, probability) == (facts["labels"][place], pytest.approx(float(theirs), abs=1e-4))


def test_tagging(base: Artifact, tmp_path: Path) -> None:
    draw = random.Random(2)
    rows: list[dict[str, Any]] = []
    for _ in range(300):
        words = draw.choices(WORDS, k=draw.randint(2, 7))
        rows.append({"words": words, "tags": ["B-COL" if word in ("red", "green") else "O" for word in words]})
    made, facts = taught(base, tmp_path / "a", {"kind": "tagging"}, rows, epochs=12)
    assert facts["test"]["entity_f1"] > 0.95 and facts["metric"] == "entity_f1" and facts["labels"] == ["O", "B-COL"]
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(made.path)
    assert theirs.config.id2label == {0: "O", 1: "B-COL"}
    model, config = load_headed(made.path)
    kind = Tagging(reading_of(made.path, config, 40), model.labels)
    long = Tagged("x", tuple(["blue", "red"] * 40), ("O",) * 80)
    (answer,) = kind.answer(model, [long])
    assert len(answer) == 80 and answer[1] == "B-COL" and answer[-1] == "O"  # what had no room is outside


def test_answers(base: Artifact, tmp_path: Path) -> None:
    draw = random.Random(3)
    rows: list[dict[str, Any]] = []
    for number in range(300):
        before, answer = " ".join(draw.choices(WORDS[5:], k=draw.randint(0, 30))), draw.choice(WORDS)
        context = f"{before} {number} early {answer} paper"
        rows.append({"question": "red?", "context": context, "answers": [{"text": answer, "answer_start": context.rindex(answer)}]})
    made, facts = taught(base, tmp_path / "a", {"kind": "answers"}, rows, epochs=12)
    assert facts["test"]["f1"] > 0.8 and facts["metric"] == "f1" and facts["labels"] == []
    transformers.AutoModelForQuestionAnswering.from_pretrained(made.path)
    model, config = load_headed(made.path)
    assert config["gristmill"]["kind"] == "answers"
    kind = Answers(reading_of(made.path, config, 40), may_be_none=False)
    for row in rows[:40]:  # an answer is a piece of its context, wherever the windows are cut
        (said,) = kind.answer(model, [Asked("x", row["question"], row["context"], ())])
        assert isinstance(said, str) and said in row["context"]


def test_windows_cover_a_context_and_know_where_the_answer_is(base: Artifact) -> None:
    reading: Reading = reading_of(base.path, json.loads((base.path / "config.json").read_text()), 24)
    context = " ".join(f"stone{n}" for n in range(40))
    start = context.index("stone23")
    kind = Answers(reading, may_be_none=True)
    asked = Asked("x", "river " * 30, context, (Answer("stone23", start),))  # a question that would leave no room is cut
    windows = reading.read_in_windows([(asked.question, asked.context)], 8)[0]
    assert len(windows) > 3 and all(len(window.ids) <= 24 for window in windows)
    seen = {place for w in windows for place, text in zip(w.offsets, w.sequence_ids, strict=True) if text == 1}
    assert {n for begin, end in seen for n in range(begin, end)} >= {n for n, c in enumerate(context) if c != " "}
    targets = [tuple(sample.target.tolist()) for sample in kind.samples([asked])]
    found = [(w, t) for w, t in zip(windows, targets, strict=True) if t != (0, 0)]
    assert 1 <= len(found) < len(windows)
    for window, (first, last) in found:
        assert context[window.offsets[first][0] : window.offsets[last][1]].strip() == "stone23"


def test_a_context_without_an_answer_teaches_that_there_is_none(base: Artifact) -> None:
    reading = reading_of(base.path, json.loads((base.path / "config.json").read_text()), 24)
    assert [s.target.tolist() for s in Answers(reading, True).samples([Asked("x", "red?", "blue stone", ())])] == [[0, 0]]


def test_words_are_read_as_they_stand_in_text(base: Artifact) -> None:
    assert spaced(["We", "love", "北", "京", "now", "!"]) == ["We", " love", "北", "京", "now", " !"]
    assert spaced([]) == []
    reading = reading_of(base.path, json.loads((base.path / "config.json").read_text()), 24)
    (split,), (whole,) = reading.read_words([spaced(["red", "river"])]), reading.read(["red river"])
    assert split.ids == whole.ids


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "give either source or task, not neither"),
        ({"source": "a", "task": {"name": "t", "kind": "pairs", "data": {"train": "x"}}}, "give either source or task, not both"),
        ({"task": {"name": "t", "kind": "pairs", "data": {"test": "x"}}}, "is what is learned from: name its files"),
        ({"task": {"name": "t", "kind": "tagging", "data": {"train": "x"}}, "class_weights": "balanced"}, "is of one label a text"),
    ],
)
def test_sections_that_make_no_sense_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe.Finetune.model_validate(section)
